"""Resampled boxes, against Pillow itself byte for byte, and weights against the triangle in doubles."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.support.boxes import Box, Size, by_pillow, by_two_passes, noise, random_box
from trt_mogface.errors import ArgumentError
from trt_mogface.reference.resample import TALL_ROWS_FIRST, resample, weights


def test_thousands_of_boxes_are_pillows() -> None:
    rng = np.random.default_rng(20)
    for _ in range(3000):
        image = noise(*rng.integers(1, 90, 2).tolist())
        box = random_box(rng, image.shape[:2], 130)
        size = tuple(rng.integers(1, 80, 2).tolist())
        assert np.array_equal(resample(image, box, size), by_pillow(image, box, size)), (box, size)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((1, 1), (1, 1)),
        ((1, 1), (40, 300)),
        ((1, 5000), (1, 1)),
        ((5000, 1), (1, 1)),
        ((1, 5000), (24, 24)),
        ((5000, 1), (24, 24)),
        ((5000, 7), (900, 5)),
        ((4096, 4), (1, 4)),  # weights at ties between two bits
        ((3, 8192), (2, 2)),
        ((2, 3), (1500, 1)),
        ((300, 400), (300, 400)),
        ((300, 400), (300, 37)),
        ((300, 400), (37, 400)),
        ((600, 250), (12, 5)),
        ((360, 640), (255, 453)),  # a step of the pyramid
    ],
)
def test_whole_images_are_pillows_at_extreme_ratios(shape: Size, size: Size) -> None:
    image = noise(*shape)
    box = (0, 0, shape[1], shape[0])
    assert np.array_equal(resample(image, box, size), by_pillow(image, box, size))


@pytest.mark.parametrize(
    "box",
    [
        (-50, 3, -10, 20),
        (60, 3, 90, 20),
        (3, -9, 20, -8),
        (3, 40, 20, 41),
        (-9, -9, 0, 0),
        (10**9, 5, 10**9 + 9, 8),
    ],
)
def test_a_box_outside_is_black(box: Box) -> None:
    assert not resample(noise(40, 60), box, (24, 24)).any()


def test_one_color_stays_what_it_is() -> None:
    for value in (0, 1, 128, 254, 255):
        image = np.full((53, 71, 3), value, np.uint8)
        for size in ((24, 24), (100, 9), (53, 200), (1, 1)):
            assert (resample(image, (0, 0, 71, 53), size) == value).all()


def test_the_image_stays_as_it_is() -> None:
    image = noise(30, 40)
    before = image.copy()
    image.flags.writeable = False
    resample(image, (-3, 2, 30, 28), (24, 24))
    assert np.array_equal(image, before)


@pytest.mark.parametrize("tall_rows_first", [False, True])
def test_the_order_of_both_passes_is_that_of_each_pillow(tall_rows_first: bool) -> None:
    """One axis at a time takes one pass in every Pillow."""
    rng = np.random.default_rng(21)
    differ = 0
    for _ in range(300):
        height, width, rows, columns = rng.integers(1, 90, 4).tolist()
        image = noise(height, width)
        lost = height - rows
        rows_first = tall_rows_first and lost > 0 and lost > 2 * (width - columns)
        expected = by_two_passes(image, (rows, columns), rows_first=rows_first)
        box = (0, 0, width, height)
        found = resample(image, box, (rows, columns), tall_rows_first=tall_rows_first)
        assert np.array_equal(found, expected)
        differ += not np.array_equal(
            expected, by_two_passes(image, (rows, columns), rows_first=not rows_first)
        )
    assert differ > 200


def test_the_default_order_is_that_of_the_installed_pillow() -> None:
    image = noise(90, 20)
    by_order = {first: by_two_passes(image, (10, 18), rows_first=first) for first in (False, True)}
    installed = np.asarray(Image.fromarray(image).resize((18, 10), Image.Resampling.BILINEAR))
    assert not np.array_equal(by_order[False], by_order[True])
    assert np.array_equal(by_order[TALL_ROWS_FIRST], installed)


def triangle(side: int, size: int) -> NDArray[np.float64]:
    """Weights of all pixels [size, side]: a triangle around the center of each pixel of the result."""
    scale = side / size
    centers = (np.arange(size) + 0.5) * scale
    distances = np.abs(np.arange(side) + 0.5 - centers[:, None]) / max(scale, 1.0)
    raw = np.maximum(1 - distances, 0)
    normal: NDArray[np.float64] = raw / raw.sum(axis=1, keepdims=True)
    return normal


@pytest.mark.parametrize("side", [1, 2, 3, 7, 24, 100, 129, 1000, 4096, 65536])
@pytest.mark.parametrize("size", [1, 2, 3, 24, 48, 101])
def test_weights_are_those_of_a_triangle(side: int, size: int) -> None:
    first, found = weights(side, size)
    whole = np.zeros((size, side + found.shape[1]), np.int64)
    np.put_along_axis(whole, first[:, None] + np.arange(found.shape[1]), found, axis=1)
    assert not whole[:, side:].any()
    exact = triangle(side, size) * 2**22
    assert np.abs(whole[:, :side] - exact).max() <= 0.5 + 1e-6
    if side * size < 2**28 and side**2 < 2**22 * size:
        assert np.array_equal(whole[:, :side], np.floor(exact + 0.5))
    assert (whole >= 0).all()


@pytest.mark.parametrize(
    "box", [(5, 5, 5, 9), (5, 5, 9, 5), (9, 5, 5, 9), (0, 0, 65537, 4), (0, -65000, 4, 1000)]
)
def test_a_box_without_pixels_or_beyond_measure_is_refused(box: Box) -> None:
    with pytest.raises(ArgumentError, match=r"^box \(.*\): sides must lie within 1\.\.65536$"):
        resample(noise(9, 9), box, (24, 24))


@pytest.mark.parametrize("size", [(0, 4), (4, 0), (-1, 4), (4, 65537)])
def test_a_size_out_of_range_is_refused(size: Size) -> None:
    with pytest.raises(ArgumentError, match=r"^size \(.*\): sides must lie within 1\.\.65536$"):
        resample(noise(9, 9), (0, 0, 9, 9), size)


@pytest.mark.parametrize(
    "image", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 4), np.uint8), np.zeros((9, 9, 3), np.float32)]
)
def test_other_images_are_refused(image: NDArray[np.uint8]) -> None:
    with pytest.raises(ArgumentError, match=r"^image: expected uint8 \[h, w, 3\], not "):
        resample(image, (0, 0, 9, 9), (24, 24))
