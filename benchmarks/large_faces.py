"""What the further passes over reduced copies find, and what they cost, with the default model.

AP by face size on every fourth of the 244 annotated WIDER FACE images, enlarged three times to a width
of 3072 pixels.  Faces of the setting hard count.  Then CPU time at 1920x1080, one thread, both sides in turn.

    python -m benchmarks.large_faces
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks._lib.data import ANNOTATIONS, image_file
from benchmarks._lib.results import record
from trt_mogface.detector import Detector
from trt_mogface.evaluation.average_precision import Flags, Floats, curve, match, range_of
from trt_mogface.evaluation.predictions import Predicted
from trt_mogface.evaluation.procedure import PROCEDURES
from trt_mogface.evaluation.wider_face import Annotated, read_ground_truth
from trt_mogface.frame import Image
from trt_mogface.images import read_image
from trt_mogface.reference.passes import Scales

EVERY, ENLARGED = 4, 3
ROUNDS = 30
SCALES: tuple[Scales, ...] = ("native", "full")
SIZES = {">= 800 px": (800, np.inf), "400-800 px": (400, 800), "< 400 px": (0, 400), "all": (0, np.inf)}
"""Bounds of the longer side of a face in the enlarged image."""


def main() -> None:
    truth = sorted(read_ground_truth(ANNOTATIONS), key=lambda image: image.key)[::EVERY]
    table = Table("scales", *SIZES, "CPU seconds")
    figures: dict[str, Any] = {"images": len(truth)}
    for scales in SCALES:
        ap, seconds = measured(truth, scales)
        figures[str(scales)] = {"ap": ap, "cpu_seconds": seconds}
        table.add_row(str(scales), *(f"{value:.4f}" for value in ap.values()), f"{seconds:.1f}")
    figures["full"]["cost"] = round(figures["full"]["cpu_seconds"] / figures["native"]["cpu_seconds"], 3)
    figures["cost_at_1920x1080"] = cost(enlarged(truth[0], (1920, 1080)))
    out = Console()
    out.print(table)
    out.print(f"CPU time at 1920x1080, full against native: {figures['cost_at_1920x1080']:.3f}")
    record("large_faces", figures)


def enlarged(image: Annotated, size: tuple[int, int] | None = None) -> Image:
    """Return an image of the set, enlarged, or of the given width and height."""
    pixels = read_image(image_file(image))
    return cv2.resize(pixels, size, fx=ENLARGED, fy=ENLARGED).astype(np.uint8, copy=False)


def measured(truth: list[Annotated], scales: Scales) -> tuple[dict[str, float], float]:
    """Return the AP of each class of sizes, and the CPU seconds of the detector."""
    procedure, found, seconds = PROCEDURES["original"], [], 0.0
    with Detector(**procedure.options(scales=scales)) as detect:
        for each in truth:
            image = enlarged(each)
            begun = time.process_time()
            found.append(procedure.predict(detect, image))
            seconds += time.process_time() - begun
    return average_precisions(truth, found), round(seconds, 1)


def average_precisions(truth: list[Annotated], found: list[Predicted]) -> dict[str, float]:
    """Return the AP of each class of sizes."""
    matches = [match(p.boxes, p.scores, t.faces * ENLARGED) for p, t in zip(found, truth)]
    scores = range_of(matches)
    return {
        name: round(
            curve(matches, [t.counted["hard"] & within(t.faces, *bounds) for t in truth], scores).ap, 4
        )
        for name, bounds in SIZES.items()
    }


def within(faces: Floats, low: float, high: float) -> Flags:
    """Return which of the faces, x, y, w, h, have a longer side within bounds once they are enlarged."""
    side = faces[:, 2:].max(axis=1, initial=0) * ENLARGED
    return np.asarray((side >= low) & (side < high), np.bool_)


def cost(image: Image) -> float:
    """Return the median ratio of the CPU times of all passes and of one, in turn."""
    with Detector(threads=1, scales="native") as native, Detector(threads=1) as full:
        pairs = [(cpu_seconds(full, image), cpu_seconds(native, image)) for _ in range(ROUNDS + 3)]
    return round(statistics.median(one / other for one, other in pairs[3:]), 3)


def cpu_seconds(detect: Detector, image: Image) -> float:
    """Return the CPU seconds of a call."""
    begun = time.process_time()
    detect(image)
    return time.process_time() - begun


if __name__ == "__main__":
    main()
