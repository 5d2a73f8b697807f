"""A page of each kind, with names and numbers that have gone wrong in pages before."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import cv2
import numpy as np

from engine_build.validation.report import sensitivity_page
from engine_build.validation.sensitivity import Group, Sensitivity
from tests.support import photos
from tests.support.report_items import BEGUN, items
from tests.trt_mogface.bench.roofline.test_bound import found as roofline
from tests.trt_mogface.bench.test_report import LATENCY, REPORT
from trt_mogface import Detections
from trt_mogface.bench.load import LoadResult
from trt_mogface.bench.report_page import report_page
from trt_mogface.bench.roofline import Times
from trt_mogface.bench.trials import LoadRow
from trt_mogface.evaluation.average_precision import Curve
from trt_mogface.evaluation.curves_page import curves_page
from trt_mogface.evaluation.disagreement import disagreement, in_sum
from trt_mogface.evaluation.disagreement_page import ComparedImage, disagreement_page
from trt_mogface.evaluation.evaluation import COLUMNS, Evaluation
from trt_mogface.machine.sensors import Readings
from trt_mogface.video.items import SourceEvent
from trt_mogface.video.report import Crop, summarize
from trt_mogface.video.report_page import report_page as video_page

NAMES = ("bench", "bench-batches", "eval", "compare", "build", "video")
ATTACK = "</script><script>document.title='run'</script><img src=x onerror=alert(1)> \"quoted\" 'too' $a$.jpg"
"""A name of a model."""

FILES = (
    "plain.jpg",
    "<img src=x onerror=alert(1)> & \"quoted\" 'too' $a$.jpg",
    os.fsdecode(b"not utf-8 \xff.jpg"),
)
"""Names of images."""


def write_pages(folder: Path) -> None:
    """Write a page for each of `NAMES`."""
    pages = {
        "bench": report_page(REPORT),
        "bench-batches": _batches(),
        "eval": _curves(),
        "compare": _comparison(folder),
        "build": _sensitivity(),
        "video": _video(),
    }
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")


def _batches() -> str:
    """Return a page of several batches, rates and rooflines."""
    speeds = [
        dataclasses.replace(REPORT.rows[0].measurement, images_per_s=speed) for speed in (9.5, 10.5, 100)
    ]
    rows = [
        dataclasses.replace(REPORT.rows[0], batch=batch, measurement=each)
        for batch, each in zip((2, 10, 1), speeds)
    ]
    load = [
        LoadRow("fp32", 1, rate, "constant", LoadResult(rate, rate, 300, 7, 0, LATENCY, 0.1), Readings())
        for rate in (5.0, 50.0)
    ]
    times = Times({"heavy": 10.0, "light": 2.0}, total=22.0, matched=0.6, runs=3)
    rooflines = [roofline(times), roofline()]
    return report_page(
        dataclasses.replace(REPORT, model=(ATTACK, ATTACK), rows=rows, load=load, rooflines=rooflines)
    )


def _curves() -> str:
    recall = np.linspace(0, 1, 1000)
    results = {}
    for number, label in enumerate(("retinaface-mnet025, fp32, original", ATTACK, "_hidden")):
        curve = Curve(np.clip(1.2 - recall - 0.1 * number, 0, 1), recall)
        results[label] = Evaluation(8, 90, dict.fromkeys(COLUMNS, 7), dict.fromkeys(COLUMNS, curve))
    return curves_page(results, [f"{ATTACK}: not an image"])


def _comparison(folder: Path) -> str:
    group = photos.group()
    cv2.imwrite(str(folder / "plain.jpg"), group)
    for name in FILES[1:]:
        (folder / name).write_bytes((folder / "plain.jpg").read_bytes())
    size = group.shape[:2]
    boxes = np.array([[0, 0, 90, 90], [600, 300, 700, 420], [900, 500, 908, 508]], np.float32)
    a = Detections(boxes[:2], np.array([0.9, 0.8], np.float32), None, size)
    b = Detections(boxes[1:] + 2, np.array([0.7, 0.6], np.float32), None, size)
    shown = [ComparedImage(folder / name, a, b, disagreement(a, b)) for name in FILES]
    total = in_sum([each.found for each in shown])
    return disagreement_page("retinaface-mnet025", ATTACK, total, len(shown), shown, [f"{ATTACK}: truncated"])


def _sensitivity() -> str:
    names = ("/backbone/layer1", ATTACK, "/backbone/layer3/layer3.4/a_convolution_with_a_long_name")
    drifts = (0.25, 0.0125, -0.002)
    groups = tuple(Group(name, (name,), 0.1, drift) for name, drift in zip(names, drifts))
    sizes = {"FP32": {"hard": 0.81, "< 16 px": 0.5}, "INT8": {"hard": 0.8, "< 16 px": 0.4}}
    return sensitivity_page(ATTACK, "int8", Sensitivity(groups, 1, {0: 1.3, 1: 0.2}, "AP, hard", sizes))


def _video() -> str:
    """Return a page of cameras that are lost and drop frames, of files, and of a source that failed."""
    records = [
        *items("door", 700, is_live=True),
        *items(ATTACK, 700, is_live=False, seed=1),
        *items(FILES[2], 40, is_live=False, seed=2),
        SourceEvent("$a$ hall", "failed", BEGUN, message=f"{ATTACK}: no such file"),
    ]
    found = summarize(records)
    crop = np.asarray(photos.portrait()[60:180, 180:270])
    crops = [Crop(name, track, crop) for name in (ATTACK, "door") for track in found[name].tracks.values()]
    return video_page(found, [f"{ATTACK}: line 3 is damaged"], crops[:9])
