"""Antialiased bilinear resampling of a box of an image, equal to Pillow's byte for byte.

A row or column of the result is a weighted mean of the pixels under a triangle around its center, which
reaches one pixel of the result to each side, or one pixel of the box where the box is enlarged.  Weights have
22 fractional bits.  Columns are made first and rounded to bytes, then rows.  Pillow 13 makes rows first for
some tall boxes, which changes their bytes.
"""

from __future__ import annotations

import numpy as np
import PIL
from numpy.typing import NDArray

from trt_mogface.errors import ArgumentError
from trt_mogface.frame import Image

FRACTION = 22
"""Fractional bits of the weights: 32, less 8 of a pixel and 2 to spare."""

LONGEST_SIDE = 1 << 16
"""Pixels of a side of a box or of a result."""

TALL_ROWS_FIRST = int(PIL.__version__.partition(".")[0]) >= 13
"""Whether the installed Pillow makes rows first where a box loses more than twice as many rows as columns."""

Box = tuple[int, int, int, int]


def resample(
    image: Image, box: Box, size: tuple[int, int], *, tall_rows_first: bool = TALL_ROWS_FIRST
) -> Image:
    """Resample a box of an image.

    Args:
        image: uint8 [h, w, 3].
        box: Edges x0, y0, x1, y1 in pixels, the last two exclusive; black where they lie outside.
        size: Height and width of the result.
        tall_rows_first: Whether the order of the passes is that of Pillow 13; default as the installed
            Pillow.

    Returns:
        uint8 [height, width, 3]: ``Image.crop(box).resize((width, height), BILINEAR)`` of Pillow.

    Raises:
        ArgumentError: If ``image`` has another type or shape, or a side of ``box`` or ``size`` is not within
            1..65536.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ArgumentError("image", f"expected uint8 [h, w, 3], not {image.dtype} {list(image.shape)}")
    x0, y0, x1, y1 = map(int, box)
    height, width = size
    for name, value, sides in (("box", box, (x1 - x0, y1 - y0)), ("size", size, size)):
        if not all(1 <= side <= LONGEST_SIDE for side in sides):
            raise ArgumentError(name, f"sides must lie within 1..{LONGEST_SIDE}", value)
    rows_less = y1 - y0 - height
    rows_first = tall_rows_first and rows_less > max(0, 2 * (x1 - x0 - width))
    top, left = max(y0, 0), max(x0, 0)
    image = image[top : max(y1, 0), left : max(x1, 0)]
    passes = [(1, x0 - left, x1 - left, width), (0, y0 - top, y1 - top, height)]
    for axis, start, stop, length in reversed(passes) if rows_first else passes:
        image = _along(image, axis, start, stop, length)
    return image


def weights(side: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the weights with which ``side`` pixels become ``size``.

    Returns:
        Number of the first pixel of each mean [size], and weights of it and the next ones [size, T]; zero
        beyond the triangle and the last pixel.

    Pillow computes them in doubles.  Here they are ratios of integers, which are exact on every GPU too.
    Both round alike while ``side * size`` is below 2**28, so that a double's error is too small, and
    ``side**2 / size`` below 2**22, so that there are no ties.
    """
    # Distances are in units of 1 / (2 * size) pixels of the box; the triangle is as high as half its base.
    height = 2 * max(side, size)
    centers = (2 * np.arange(size, dtype=np.int64) + 1) * side
    first = np.maximum((centers - height - size) // (2 * size) + 1, 0)
    last = np.minimum(-((size - centers - height) // (2 * size)), side)
    pixels = first[:, None] + np.arange((last - first).max())
    triangle = height - np.abs((2 * pixels + 1) * size - centers[:, None])
    triangle = np.where(pixels < last[:, None], triangle, 0)
    sums = triangle.sum(axis=1, keepdims=True)
    return first, (((triangle << (FRACTION + 1)) + sums) // (2 * sums)).astype(np.int32)


def _along(image: Image, axis: int, start: int, stop: int, size: int) -> Image:
    """Resample pixels ``start`` to ``stop`` of an axis, which may lie outside."""
    shape = list(image.shape)
    length, shape[axis] = shape[axis], size
    total = np.full(shape, 1 << (FRACTION - 1), np.int32)
    first, by = weights(stop - start, size)
    pixels = start + first[:, None] + np.arange(by.shape[1])
    by = np.where((pixels >= 0) & (pixels < length), by, 0)
    for step in np.flatnonzero(by.any(axis=0)):
        found = image.take(pixels[:, step].clip(0, length - 1), axis)
        total += found * by[:, step].reshape(-1, *[1] * (2 - axis))
    return (total >> FRACTION).clip(0, 255).astype(np.uint8)
