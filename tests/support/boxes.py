"""Boxes of images, and Pillow's pixels of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Size = tuple[int, int]
Box = tuple[int, int, int, int]


def noise(height: int, width: int, *, seed: int = 0) -> Pixels:
    return np.random.default_rng([seed, height, width]).integers(0, 256, (height, width, 3), np.uint8)


def random_box(rng: np.random.Generator, image: Size, longest: int) -> Box:
    """A box of sides up to ``longest`` that may lie partly or wholly outside of an image."""
    width, height = rng.integers(1, longest + 1, 2).tolist()
    x0 = int(rng.integers(-width - 2, image[1] + 3))
    y0 = int(rng.integers(-height - 2, image[0] + 3))
    return x0, y0, x0 + width, y0 + height


def by_pillow(image: Pixels, box: Box, size: Size) -> Pixels:
    """The box of an image, resized by the installed Pillow."""
    cut = Image.fromarray(image).crop(box)
    return np.asarray(cut.resize(size[::-1], Image.Resampling.BILINEAR))


def by_two_passes(image: Pixels, size: Size, *, rows_first: bool) -> Pixels:
    """The image, resized by Pillow along one axis, then along the other."""
    height, width = image.shape[:2]
    between = (width, size[0]) if rows_first else (size[1], height)
    half = Image.fromarray(image).resize(between, Image.Resampling.BILINEAR)
    return np.asarray(half.resize(size[::-1], Image.Resampling.BILINEAR))
