"""Frames in the network input, against OpenCV and `reference.color` to the last bit."""

from __future__ import annotations

import itertools
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.device import Bytes, copied, filled, memory, reseed
from tests.support.frames import apart, bgr_by_formula, laid_apart, made_frame, yuv_frame
from tests.support.strategies import examples
from trt_mogface.frame import FORMATS, MATRICES, RANGES, ColorMatrix, ColorRange, Frame, PixelFormat
from trt_mogface.kernels import FRAME_BYTES, Kernels
from trt_mogface.reference.color import to_bgr
from trt_mogface.reference.resize import Placement, paint, place_letterbox, place_native, place_stretch
from trt_mogface.spec import InputSpec

PAD = (104, 117, 123)
Size = tuple[int, int]
COLORS = list(itertools.product([kind for kind in FORMATS if kind != "bgr"], MATRICES, RANGES))


def noise(*shape: int, seed: int = 0) -> Bytes:
    return np.random.default_rng([seed, *shape]).integers(0, 256, shape, np.uint8)


Placed = tuple[Frame, Placement]


def placed(image: Bytes, placement: Placement, gap: int = 0, offset: int = 0) -> Placed:
    return Frame((apart(image, gap, offset),)), placement


def fit(image: Bytes, canvas: Size, gap: int = 0, offset: int = 0) -> Placed:
    """A frame in a letterbox."""
    return placed(image, place_letterbox(image.shape[0], image.shape[1], canvas), gap, offset)


def letterbox(kernels: Kernels, frames: list[Placed], canvas: Size, pad: tuple[int, int, int] = PAD) -> Bytes:
    made, placements = zip(*frames)
    table = copied(kernels.frame_table(made, placements, canvas))
    assert table.shape == (len(frames), FRAME_BYTES)
    images = memory(len(frames) * canvas[0] * canvas[1] * 3).reshape(len(frames), *canvas, 3)
    kernels.letterbox(table, images, pad=pad)
    return images


def painted(image: Bytes, placement: Placement, pad: tuple[int, int, int] = PAD) -> Bytes:
    out = np.empty((*placement.canvas, 3), np.uint8)
    paint(image, placement, pad, out)
    return out


SIDES = st.integers(1, 200)


@examples(150)
@given(
    frame=st.tuples(SIDES, SIDES),
    canvas=st.tuples(SIDES, SIDES),
    gap=st.integers(0, 7),
    offset=st.integers(0, 3),
    seed=st.integers(0, 2**31),
)
@example(frame=(1, 1), canvas=(1, 1), gap=0, offset=3, seed=0)
@example(frame=(1, 200), canvas=(200, 1), gap=0, offset=1, seed=0)
@example(frame=(200, 1), canvas=(9, 129), gap=1, offset=2, seed=0)
@example(frame=(2, 2), canvas=(200, 200), gap=1, offset=1, seed=0)
def test_a_letterbox_is_that_of_opencv(
    kernels: Kernels, frame: Size, canvas: Size, gap: int, offset: int, seed: int
) -> None:
    reseed(kernels.path, seed)
    image = noise(*frame, 3, seed=seed)
    made = fit(image, canvas, gap, offset)
    assert np.array_equal(letterbox(kernels, [made], canvas)[0], painted(image, made[1]))


@examples(60)
@given(
    frame=st.tuples(SIDES, SIDES),
    longest=st.tuples(st.integers(1, 150), st.integers(1, 200)),
    multiple=st.sampled_from([1, 8, 32]),
    offset=st.integers(0, 3),
)
def test_native_size_is_that_of_opencv(
    kernels: Kernels, frame: Size, longest: tuple[int, int], multiple: int, offset: int
) -> None:
    rule = InputSpec(multiple=multiple, longest_over=longest[0], longest_to=longest[1])
    placement = place_native(*frame, rule)
    image = noise(*frame, 3)
    made = placed(image, placement, 1, offset)
    assert np.array_equal(letterbox(kernels, [made], placement.canvas)[0], painted(image, placement))


@pytest.mark.parametrize("offset", range(4))
@pytest.mark.parametrize("frame", [(1, 1), (1, 130), (9, 1), (17, 131)])
def test_unscaled_pixels_are_the_frame_itself(kernels: Kernels, frame: Size, offset: int) -> None:
    image = noise(*frame, 3)
    made = placed(image, place_native(*frame, InputSpec()), 0, offset)
    out = letterbox(kernels, [made], made[1].canvas)[0]
    assert made[1].scale == (1.0, 1.0)
    assert np.array_equal(out[: frame[0], : frame[1]], image)
    assert np.array_equal(out, painted(image, made[1]))


