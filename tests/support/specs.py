"""Specs and small values that several tests share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_mogface.spec import (
    BoxCoding,
    DetectorSpec,
    InputSpec,
    Level,
    Origin,
    Thresholds,
)

Floats = NDArray[np.float32]

MOGFACE = DetectorSpec(
    name="mogface",
    levels=tuple(Level(stride, (4 * stride * 0.68,)) for stride in (4, 8, 16, 32, 64, 128)),
    coding=BoxCoding("ssd", inclusive=True),
    thresholds=Thresholds(score_threshold=0.82, iou_threshold=0.4),
    input=InputSpec(longest_over=1500, longest_to=1000),
    origin=Origin("made up", "none", "0" * 64),
)
"""Written out here from the published code, independently of `engine_build`."""


def coding(kind: str) -> BoxCoding:
    """A coding by name; ``inclusive`` is that of MogFace, and ``spread`` that of ULFD."""
    if kind == "inclusive":
        return BoxCoding("ssd", inclusive=True)
    return BoxCoding("distance" if kind == "distance" else "ssd", (0.1, 0.2), spread=kind == "spread")


def small_spec(kind: str = "ssd", *, landmarks: int = 0, **selection: Any) -> DetectorSpec:
    """Two levels; an 8x8 image has four anchors."""
    thresholds = {"score_threshold": 0.5, "iou_threshold": 0.4, **selection}
    return DetectorSpec(
        name="small",
        levels=(Level(8, (8.0, 16.0)), Level(16, (32.0, 64.0))),
        coding=coding(kind),
        thresholds=Thresholds(**thresholds),
        input=InputSpec(),
        origin=Origin("made up", "none", "0" * 64),
        landmarks=landmarks,
    )


def one_line(error: BaseException) -> str:
    """An error's message, which must be one line that says something."""
    text = str(error)
    assert text.strip()
    assert "\n" not in text
    return text


def iou(one: Floats, other: Floats) -> float:
    """Plain IoU of two boxes, in Python floats."""
    ax0, ay0, ax1, ay1 = map(float, one)
    bx0, by0, bx1, by1 = map(float, other)
    width = max(0.0, min(ax1, bx1) - max(ax0, bx0))
    height = max(0.0, min(ay1, by1) - max(ay0, by0))
    both = width * height
    return both / ((ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - both)
