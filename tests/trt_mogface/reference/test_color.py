"""Colors against OpenCV bit for bit, against swscale, and against the formulas of the standards."""

from __future__ import annotations

import itertools
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.frames import bgr_by_formula, levels, made_frame, yuv_frame
from trt_mogface.frame import FORMATS, MATRICES, RANGES, ColorMatrix, ColorRange, Frame, PixelFormat
from trt_mogface.reference import color
from trt_mogface.reference.color import to_bgr

YUV = [kind for kind in FORMATS if kind != "bgr"]
KINDS = list(itertools.product(YUV, MATRICES, RANGES))
SIZES = [(1, 1), (1, 2), (2, 1), (2, 2), (5, 7), (33, 64), (61, 91)]

NEAREST, ACCURATE = 16, 0x40000 | 0x4000 | 0x2000 | 16
"""Of swscale: chroma of the nearest sample, and every sum in full."""


def by_swscale(frame: Frame, flags: int) -> NDArray[np.int64]:
    av = pytest.importorskip("av", reason="PyAV, which has swscale, is not installed")
    height, width = frame.size
    name = {"nv12": "nv12", "i420": "yuv420p", "p010": "p010le"}[frame.format]
    video: Any = av.VideoFrame(width, height, name)
    for to, plane in zip(video.planes, frame.planes):
        rows = np.ascontiguousarray(plane).reshape(len(plane), -1).view(np.uint8)
        padded = np.zeros((to.height, to.line_size), np.uint8)
        padded[:, : rows.shape[1]] = rows
        to.update(padded.tobytes())
    space = {"bt601": 5, "bt709": 1, "bt2020": 9}[frame.matrix]
    made = video.reformat(
        format="bgr24",
        src_colorspace=space,
        dst_colorspace=space,
        src_color_range=1 if frame.range == "limited" else 2,
        dst_color_range=2,
        interpolation=flags,
    )
    image: NDArray[np.int64] = made.to_ndarray(format="bgr24").astype(np.int64)
    return image


@pytest.mark.parametrize(("size", "flat"), [((240, 320), 4), ((123, 77), 99), ((76, 121), 99)])
@pytest.mark.parametrize(("kind", "matrix", "range_"), KINDS)
def test_colors_are_those_of_swscale(
    kind: PixelFormat, matrix: ColorMatrix, range_: ColorRange, size: tuple[int, int], flat: int
) -> None:
    # Where sides are odd, swscale stretches the chroma.
    frame = made_frame(kind, size, matrix, range_, flat=flat, legal=True)
    for flags, most in ((NEAREST, 3), (ACCURATE, 1)):
        off = np.abs(to_bgr(frame) - by_swscale(frame, flags))
        # swscale's full sums wrap around for a few colors far outside of RGB.
        assert np.mean(off > most) < (1e-4 if flags == NEAREST else 1e-3)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("kind", "matrix", "range_"), KINDS)
def test_colors_are_those_of_the_standard(
    kind: PixelFormat, matrix: ColorMatrix, range_: ColorRange, size: tuple[int, int]
) -> None:
    frame = made_frame(kind, size, matrix, range_, seed=3)
    image = to_bgr(frame)
    assert image.dtype == np.uint8
    assert image.shape == (*size, 3)
    # OpenCV's factors of BT.601 have three decimals.
    assert np.abs(image - bgr_by_formula(frame)).max() <= (
        1 if color.factors(matrix, range_, 8) is color.OPENCV else 0.51
    )


@pytest.mark.parametrize("size", [(2, 2), (4, 6), (360, 640)])
@pytest.mark.parametrize("kind", ["nv12", "i420"])
def test_limited_bt601_is_opencvs_to_the_last_bit(
    kind: PixelFormat, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = made_frame(kind, size)
    height, width = size
    stacked = np.concatenate([plane.ravel() for plane in frame.planes]).reshape(height * 3 // 2, width)
    expected = cv2.cvtColor(stacked, cv2.COLOR_YUV2BGR_NV12 if kind == "nv12" else cv2.COLOR_YUV2BGR_I420)
    assert np.array_equal(to_bgr(frame), expected)
    monkeypatch.setattr(color, "OPENCV", None)  # and without its help
    monkeypatch.setattr(color, "factors", lambda *_: OPENCV)
    assert np.array_equal(to_bgr(frame), expected)


OPENCV = color.OPENCV


@pytest.mark.parametrize(("kind", "matrix", "range_"), KINDS)
def test_black_gray_and_white(kind: PixelFormat, matrix: ColorMatrix, range_: ColorRange) -> None:
    black, white, gray = levels(kind, range_)
    for luma, expected in ((black, 0), (white, 255), (0, 0), (1023 if kind == "p010" else 255, 255)):
        frame = yuv_frame(
            kind, np.full((3, 5), luma), np.full((2, 3), gray), np.full((2, 3), gray), matrix, range_
        )
        assert (to_bgr(frame) == expected).all()


@pytest.mark.parametrize("kind", YUV)
def test_every_gray_is_gray(kind: PixelFormat) -> None:
    luma = np.tile(np.arange(1024 if kind == "p010" else 256), (2, 1))
    gray = np.full((1, luma.shape[1] // 2), levels(kind, "full")[2])
    for matrix, range_ in itertools.product(MATRICES, RANGES):
        image = to_bgr(yuv_frame(kind, luma, gray, gray, matrix, range_))
        assert (image == image[..., :1]).all()
        assert (np.diff(image[0, :, 0].astype(int)) >= 0).all()


@pytest.mark.parametrize("kind", YUV)
def test_the_extremes_of_all_samples_overflow_nothing(kind: PixelFormat) -> None:
    most = 1023 if kind == "p010" else 255
    for y, u, v in itertools.product((0, most), repeat=3):
        for matrix, range_ in itertools.product(MATRICES, RANGES):
            frame = yuv_frame(
                kind, np.full((3, 3), y), np.full((2, 2), u), np.full((2, 2), v), matrix, range_
            )
            assert np.abs(to_bgr(frame) - bgr_by_formula(frame)).max() <= 1


def test_the_lower_bits_of_p010_do_not_matter() -> None:
    frame = made_frame("p010", (5, 7))
    noisy = Frame(tuple(plane | 0x3F for plane in frame.planes), "p010")
    assert np.array_equal(to_bgr(frame), to_bgr(noisy))


def test_rows_may_lie_apart_and_chroma_may_be_two_dimensional() -> None:
    for kind in YUV:
        frame = made_frame(kind, (6, 8), "bt709", "full")
        wide = tuple(np.repeat(plane, 2, axis=0)[::2] for plane in frame.planes)
        flat = tuple(plane.reshape(len(plane), -1) for plane in wide)
        assert np.array_equal(to_bgr(frame), to_bgr(Frame(wide, kind, "bt709", "full")))
        assert np.array_equal(to_bgr(frame), to_bgr(Frame(flat, kind, "bt709", "full")))


def test_bgr_is_returned_as_it_is() -> None:
    image = np.zeros((3, 4, 3), np.uint8)
    assert to_bgr(Frame((image,))) is image