HALVES = [(2, 2), (64, 96), (63, 96), (64, 97), (61, 91), (5, 7), (1, 8), (3, 200), (199, 3), (7, 7)]


@pytest.mark.parametrize("frame", HALVES)
def test_half_the_size_is_that_of_opencv(kernels: Kernels, frame: Size) -> None:
    content = (max(1, round(frame[0] / 2)), max(1, round(frame[1] / 2)))
    placement = Placement((0.5, 0.5), content, (content[0] + 1, content[1] + 2))
    for seed in range(3):
        image = noise(*frame, 3, seed=seed)
        out = letterbox(kernels, [placed(image, placement)], placement.canvas)
        assert np.array_equal(out[0], painted(image, placement))


@pytest.mark.parametrize("factor", [2, 3, 4, 1 / 3, 0.25, 1.5, 0.1])
def test_round_factors_are_those_of_opencv(kernels: Kernels, factor: float) -> None:
    image = noise(60, 84, 3)
    content = (round(60 * factor), round(84 * factor))
    placement = Placement((factor, factor), content, content)
    out = letterbox(kernels, [placed(image, placement)], content)
    assert np.array_equal(out[0], painted(image, placement))


@pytest.mark.parametrize("value", [0, 1, 127, 254, 255])
def test_one_color_stays_what_it_is(kernels: Kernels, value: int) -> None:
    image = np.full((50, 70, 3), value, np.uint8)
    out = letterbox(kernels, [fit(image, (133, 91))], (133, 91))[0]
    rows, columns = fit(image, (133, 91))[1].content
    assert (out[:rows, :columns] == value).all()


@pytest.mark.parametrize("frame", [(1501, 2), (1600, 41), (3, 1999)])
def test_the_rule_for_long_sides_is_that_of_opencv(kernels: Kernels, frame: Size) -> None:
    placement = place_native(*frame, InputSpec(longest_over=1500, longest_to=1000))
    image = noise(*frame, 3)
    out = letterbox(kernels, [placed(image, placement)], placement.canvas)
    assert np.array_equal(out[0], painted(image, placement))


def test_a_batch_of_different_frames_takes_one_launch(kernels: Kernels) -> None:
    canvas = (150, 140)
    images = [noise(*size, 3) for size in [(150, 140), (1, 1), (300, 20), (97, 131), (20, 301), (8, 8)]]
    frames = [fit(image, canvas, gap=i, offset=i % 4) for i, image in enumerate(images)]
    for kind, matrix, range_ in COLORS:
        yuv = made_frame(kind, (21, 30), matrix, range_)
        images.append(to_bgr(yuv))
        frames.append((laid_apart(yuv, 2), place_stretch(21, 30, canvas)))
    out = letterbox(kernels, frames, canvas)
    for image, frame, made in zip(images, frames, out):
        assert np.array_equal(made, painted(image, frame[1]))


def test_a_frame_may_be_used_twice(kernels: Kernels) -> None:
    frame = fit(noise(30, 40, 3), (32, 32))
    out = letterbox(kernels, [frame, frame, frame], (32, 32))
    assert np.array_equal(out[0], out[1])
    assert np.array_equal(out[0], out[2])


@pytest.mark.parametrize("pad", [(0, 0, 0), (255, 255, 255), (1, 2, 3), (255, 0, 128)])
def test_every_byte_beside_and_below_is_padding(kernels: Kernels, pad: tuple[int, int, int]) -> None:
    placement = Placement((1.0, 1.0), (7, 9), (21, 140))
    out = letterbox(kernels, [placed(noise(7, 9, 3), placement)], (21, 140), pad)[0]
    outside = np.ones((21, 140), bool)
    outside[:7, :9] = False
    assert (out[outside] == pad).all()


def test_padding_is_black_unless_said(kernels: Kernels) -> None:
    frame, placement = placed(noise(1, 1, 3), Placement((1.0, 1.0), (1, 1), (2, 2)))
    table = kernels.frame_table([frame], [placement], (2, 2))
    images = filled((1, 2, 2, 3), np.uint8, 9)
    kernels.letterbox(table, images)
    assert (images[0, 1] == 0).all()


def test_a_row_cut_out_of_a_wider_image_is_read_where_it_lies(kernels: Kernels) -> None:
    wide = noise(60, 200, 3)
    window = wide[11:51, 33:90]
    placement = place_letterbox(40, 57, (64, 64))
    out = letterbox(kernels, [(Frame((window,)), placement)], (64, 64))
    assert np.array_equal(out[0], painted(np.ascontiguousarray(window), placement))


