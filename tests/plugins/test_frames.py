"""Frames that do not fit: one line that names the frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.device import Address, memory
from tests.support.frames import made_frame
from tests.support.specs import one_line
from trt_mogface.errors import ArgumentError
from trt_mogface.frame import FORMATS, MATRICES, RANGES, Frame, PixelFormat
from trt_mogface.kernels import FRAME_BYTES, Kernels, interface
from trt_mogface.reference.resize import Placement, place_letterbox, place_stretch

SIZE = (64, 64)
PLACEMENT = place_letterbox(40, 60, SIZE)
BGR = Frame((np.zeros((40, 60, 3), np.uint8),))


def refused(
    kernels: Kernels, frame: Frame, placement: Placement = PLACEMENT, size: tuple[int, int] = SIZE
) -> str:
    """The message about a frame that stands second."""
    with pytest.raises(ArgumentError) as caught:
        kernels.frame_table([BGR, frame], [PLACEMENT, placement], size)
    return one_line(caught.value)


def bgr(image: Any) -> Frame:
    return Frame((image,))


def zeros(*shape: int, dtype: Any = np.uint8) -> NDArray[Any]:
    return np.zeros(shape, dtype)


def table_of(kernels: Kernels, frame: Frame, placement: Placement) -> interface.MogfaceFrame:
    table = kernels.frame_table([frame], [placement], placement.canvas)
    return interface.MogfaceFrame.from_buffer_copy(table.tobytes())


def test_a_table_says_where_the_pixels_lie(kernels: Kernels) -> None:
    wide = zeros(40, 100, 3)
    row = table_of(kernels, bgr(wide[:, 20:80]), place_stretch(40, 60, (32, 30)))
    assert list(row.planes) == [wide.ctypes.data + 60, 0, 0]
    assert list(row.pitches) == [300, 0, 0]
    assert (row.height, row.width, row.content_height, row.content_width) == (40, 60, 32, 30)
    assert (row.step_x, row.step_y) == (2, 1 / 0.8)
    assert (row.scale_x, row.scale_y) == (0.5, np.float32(0.8))


@pytest.mark.parametrize("kind", FORMATS)
def test_a_table_says_how_to_read_the_planes(kernels: Kernels, kind: PixelFormat) -> None:
    for matrix in MATRICES:
        for range_ in RANGES:
            frame = made_frame(kind, (41, 59))
            planes = frame.planes
            row = table_of(kernels, Frame(planes, kind, matrix, range_), place_letterbox(41, 59, SIZE))
            missing = [0] * (3 - len(planes))
            assert list(row.planes) == [plane.ctypes.data for plane in planes] + missing
            assert list(row.pitches) == [plane.strides[0] for plane in planes] + missing
            assert (row.format, row.matrix, row.range) == (
                FORMATS.index(kind),
                MATRICES.index(matrix),
                RANGES.index(range_),
            )


def test_there_is_a_placement_for_each_frame(kernels: Kernels) -> None:
    with pytest.raises(ArgumentError, match=r"^placements 1: must be one for each of 2 frames$"):
        kernels.frame_table([BGR, BGR], [PLACEMENT], SIZE)
    assert kernels.frame_table([BGR, BGR], [PLACEMENT] * 2, SIZE).shape == (2, FRAME_BYTES)


def test_an_address_of_null_is_refused(kernels: Kernels) -> None:
    image = BGR.planes[0]
    assert refused(kernels, bgr(Address(image, address=0))) == "frames[1].planes[0]: address must not be null"
    luma, chroma = made_frame("nv12", (40, 60)).planes
    frame = Frame((luma, Address(chroma, address=0)), "nv12")
    assert refused(kernels, frame) == "frames[1].planes[1]: address must not be null"


def strided(array: NDArray[Any], pitch: int) -> NDArray[Any]:
    return np.lib.stride_tricks.as_strided(array, strides=(pitch, *array.strides[1:]))


def test_rows_that_overlap_are_refused(kernels: Kernels) -> None:
    for pixels in (strided(zeros(40, 60, 3), 179), strided(zeros(40, 60, 3), 0), zeros(40, 60, 3)[::-1]):
        message = refused(kernels, bgr(pixels))
        pitch = pixels.strides[0]
        assert message == f"frames[1].pitches[0] {pitch}: must be at least 180, the bytes of a row"


@pytest.mark.parametrize("kind", FORMATS)
def test_gaps_within_a_row_are_refused(kernels: Kernels, kind: PixelFormat) -> None:
    planes = made_frame(kind, (40, 60)).planes
    for number, plane in enumerate(planes):
        apart = np.repeat(plane, 2, axis=1)[:, ::2]
        frame = Frame((*planes[:number], apart, *planes[number + 1 :]), kind)
        assert refused(kernels, frame).startswith(f"frames[1].planes[{number}]: must be contiguous")


def test_samples_of_two_bytes_are_aligned(kernels: Kernels) -> None:
    luma, chroma = made_frame("p010", (40, 60)).planes
    odd = memory(luma.nbytes, offset=1).view(np.uint16).reshape(luma.shape)
    wide = Address(luma)
    wide.__cuda_array_interface__ |= {"strides": (121, 2)}
    for bad in (Address(odd), wide):
        message = refused(kernels, Frame((bad, chroma), "p010"))
        assert message == "frames[1].planes[0]: must be aligned to 2 bytes, as must its pitch"


@pytest.mark.parametrize("content", [(65, 64), (64, 65), (1000, 1000)])
def test_a_placement_beyond_the_canvas_is_refused(kernels: Kernels, content: tuple[int, int]) -> None:
    message = refused(kernels, BGR, Placement((1.5, 1.5), content, content))
    assert message == f"frames[1]: content of {content[0]} x {content[1]} must fit 64 x 64"


@pytest.mark.parametrize(
    ("scale", "content"),
    [
        ((1.0, 1.0), (0, 60)),
        ((1.0, 1.0), (40, 0)),
        ((0.0, 0.0), (0, 0)),
        ((0.0, 1.0), (1, 1)),
        ((1.0, 0.0), (1, 1)),
        ((-1.0, 1.0), (40, 60)),
        ((float("nan"), 1.0), (40, 60)),
        ((1.0, float("inf")), (40, 60)),
    ],
)
def test_an_impossible_placement_is_refused(
    kernels: Kernels, scale: tuple[float, float], content: tuple[int, int]
) -> None:
    message = refused(kernels, BGR, Placement(scale, content, SIZE))
    assert message.startswith(f"frames[1].placement {content[1]}x{content[0]} by ")
    assert message.endswith(": content and scale must be positive")


@pytest.mark.parametrize("scale", [(1e-7, 1e-7), (1e7, 1e7), (1.0, 1e7), (1e-7, 1.0)])
def test_a_scale_beyond_measure_is_refused(kernels: Kernels, scale: tuple[float, float]) -> None:
    message = refused(kernels, BGR, Placement(scale, (1, 1), SIZE))
    assert message.startswith("frames[1]: scales ")
    assert message.endswith("must be positive and finite")


@pytest.mark.parametrize("shape", [(65537, 1, 3), (1, 65537, 3)])
def test_a_frame_beyond_measure_is_refused(kernels: Kernels, shape: tuple[int, ...]) -> None:
    message = refused(kernels, bgr(zeros(*shape)), place_letterbox(shape[0], shape[1], SIZE))
    assert message == f"frames[1]: {shape[0]} rows and {shape[1]} columns must lie within 1..65536"


@pytest.mark.parametrize("size", [(0, 64), (64, 0), (-1, 64), (65537, 64), (64, 65537)])
def test_a_size_out_of_range_is_refused(kernels: Kernels, size: tuple[int, int]) -> None:
    assert refused(kernels, BGR, size=size).startswith(("height ", "width "))


def test_no_frames_are_refused(kernels: Kernels) -> None:
    with pytest.raises(ArgumentError, match=r"^batch 0: must lie within 1\.\.4096$"):
        kernels.frame_table([], [], SIZE)


def test_what_is_no_stream_is_refused(kernels: Kernels) -> None:
    with pytest.raises(ArgumentError, match=r"^stream: not a CUDA stream but str"):
        kernels.frame_table([BGR], [PLACEMENT], SIZE, stream="text")


def test_host_memory_is_refused_by_kernels_that_do_not_run_there(
    kernels: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels._library, "runs_on_host", False)
    with pytest.raises(ArgumentError, match=r"^frames\[0\]\.planes\[0\]: ndarray in host memory"):
        kernels.frame_table([BGR], [PLACEMENT], SIZE)
