"""Optimization profiles: the sizes an engine accepts and the one it is tuned for."""

from __future__ import annotations

import re

from trt_mogface.errors import UsageError
from trt_mogface.models.manifest import Profile, Shape

DEFAULT_SHAPES = "1x320x320:1x640x640:8x1280x1280"

LIMITS = (1024, 1 << 14, 1 << 14)
"""Largest batch, height and width that make sense; beyond it is a mistake."""

MOST_PIXELS = 1 << 32
"""Of a whole batch; TensorRT-RTX 1.7 crashes on 2**36."""

FORM = "MIN:OPT:MAX, each BATCHxHEIGHTxWIDTH such as 1x320x320, or one size for a fixed shape"


def parse_profiles(texts: list[str] | None) -> tuple[Profile, ...]:
    """Profiles from what ``--shapes`` takes; `DEFAULT_SHAPES` where nothing is given.

    Raises:
        UsageError: Another form, or minimum, optimum and maximum out of order.
    """
    return tuple(_profile(text) for text in texts or [DEFAULT_SHAPES])


def _profile(text: str) -> Profile:
    shapes = [_shape(part, text) for part in text.split(":")]
    if len(shapes) == 1:
        shapes *= 3
    if len(shapes) != 3:
        raise UsageError(f"--shapes {text}: use {FORM}")
    for what, low, middle, high in zip(("batch", "height", "width"), *shapes):
        if not low <= middle <= high:
            raise UsageError(
                f"--shapes {text}: the {what} goes {low}, {middle}, {high}, but must not fall from min to max"
            )
    return Profile(*shapes)


def _shape(part: str, text: str) -> Shape:
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})x(\d{1,6})(?:x3)?", part)
    if match is None:
        raise UsageError(f"--shapes {text}: {part!r} is not understood, use {FORM}")
    shape = (int(match[1]), int(match[2]), int(match[3]))
    if not all(0 < value <= limit for value, limit in zip(shape, LIMITS)):
        raise UsageError(f"--shapes {text}: {part} must lie within 1x1x1 and {'x'.join(map(str, LIMITS))}")
    if shape[0] * shape[1] * shape[2] > MOST_PIXELS:
        raise UsageError(
            f"--shapes {text}: {part} is more than {MOST_PIXELS >> 20} megapixels: use a smaller batch"
        )
    return shape