def test_the_same_table_can_be_used_again_when_the_pixels_have_changed(kernels: Kernels) -> None:
    pixels = apart(noise(30, 40, 3, seed=1))
    placement = place_letterbox(30, 40, (32, 32))
    table = kernels.frame_table([Frame((pixels,))], [placement], (32, 32))
    pixels[...] = noise(30, 40, 3, seed=2)
    images = memory(32 * 32 * 3).reshape(1, 32, 32, 3)
    kernels.letterbox(table, images, pad=PAD)
    assert np.array_equal(images[0], painted(noise(30, 40, 3, seed=2), placement))


@examples(60)
@given(
    frame=st.tuples(SIDES, SIDES),
    canvas=st.tuples(SIDES, SIDES),
    gap=st.integers(0, 7),
    offset=st.integers(0, 3),
)
@example(frame=(1, 1), canvas=(1, 1), gap=0, offset=3)
@example(frame=(124, 66), canvas=(62, 33), gap=0, offset=0)
@example(frame=(62, 66), canvas=(62, 33), gap=0, offset=0)
@example(frame=(124, 33), canvas=(62, 33), gap=0, offset=0)
def test_a_stretched_frame_is_that_of_opencv(
    kernels: Kernels, frame: Size, canvas: Size, gap: int, offset: int
) -> None:
    image = noise(*frame, 3)
    out = letterbox(kernels, [placed(image, place_stretch(*frame, canvas), gap, offset)], canvas)
    assert np.array_equal(out[0], cv2.resize(image, canvas[::-1]))


def native(frame: Frame) -> Placement:
    return Placement((1.0, 1.0), frame.size, frame.size)


@examples(120)
@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    canvas=st.tuples(st.integers(1, 150), st.integers(1, 150)),
    colors=st.sampled_from(COLORS),
    gap=st.integers(0, 5),
    offset=st.integers(0, 3),
    interleaved=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_yuv_is_that_of_the_specification(
    kernels: Kernels,
    size: Size,
    canvas: Size,
    colors: Any,
    gap: int,
    offset: int,
    interleaved: bool,
    seed: int,
) -> None:
    kind, matrix, range_ = colors
    made = made_frame(kind, size, matrix, range_, seed=seed)
    frame = laid_apart(made, gap, offset)
    if not interleaved:
        rows = tuple(plane.reshape(len(plane), -1) for plane in made.planes)
        frame = laid_apart(Frame(rows, kind, matrix, range_), gap, offset)
    placement = place_letterbox(*size, canvas)
    out = letterbox(kernels, [(frame, placement)], canvas)
    assert np.array_equal(out[0], painted(to_bgr(made), placement))


def every_color(kind: PixelFormat, matrix: ColorMatrix, range_: ColorRange) -> Frame:
    """All lumas against a grid of U and V."""
    most = 1023 if kind == "p010" else 255
    luma = np.tile(np.linspace(0, most, 256).astype(int), (2 * 37, 1))
    grid = np.linspace(0, most, 37).astype(int)
    u, v = np.meshgrid(np.tile(grid, 4)[:128], grid)
    return yuv_frame(kind, luma, u, v, matrix, range_)


@pytest.mark.parametrize(("kind", "matrix", "range_"), COLORS)
def test_all_colors_are_those_of_the_specification(
    kernels: Kernels, kind: PixelFormat, matrix: ColorMatrix, range_: ColorRange
) -> None:
    frame = every_color(kind, matrix, range_)
    out = letterbox(kernels, [(frame, native(frame))], frame.size)[0]
    assert len(np.unique(out.reshape(-1, 3), axis=0)) > 1000
    assert np.array_equal(out, to_bgr(frame))
    assert np.abs(out - bgr_by_formula(frame)).max() <= 1


@pytest.mark.parametrize("kind", ["nv12", "i420"])
def test_limited_bt601_is_that_of_opencv(kernels: Kernels, kind: PixelFormat) -> None:
    frame = every_color(kind, "bt601", "limited")
    height, width = frame.size
    stacked = np.concatenate([plane.ravel() for plane in frame.planes]).reshape(height * 3 // 2, width)
    expected = cv2.cvtColor(stacked, cv2.COLOR_YUV2BGR_NV12 if kind == "nv12" else cv2.COLOR_YUV2BGR_I420)
    out = letterbox(kernels, [(frame, native(frame))], frame.size)[0]
    assert np.array_equal(out, expected)
