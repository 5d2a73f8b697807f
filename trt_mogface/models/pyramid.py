"""Which faces a pyramid level sees."""

from __future__ import annotations

import math

from trt_mogface.errors import ModelError
from trt_mogface.spec import DetectorSpec, Level

MATCH_IOU = 0.35
"""Training matches an anchor with the faces it overlaps this well (S3FD, Zhang et al. 2017, and heirs)."""


def largest_face(level: Level) -> float:
    """Side in pixels of the largest square face that the level was trained to see.

    An anchor of side a inside a face of side f overlaps it by (a / f) squared.
    """
    return max(level.sides) / math.sqrt(MATCH_IOU)


def levels_left_out(spec: DetectorSpec, min_face: float) -> int:
    """How many of the finest levels see nothing but faces smaller than ``min_face`` pixels.

    Raises:
        ModelError: All of them do, or ``min_face`` is not a positive number.
    """
    if not min_face > 0:
        raise ModelError(f"--min-face {min_face:g}: must be a positive number of pixels")
    count = sum(largest_face(level) < min_face for level in spec.levels)
    if count == len(spec.levels):
        limit = math.floor(largest_face(spec.levels[-1]))
        raise ModelError(f"--min-face {min_face:g}: {spec.name} sees faces up to {limit} px: use less")
    return count
