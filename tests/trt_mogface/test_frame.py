"""Frames of all formats, and one line for anything else."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.specs import one_line
from trt_mogface.errors import ArgumentError, ImageError
from trt_mogface.frame import FORMATS, MAX_PIXELS, Frame, PixelFormat

SIZES = [(1, 1), (1, 2), (2, 1), (3, 5), (4, 6), (721, 1279)]


def zeros(*shape: int, dtype: Any = np.uint8) -> NDArray[Any]:
    return np.zeros(shape, dtype)


def planes(kind: PixelFormat, height: int, width: int) -> tuple[NDArray[Any], ...]:
    rows, columns = -(-height // 2), -(-width // 2)
    if kind == "bgr":
        return (zeros(height, width, 3),)
    if kind == "i420":
        return zeros(height, width), zeros(rows, columns), zeros(rows, columns)
    dtype = np.uint16 if kind == "p010" else np.uint8
    return zeros(height, width, dtype=dtype), zeros(rows, columns, 2, dtype=dtype)


class OnDevice:
    """What an array of a GPU library says of itself."""

    def __init__(self, shape: tuple[int, ...], typestr: str = "|u1", strides: Any = None) -> None:
        self.__cuda_array_interface__ = {
            "shape": shape,
            "typestr": typestr,
            "data": (4096, False),
            "strides": strides,
            "version": 3,
        }


def on_device(array: NDArray[Any], pitch: int | None = None) -> OnDevice:
    strides = None if pitch is None else (pitch, *array.strides[1:])
    return OnDevice(array.shape, array.dtype.str, strides)


def refused(planes: Any, kind: Any = "bgr", **others: Any) -> str:
    with pytest.raises(ImageError) as caught:
        Frame(planes, kind, **others)
    return one_line(caught.value)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", FORMATS)
def test_frames_of_all_formats_and_sizes_are_taken(kind: PixelFormat, size: tuple[int, int]) -> None:
    host = Frame(planes(kind, *size), kind)
    device = Frame(tuple(map(on_device, planes(kind, *size))), kind)
    assert host.size == device.size == size
    assert host.on_host
    assert not device.on_host


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["nv12", "p010"])
def test_chroma_may_be_two_dimensional(kind: PixelFormat, size: tuple[int, int]) -> None:
    luma, chroma = planes(kind, *size)
    assert Frame((luma, chroma.reshape(len(chroma), -1)), kind).size == size


@pytest.mark.parametrize("kind", FORMATS)
def test_rows_may_lie_apart(kind: PixelFormat) -> None:
    wide = tuple(plane[:, : plane.shape[1] // 2] for plane in planes(kind, 8, 16))
    assert Frame(wide, kind).size == (8, 8)
    pitched = tuple(on_device(plane, 256) for plane in planes(kind, 8, 16))
    assert Frame(pitched, kind).size == (8, 16)


def test_of_wraps_an_array_and_leaves_a_frame() -> None:
    image, stream = zeros(4, 5, 3), object()
    frame = Frame.of(image, stream=stream)
    assert (frame.planes, frame.format, frame.stream) == ((image,), "bgr", stream)
    assert Frame.of(frame) is frame
    assert Frame.of(on_device(image)).size == (4, 5)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", "rgb"),
        ("format", "NV12"),
        ("format", None),
        ("matrix", "bt470"),
        ("range", "tv"),
        ("range", 1),
    ],
)
def test_an_unknown_name_is_refused(field: str, value: object) -> None:
    with pytest.raises(ArgumentError) as caught:
        Frame((zeros(2, 2, 3),), **{field: cast(Any, value)})
    assert one_line(caught.value).startswith(f"{field} {value!r}: unknown {field} (choose from ")


@pytest.mark.parametrize("value", [zeros(4, 4, 3), [zeros(4, 4, 3)], None, "planes"])
def test_planes_that_are_no_tuple_are_refused(value: object) -> None:
    with pytest.raises(ArgumentError, match=r"^planes: must be a tuple of arrays, not "):
        Frame(cast(Any, value))


@pytest.mark.parametrize("kind", FORMATS)
def test_a_wrong_number_of_planes_is_refused(kind: PixelFormat) -> None:
    right = planes(kind, 4, 6)
    for wrong in ((), right[:-1], (*right, right[-1])):
        assert refused(wrong, kind) == f"image: {kind} must have {len(right)} planes, not {len(wrong)}"


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (
            zeros(4, 5),
            "image: grayscale (uint8 [4, 5]); convert with cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)",
        ),
        (zeros(4, 5, 1), "image: grayscale (uint8 [4, 5, 1])"),
        (zeros(4, 5, 4), "image: four channels (uint8 [4, 5, 4])"),
        (zeros(3, 40, 50), "image: not [H, W, 3] but uint8 [3, 40, 50]"),
        (zeros(1, 4, 5, 3), "image: not [H, W, 3] but uint8 [1, 4, 5, 3]"),
        (zeros(), "image: not [H, W, 3] but uint8 []"),
        (zeros(0, 5, 3), "image: no pixels (uint8 [0, 5, 3])"),
        (zeros(4, 0, 3), "image: no pixels (uint8 [4, 0, 3])"),
        (
            zeros(4, 5, 3, dtype=np.int8),
            "image: not uint8 but int8 [4, 5, 3]; convert with image.clip(0, 255)",
        ),
        (zeros(4, 5, 3, dtype=np.uint16), "image: not uint8 but uint16 [4, 5, 3]; convert with (image >> 8)"),
        (
            zeros(4, 5, 3, dtype=np.float32),
            "image: not uint8 but float32 [4, 5, 3]; convert with (image * 255)",
        ),
        (np.full((4, 5, 3), np.nan), "image: not uint8 but float64 [4, 5, 3]; it holds NaN"),
    ],
)
def test_an_image_that_is_not_bgr_is_refused(image: NDArray[Any], message: str) -> None:
    assert refused((image,)).startswith(message)
    if not np.isnan(image).any():
        assert refused((on_device(image),)).startswith(message)


@pytest.mark.parametrize("what", [None, "text", 7, [[0]], b"bytes", object()])
def test_what_is_no_array_is_refused(what: object) -> None:
    kind = type(what).__name__
    assert refused((what,)).startswith(f"image: not an array but {kind}; pass uint8 [H, W, 3] in BGR")
    assert refused((zeros(4, 4), what), "nv12") == f"image: a plane is not an array but {kind}"
    assert refused((what, zeros(2, 2, 2)), "nv12") == f"image: a plane is not an array but {kind}"


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "bgr"])
def test_planes_of_another_type_or_size_are_refused(kind: PixelFormat) -> None:
    right = planes(kind, 5, 7)
    for number, plane in enumerate(right):
        what = f"image: plane {number} of {kind} must be {plane.dtype} {list(plane.shape)}, not "
        wrong: list[NDArray[Any]] = [plane.astype(np.int32), plane.astype(np.float32), plane.astype(np.int8)]
        wrong.append(plane.astype(np.uint8 if kind == "p010" else np.uint16))
        if number:
            wrong += [plane[:-1], plane[:, :-1], plane.ravel(), plane[None], np.vstack([plane, plane[:1]])]
        for bad in wrong:
            given = (*right[:number], bad, *right[number + 1 :])
            assert refused(given, kind) == f"{what}{bad.dtype} {list(bad.shape)}"
            assert refused(tuple(map(on_device, given)), kind) == f"{what}{bad.dtype} {list(bad.shape)}"


@pytest.mark.parametrize("kind", ["nv12", "i420", "p010"])
def test_luma_that_is_no_plane_is_refused(kind: PixelFormat) -> None:
    luma, *others = planes(kind, 4, 6)
    for wrong in (luma[..., None], luma.ravel(), luma[0, 0, ...]):
        message = refused((np.asarray(wrong), *others), kind)
        assert message == f"image: plane 0 of {kind} must be [H, W], not {list(wrong.shape)}"
    empty = tuple(plane[:0] for plane in (luma, *others))
    assert refused(empty, kind) == f"image: no pixels ({kind})"


@pytest.mark.parametrize("kind", ["nv12", "i420", "p010"])
def test_a_pitch_below_the_width_is_refused(kind: PixelFormat) -> None:
    right = planes(kind, 4, 6)
    for number, plane in enumerate(right):
        row = plane.strides[0]
        for pitch in (row - 1, 0, -row):
            given = list(map(on_device, right))
            given[number] = on_device(plane, pitch)
            assert refused(tuple(given), kind) == (
                f"image: plane {number} of {kind} has a pitch of {pitch} bytes, "
                f"less than a row of {row} bytes"
            )


def test_more_pixels_than_are_accepted_are_refused() -> None:
    side = MAX_PIXELS // 1000 + 1
    huge = OnDevice((1000, side, 3))
    expected = f"image: more than 100 megapixels ({side}x1000); scale it down"
    assert refused((huge,)) == expected
    assert refused((OnDevice((1000, side)), OnDevice((500, side))), "nv12") == expected
    assert Frame((OnDevice((1000, side - 1, 3)),)).size == (1000, side - 1)
