"""Pyramid levels by the faces that they see."""

from __future__ import annotations

import math

from trt_mogface.errors import ArgumentError
from trt_mogface.spec import DetectorSpec


def levels_left_out(spec: DetectorSpec, min_face: float) -> int:
    """Return how many of the finest levels see only faces smaller than ``min_face`` pixels.

    Raises:
        ArgumentError: If ``min_face`` is not positive, or no level would be left.
    """
    if not min_face > 0:
        raise ArgumentError("min_face", "must be a positive number of pixels", min_face)
    count = sum(level.largest_face < min_face for level in spec.levels)
    if count == len(spec.levels):
        limit = math.floor(max(level.largest_face for level in spec.levels))
        raise ArgumentError("min_face", f"{spec.name} sees faces up to {limit} pixels; use less", min_face)
    return count
