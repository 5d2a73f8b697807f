"""Optimization profiles: the input shapes an engine accepts and the ones it is tuned for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from trt_mogface.errors import ArgumentError
from trt_mogface.models.manifest import Profile, Shape

DEFAULT_SHAPES = "1x224x224:1x640x640:8x1280x1280"
"""Heights and widths from 224 on, for further passes over reduced copies (`trt_mogface.reference.passes`)."""

LIMITS = (1024, 1 << 14, 1 << 14)
"""Largest batch, height and width that make sense; anything beyond is a mistake."""

MAX_BATCH_PIXELS = 1 << 32
"""Largest number of pixels of a batch; TensorRT-RTX 1.7 crashes on 2**36."""

FORM = "MIN:OPT:MAX, each BATCHxHEIGHTxWIDTH such as 1x320x320, or one size for a fixed shape"


def parse_profiles(shapes: Sequence[str] | None) -> tuple[Profile, ...]:
    """Return a profile for each text of `FORM`; without texts that of `DEFAULT_SHAPES`."""
    return tuple(_profile(text) for text in shapes or [DEFAULT_SHAPES])


def _profile(text: str) -> Profile:
    shapes = [_shape(part, text) for part in text.split(":")]
    if len(shapes) == 1:
        shapes *= 3
    if len(shapes) != 3:
        raise ArgumentError("shapes", f"use {FORM}", text)
    for axis, low, middle, high in zip(("batch", "height", "width"), *shapes):
        if not low <= middle <= high:
            problem = f"the {axis} goes {low}, {middle}, {high}, but must not fall from min to max"
            raise ArgumentError("shapes", problem, text)
    return Profile(*shapes)


def _shape(part: str, text: str) -> Shape:
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})x(\d{1,6})(?:x3)?", part)
    if match is None:
        raise ArgumentError("shapes", f"{part!r} is not a shape; use {FORM}", text)
    shape = (int(match[1]), int(match[2]), int(match[3]))
    if not all(0 < value <= limit for value, limit in zip(shape, LIMITS)):
        limits = f"1x1x1 and {'x'.join(map(str, LIMITS))}"
        raise ArgumentError("shapes", f"{part} must lie within {limits}", text)
    if shape[0] * shape[1] * shape[2] > MAX_BATCH_PIXELS:
        problem = f"{part} is more than {MAX_BATCH_PIXELS >> 20} megapixels; use a smaller batch"
        raise ArgumentError("shapes", problem, text)
    return shape
