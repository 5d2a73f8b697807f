"""`DetectorSpec` of the published MogFace."""

from __future__ import annotations

from engine_build.models.mogface import RECIPES
from trt_mogface.spec import BoxCoding, DetectorSpec, InputSpec, Level, Origin, Thresholds

MEAN = (103.53, 116.28, 123.675)
STD = (57.375, 57.120003, 58.395)
"""Normalization of blue, green and red, on pixels 0..255."""

EXTRA_DIVISOR = 255.0
"""Second divisor, with which the published network was trained."""

STRIDES = (4, 8, 16, 32, 64, 128)
ANCHOR_SCALE = 0.68
CELLS_PER_ANCHOR = 4
"""Side of an anchor in strides, before the scale."""


def mogface_spec(weights_sha256: str) -> DetectorSpec:
    """Return the spec of MogFace ResNet-101 with the thresholds of ModelScope's ``MogFaceDetector``."""
    card = RECIPES[0].card
    blue, green, red = (round(value) for value in MEAN)
    return DetectorSpec(
        name=card.name,
        levels=tuple(Level(s, (CELLS_PER_ANCHOR * s * ANCHOR_SCALE,)) for s in STRIDES),
        coding=BoxCoding("ssd", inclusive=True),
        thresholds=Thresholds(score_threshold=0.82, iou_threshold=0.4),
        input=InputSpec(pad=(blue, green, red), longest_over=1500, longest_to=1000),
        origin=Origin(card.origin, card.license, weights_sha256),
    )
