"""Frames that do not fit: one line that names the frame."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.device import Address
from tests.support.specs import one_line
from trt_mogface.errors import KernelError
from trt_mogface.kernels import FRAME_BYTES, Frame, Kernels, interface
from trt_mogface.reference.resize import Placement, place_letterbox

SIZE = (64, 64)
BGR = Frame(np.zeros((40, 60, 3), np.uint8), place_letterbox(40, 60, SIZE))
NV12 = Frame(
    np.zeros((40, 60), np.uint8),
    place_letterbox(40, 60, SIZE),
    chroma=np.zeros((20, 30, 2), np.uint8),
    format="nv12",
)


def refused(kernels: Kernels, frame: Frame, size: tuple[int, int] = SIZE, **changes: Any) -> str:
    """The message about a frame that stands second."""
    with pytest.raises(KernelError) as caught:
        kernels.frame_table([BGR, dataclasses.replace(frame, **changes)], size)
    return one_line(caught.value)


def zeros(*shape: int, dtype: Any = np.uint8) -> NDArray[Any]:
    return np.zeros(shape, dtype)


def test_the_frames_that_are_changed_below_are_taken(kernels: Kernels) -> None:
    for frame in (BGR, NV12, dataclasses.replace(NV12, format="nv12-bt709")):
        assert kernels.frame_table([BGR, frame], SIZE).shape == (2, FRAME_BYTES)


def test_a_table_says_where_the_pixels_lie(kernels: Kernels) -> None:
    wide = zeros(40, 100, 3)
    frame = Frame(wide[:, 20:80], place_letterbox(40, 60, (32, 48)))
    table = interface.Frame.from_buffer_copy(kernels.frame_table([frame], (32, 48)).tobytes())
    assert (table.pixels, table.chroma) == (wide.ctypes.data + 60, 0)
    assert (table.pitch, table.chroma_pitch, table.format) == (300, 0, 0)
    assert (table.height, table.width, table.content_height, table.content_width) == (40, 60, 32, 48)
    assert (table.step_x, table.step_y) == (1 / 0.8, 1 / 0.8)
    assert table.scale == np.float32(0.8)
    assert isinstance(NV12.chroma, np.ndarray)
    table = interface.Frame.from_buffer_copy(kernels.frame_table([NV12], SIZE).tobytes())
    assert (table.chroma, table.pitch, table.chroma_pitch, table.format) == (
        NV12.chroma.ctypes.data,
        60,
        60,
        1,
    )


@pytest.mark.parametrize("kind", ["rgb", "", "NV12", "nv21", None])
def test_an_unknown_format_is_refused(kernels: Kernels, kind: object) -> None:
    assert refused(kernels, BGR, format=kind) == (
        f"frames[1].format {kind!r}: is none of bgr, nv12, nv12-bt709"
    )


@pytest.mark.parametrize(
    ("pixels", "found"),
    [
        (zeros(40, 60), "uint8 [40, 60]"),
        (zeros(40, 60, 4), "[40, 60, 4]"),
        (zeros(1, 40, 60, 3), "uint8 [1, 40, 60, 3]"),
        (zeros(3, 40, 60), "[3, 40, 60]"),
        (zeros(40, 60, 3, dtype=np.int8), "int8 [40, 60, 3]"),
        (zeros(40, 60, 3, dtype=np.float32), "float32 [40, 60, 3]"),
        (zeros(), "uint8 []"),
    ],
)
def test_pixels_that_are_not_bgr_are_refused(kernels: Kernels, pixels: NDArray[Any], found: str) -> None:
    assert refused(kernels, BGR, pixels=pixels) == f"frames[1].pixels: expected uint8 [H, W, 3], not {found}"


@pytest.mark.parametrize(
    ("pixels", "found"),
    [(zeros(40, 60, 3), "uint8 [40, 60, 3]"), (zeros(40, 60, dtype=np.uint16), "uint16 [40, 60]")],
)
def test_luma_that_is_no_plane_of_bytes_is_refused(
    kernels: Kernels, pixels: NDArray[Any], found: str
) -> None:
    assert refused(kernels, NV12, pixels=pixels) == f"frames[1].pixels: expected uint8 [H, W], not {found}"


@pytest.mark.parametrize(
    "chroma",
    [
        zeros(20, 30),
        zeros(40, 60),
        zeros(20, 60, 2),
        zeros(20, 30, 3),
        zeros(20, 61),
        zeros(21, 60),
        zeros(20, 60, dtype=np.int8),
        zeros(1200),
    ],
)
def test_chroma_that_does_not_fit_is_refused(kernels: Kernels, chroma: NDArray[Any]) -> None:
    message = refused(kernels, NV12, chroma=chroma)
    assert message.startswith("frames[1].chroma: expected uint8 [20, 60] for luma of 40 x 60, not")


def test_missing_chroma_is_refused(kernels: Kernels) -> None:
    message = refused(kernels, NV12, chroma=None)
    assert message == "frames[1].chroma: NV12 has a second plane, of U and V: give it"


@pytest.mark.parametrize("shape", [(39, 60), (40, 59), (39, 59), (1, 1)])
def test_odd_sides_of_nv12_are_refused(kernels: Kernels, shape: tuple[int, int]) -> None:
    chroma = zeros(max(shape[0] // 2, 1), shape[1])
    message = refused(kernels, NV12, pixels=zeros(*shape), chroma=chroma)
    if shape == (1, 1):
        assert message.startswith("frames[1].chroma: expected uint8 [0, 1]")
    else:
        assert message == (
            f"checkframes: frames[1]: {shape[0]} rows and {shape[1]} columns, NV12 has even ones"
        )


@pytest.mark.parametrize("what", [None, "text", 7, [[0]], b"bytes"])
def test_what_is_no_array_is_refused(kernels: Kernels, what: object) -> None:
    kind = type(what).__name__
    assert refused(kernels, BGR, pixels=what).startswith(f"frames[1].pixels: {kind} is no device array")
    if what is not None:
        assert refused(kernels, NV12, chroma=what).startswith(f"frames[1].chroma: {kind} is no device array")


def test_an_address_of_null_is_refused(kernels: Kernels) -> None:
    assert isinstance(BGR.pixels, np.ndarray)
    assert isinstance(NV12.chroma, np.ndarray)
    message = refused(kernels, BGR, pixels=Address(BGR.pixels, address=0))
    assert message == "frames[1].pixels: its address is null"
    message = refused(kernels, NV12, chroma=Address(NV12.chroma, address=0))
    assert message == "frames[1].chroma: its address is null"


def strided(array: NDArray[Any], pitch: int) -> NDArray[Any]:
    return np.lib.stride_tricks.as_strided(array, strides=(pitch, *array.strides[1:]))


def test_rows_that_overlap_are_refused(kernels: Kernels) -> None:
    assert isinstance(NV12.pixels, np.ndarray)
    assert isinstance(NV12.chroma, np.ndarray)
    for pixels in (strided(zeros(40, 60, 3), 179), strided(zeros(40, 60, 3), 0), zeros(40, 60, 3)[::-1]):
        pitch = pixels.strides[0]
        message = refused(kernels, BGR, pixels=pixels)
        assert message == f"checkframes: frames[1].pitch {pitch}: is less than a row of 60 pixels"
    message = refused(kernels, NV12, pixels=strided(NV12.pixels, 59))
    assert message == "checkframes: frames[1].pitch 59: is less than a row of 60 pixels"
    message = refused(kernels, NV12, chroma=strided(NV12.chroma, 58))
    assert message == "checkframes: frames[1].chromaPitch 58: is less than a row of 60 pixels"


def test_gaps_within_a_row_are_refused(kernels: Kernels) -> None:
    for pixels in (zeros(40, 120, 3)[:, ::2], zeros(40, 60, 4)[..., :3], zeros(40, 60, 3)[..., ::-1]):
        message = refused(kernels, BGR, pixels=pixels)
        assert message.startswith("frames[1].pixels: is not contiguous")
    assert refused(kernels, NV12, chroma=zeros(20, 60, 2)[:, ::2]).startswith("frames[1].chroma: is not cont")


@pytest.mark.parametrize("content", [(65, 64), (64, 65), (1000, 1000)])
def test_a_placement_beyond_the_canvas_is_refused(kernels: Kernels, content: tuple[int, int]) -> None:
    message = refused(kernels, BGR, placement=Placement(1.5, content, content))
    assert message == f"checkframes: frames[1]: {content[0]} x {content[1]} of content do not fit 64 x 64"


@pytest.mark.parametrize(
    "placement",
    [
        Placement(1.0, (0, 60), SIZE),
        Placement(1.0, (40, 0), SIZE),
        Placement(0.0, (0, 0), SIZE),
        Placement(0.0, (1, 1), SIZE),
        Placement(-1.0, (40, 60), SIZE),
        Placement(float("nan"), (40, 60), SIZE),
        Placement(float("inf"), (40, 60), SIZE),
    ],
)
def test_a_placement_that_is_none_is_refused(kernels: Kernels, placement: Placement) -> None:
    message = refused(kernels, BGR, placement=placement)
    assert message.startswith("frames[1]: 40 x 60 pixels to ")
    assert message.endswith(": all must be positive and finite")


@pytest.mark.parametrize("scale", [1e-7, 1e7])
def test_a_scale_beyond_measure_is_refused(kernels: Kernels, scale: float) -> None:
    message = refused(kernels, BGR, placement=Placement(scale, (1, 1), SIZE))
    assert message.startswith("checkframes: frames[1]: scale ")


@pytest.mark.parametrize("shape", [(0, 60, 3), (40, 0, 3), (0, 0, 3)])
def test_a_frame_without_pixels_is_refused(kernels: Kernels, shape: tuple[int, ...]) -> None:
    message = refused(kernels, BGR, pixels=np.zeros(shape, np.uint8))
    assert message.startswith(f"frames[1]: {shape[0]} x {shape[1]} pixels to ")


@pytest.mark.parametrize("shape", [(65537, 1, 3), (1, 65537, 3)])
def test_a_frame_beyond_measure_is_refused(kernels: Kernels, shape: tuple[int, ...]) -> None:
    placement = place_letterbox(shape[0], shape[1], SIZE)
    message = refused(kernels, BGR, pixels=np.zeros(shape, np.uint8), placement=placement)
    assert message.startswith(f"checkframes: frames[1]: {shape[0]} rows and {shape[1]} columns")


@pytest.mark.parametrize("size", [(0, 64), (64, 0), (-1, 64), (65537, 64), (64, 65537)])
def test_a_size_out_of_range_is_refused(kernels: Kernels, size: tuple[int, int]) -> None:
    message = refused(kernels, BGR, size)
    assert message.startswith(("checkframes: height ", "checkframes: width "))


def test_no_frames_are_refused(kernels: Kernels) -> None:
    with pytest.raises(KernelError, match=r"^checkframes: batch 0: must lie within 1\.\.4096$"):
        kernels.frame_table([], SIZE)


def test_what_is_no_stream_is_refused(kernels: Kernels) -> None:
    with pytest.raises(KernelError, match=r"^stream: str is no CUDA stream"):
        kernels.frame_table([BGR], SIZE, stream="text")
