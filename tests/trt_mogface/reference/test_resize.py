"""Placement and painting: the published rule, cv2's own pixels, and the way back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trt_mogface.reference.resize import (
    Placement,
    paint,
    place_letterbox,
    place_native,
    place_stretch,
    steps,
)
from trt_mogface.spec import InputSpec

PAD = (104, 117, 123)
RULE = InputSpec(pad=PAD, longest_over=1500, longest_to=1000)
PLAIN = InputSpec(pad=PAD)
EXTREME = [(1, 1), (1, 5000), (5000, 1), (31, 33), (32, 64)]
SIDES = st.integers(1, 3000)


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)


def painted(image: NDArray[np.uint8], placement: Placement) -> NDArray[np.uint8]:
    out = np.full((*placement.canvas, 3), 7, np.uint8)
    paint(image, placement, PAD, out)
    return out


@pytest.mark.parametrize("size", EXTREME)
def test_native_size_is_padded_right_and_below(size: tuple[int, int]) -> None:
    image = noise(*size)
    placement = place_native(*size, PLAIN, pad=True)
    assert all(side % 32 == 0 and 0 <= side - own < 32 for side, own in zip(placement.canvas, size))
    out = painted(image, placement)
    assert np.array_equal(out[: size[0], : size[1]], image)
    outside = np.ones(placement.canvas, bool)
    outside[: size[0], : size[1]] = False
    assert (out[outside] == PAD).all()


@pytest.mark.parametrize("size", EXTREME)
def test_raw_is_the_picture_itself(size: tuple[int, int]) -> None:
    image = noise(*size)
    assert np.array_equal(painted(image, place_native(*size, PLAIN, pad=False)), image)


@pytest.mark.parametrize(
    "size", [(1501, 100), (100, 1501), (1999, 1333), (1733, 2001), (3001, 2), (1, 5000), (1600, 1600)]
)
def test_long_sides_follow_the_published_rule_pixel_for_pixel(size: tuple[int, int]) -> None:
    image = noise(*size)
    ss = 1000.0 / max(size)
    placement = place_native(*size, RULE, pad=False)
    out = painted(image, placement)
    assert placement.scale == (ss, ss)
    if min(size) * ss >= 0.5:
        assert np.array_equal(out, cv2.resize(image, (0, 0), fx=ss, fy=ss))
    else:  # cv2.resize refuses; one row must be left
        assert out.shape == (1, 1000, 3)


@pytest.mark.parametrize("longest", [1499, 1500])
def test_up_to_the_limit_nothing_is_scaled(longest: int) -> None:
    assert place_native(longest, 20, RULE, pad=False) == Placement((1.0, 1.0), (longest, 20), (longest, 20))


@settings(max_examples=200, deadline=None)
@given(SIDES, SIDES, st.integers(1, 1500), st.integers(1, 1500))
def test_a_letterbox_fits_the_canvas_and_keeps_the_shape(
    height: int, width: int, rows: int, columns: int
) -> None:
    placement = place_letterbox(height, width, (rows, columns))
    assert placement.canvas == (rows, columns)
    assert all(1 <= side <= limit for side, limit in zip(placement.content, placement.canvas))
    assert rows in placement.content[:1] or columns in placement.content[1:]
    for side, own in zip(placement.content, (height, width)):
        assert placement.scale[0] == placement.scale[1]
        assert abs(side - max(1, own * placement.scale[0])) <= 0.5


@pytest.mark.parametrize("canvas", [(640, 640), (33, 64), (1, 1), (480, 7)])
@pytest.mark.parametrize("size", [*EXTREME, (886, 1280)])
def test_a_letterbox_paints_the_whole_canvas(size: tuple[int, int], canvas: tuple[int, int]) -> None:
    white = np.full((*size, 3), 255, np.uint8)
    placement = place_letterbox(*size, canvas)
    out = painted(white, placement)
    rows, columns = placement.content
    assert (out[:rows, :columns] == 255).all()
    assert np.count_nonzero((out == 255).all(axis=2)) == rows * columns
    assert np.count_nonzero((out == PAD).all(axis=2)) == out.shape[0] * out.shape[1] - rows * columns


@pytest.mark.parametrize(("size", "canvas"), [((400, 900), (320, 640)), ((900, 400), (320, 640))])
def test_a_spot_lands_where_the_scale_says(size: tuple[int, int], canvas: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), np.uint8)
    y0, x0, y1, x1 = 120, 210, 180, 330
    image[y0:y1, x0:x1] = 255
    placement = place_letterbox(*size, canvas)
    out = painted(image, placement)[: placement.content[0], : placement.content[1], 0]
    ys, xs = np.nonzero(out > 127)
    back = np.array([ys.min(), xs.min(), ys.max() + 1, xs.max() + 1]) / placement.scale[0]
    np.testing.assert_allclose(back, [y0, x0, y1, x1], atol=1 / placement.scale[0])


@pytest.mark.parametrize("pad", [False, True])
def test_the_rule_for_long_sides_can_be_switched_off(pad: bool) -> None:
    placement = place_native(3000, 20, RULE, pad=pad, shrink=False)
    assert placement == place_native(3000, 20, PLAIN, pad=pad)
    assert placement.scale == (1.0, 1.0)


@settings(max_examples=200, deadline=None)
@given(SIDES, SIDES, st.integers(1, 1500), st.integers(1, 1500))
def test_a_stretched_image_fills_the_canvas(height: int, width: int, rows: int, columns: int) -> None:
    placement = place_stretch(height, width, (rows, columns))
    assert placement.content == placement.canvas == (rows, columns)
    across, down = placement.scale
    assert (width * across, height * down) == pytest.approx((columns, rows))
    assert steps(placement, height, width) == pytest.approx((1 / across, 1 / down))


@pytest.mark.parametrize("canvas", [(480, 640), (33, 64), (1, 1), (480, 7), (900, 1), (31, 33), (62, 33)])
@pytest.mark.parametrize("size", [*EXTREME, (124, 66), (886, 1280)])
def test_stretched_pixels_are_those_of_opencv(size: tuple[int, int], canvas: tuple[int, int]) -> None:
    image = noise(*size)
    out = painted(image, place_stretch(*size, canvas))
    assert np.array_equal(out, cv2.resize(image, canvas[::-1]))
