"""Which faces a pyramid level sees."""

from __future__ import annotations

import math

from trt_mogface.errors import ModelError
from trt_mogface.spec import DetectorSpec


def levels_left_out(spec: DetectorSpec, min_face: float) -> int:
    """How many of the finest levels see nothing but faces smaller than ``min_face`` pixels.

    Raises:
        ModelError: All of them do, or ``min_face`` is not a positive number.
    """
    if not min_face > 0:
        raise ModelError(f"--min-face {min_face:g}: must be a positive number of pixels")
    count = sum(level.largest_face < min_face for level in spec.levels)
    if count == len(spec.levels):
        limit = math.floor(spec.levels[-1].largest_face)
        raise ModelError(f"--min-face {min_face:g}: {spec.name} sees faces up to {limit} px: use less")
    return count
