"""What `eval` costs: the evaluator on all of WIDER FACE's boxes, and detecting against the network alone.

The network alone is ONNX Runtime on the same pictures, read and placed beforehand, with the same threads;
both take turns, part by part.  `eval` reads, places, selects and writes its text files besides.

    python -m benchmarks.eval
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.data import ANNOTATIONS, DATA, SUBSET
from benchmarks.machine import record
from benchmarks.process import run
from trt_mogface import Detector, read_image
from trt_mogface.backends.cpu import CpuBackend
from trt_mogface.backends.registry import open_backend
from trt_mogface.evaluation.detecting import at_a_time, detect_all
from trt_mogface.evaluation.predictions import write_prediction
from trt_mogface.evaluation.procedure import PROCEDURES
from trt_mogface.evaluation.wider_face import read_ground_truth
from trt_mogface.models.cards import DEFAULT
from trt_mogface.models.files import contract_file, embedded_file
from trt_mogface.reference.resize import paint

CASES: tuple[tuple[str, int | None, int, int], ...] = (
    (DEFAULT, None, 1, 8),
    (DEFAULT, 1, 1, 8),
    ("mogface", None, 61, 2),
)
"""Model, threads, every which picture, and parts that take turns."""


def main() -> None:
    if not ANNOTATIONS.is_file():
        sys.exit(f"no test data at {DATA}: nothing was measured")
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        shutil.unpack_archive(DATA / "predictions" / "yunet_made_here.tar.gz", folder)
        texts = Path(folder, "yunet_pred")
        cost = run(["eval", "wider", "--gt", str(DATA / "gt"), "--predictions", str(texts)], Path(folder))
        console.print(f"text files of 3,226 pictures: {cost.seconds:.1f} s, {cost.gigabytes:.2f} GB")
        os.environ["XDG_CACHE_HOME"] = folder
        cases = []
        for model, threads, every, parts in CASES:
            ratio = overhead(contract(model, Path(folder)), threads, every, parts)
            name = f"{model}, {'all' if threads is None else threads} threads"
            console.print(f"detecting against the network alone, {name}: {ratio:.3f}")
            cases.append({"case": name, "cost_of_eval": ratio})
    record("eval", {"evaluator_s": cost.seconds, "evaluator_gb": cost.gigabytes, "cases": cases})


def contract(model: str, folder: Path) -> Path:
    """The file; MogFace's weights are random, on which its time does not depend."""
    if model == DEFAULT:
        return embedded_file(DEFAULT)
    import torch

    from engine_build.models.mogface.network import MogFace

    torch.manual_seed(0)
    torch.save(MogFace().state_dict(), folder / "mogface.pt")
    return contract_file(model, folder / "mogface.pt")


def overhead(model: Path, threads: int | None, every: int, parts: int) -> float:
    """Time of `eval` by time of the network, median over the parts."""
    procedure, truth = PROCEDURES["original"], read_ground_truth(ANNOTATIONS)[::every]
    backend = open_backend(model, procedure.choices(), threads=threads)
    assert isinstance(backend, CpuBackend)
    together, ratios = at_a_time(model, threads), []
    with Detector(backend) as detect, tempfile.TemporaryDirectory() as folder:
        for part in range(parts + 1):
            pictures = truth[max(0, part - 1) :: parts]
            paths = [SUBSET / "images" / each.event / f"{each.name}.jpg" for each in pictures]
            inputs = [placed(backend, path) for path in paths]
            started = time.perf_counter()
            for images in inputs:
                backend.executor.run(images)
            alone = time.perf_counter() - started
            started = time.perf_counter()
            for picture, predicted in zip(pictures, detect_all(detect, procedure, paths, together)):
                write_prediction(Path(folder), picture, predicted)
            ratios.append((time.perf_counter() - started) / alone)
    return statistics.median(ratios[1:])  # the first warms up


def placed(backend: CpuBackend, path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A picture as the network's input, uint8 [1, H, W, 3]."""
    image = read_image(path)
    placement = backend.settings.place(*image.shape[:2])
    out = np.empty((1, *placement.canvas, 3), np.uint8)
    paint(image, placement, backend.settings.spec.input.pad, out[0])
    return out


if __name__ == "__main__":
    main()
