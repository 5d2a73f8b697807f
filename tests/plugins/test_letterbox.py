"""Frames in the network's input, against OpenCV to the last bit."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.device import Bytes, copied, filled, memory, reseed
from tests.support.problems import examples
from trt_mogface.kernels import FRAME_BYTES, Frame, Kernels
from trt_mogface.kernels.frames import Format
from trt_mogface.reference.resize import Placement, paint, place_letterbox, place_native
from trt_mogface.spec import InputSpec

PAD = (104, 117, 123)
Size = tuple[int, int]


def noise(*shape: int, seed: int = 0) -> Bytes:
    return np.random.default_rng([seed, *shape]).integers(0, 256, shape, np.uint8)


def apart(rows: Bytes, gap: int = 0, offset: int = 0) -> Bytes:
    """The same rows with ``gap`` bytes between them, in memory that ends with the last.

    They begin ``offset`` bytes beyond an aligned address.
    """
    height, length = rows.shape[0], rows[0].size
    whole = memory((height - 1) * (length + gap) + length, offset=offset)
    strides = (length + gap, *rows.strides[1:])
    view = np.lib.stride_tricks.as_strided(whole, rows.shape, strides)
    view[...] = rows
    return view


def fit(image: Bytes, canvas: Size, gap: int = 0, offset: int = 0) -> Frame:
    """A frame in a letterbox."""
    return Frame(apart(image, gap, offset), place_letterbox(image.shape[0], image.shape[1], canvas))


def nv12(luma: Bytes, chroma: Bytes) -> Bytes:
    """What OpenCV says of the two planes."""
    planes = np.vstack([luma, chroma.reshape(chroma.shape[0], -1)])
    made: Bytes = cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_NV12).astype(np.uint8)
    return made


def letterbox(kernels: Kernels, frames: list[Frame], canvas: Size, pad: tuple[int, int, int] = PAD) -> Bytes:
    table = copied(kernels.frame_table(frames, canvas))
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
    assert np.array_equal(letterbox(kernels, [made], canvas)[0], painted(image, made.placement))


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
    placement = place_native(*frame, rule, pad=True)
    image = noise(*frame, 3)
    made = Frame(apart(image, 1, offset), placement)
    assert np.array_equal(letterbox(kernels, [made], placement.canvas)[0], painted(image, placement))


@pytest.mark.parametrize("offset", range(4))
@pytest.mark.parametrize("frame", [(1, 1), (1, 130), (9, 1), (17, 131)])
def test_unscaled_pixels_are_the_frame_itself(kernels: Kernels, frame: Size, offset: int) -> None:
    image = noise(*frame, 3)
    made = Frame(apart(image, 0, offset), place_native(*frame, InputSpec(), pad=True))
    out = letterbox(kernels, [made], made.placement.canvas)[0]
    assert made.placement.scale == 1.0
    assert np.array_equal(out[: frame[0], : frame[1]], image)
    assert np.array_equal(out, painted(image, made.placement))


HALVES = [(2, 2), (64, 96), (63, 96), (64, 97), (61, 91), (5, 7), (1, 8), (3, 200), (199, 3), (7, 7)]


@pytest.mark.parametrize("frame", HALVES)
def test_half_the_size_is_that_of_opencv(kernels: Kernels, frame: Size) -> None:
    content = (max(1, round(frame[0] / 2)), max(1, round(frame[1] / 2)))
    placement = Placement(0.5, content, (content[0] + 1, content[1] + 2))
    for seed in range(3):
        image = noise(*frame, 3, seed=seed)
        out = letterbox(kernels, [Frame(apart(image), placement)], placement.canvas)
        assert np.array_equal(out[0], painted(image, placement))


@pytest.mark.parametrize("factor", [2, 3, 4, 1 / 3, 0.25, 1.5, 0.1])
def test_round_factors_are_those_of_opencv(kernels: Kernels, factor: float) -> None:
    image = noise(60, 84, 3)
    content = (round(60 * factor), round(84 * factor))
    placement = Placement(factor, content, content)
    out = letterbox(kernels, [Frame(apart(image), placement)], content)
    assert np.array_equal(out[0], painted(image, placement))


@pytest.mark.parametrize("value", [0, 1, 127, 254, 255])
def test_one_color_stays_what_it_is(kernels: Kernels, value: int) -> None:
    image = np.full((50, 70, 3), value, np.uint8)
    out = letterbox(kernels, [fit(image, (133, 91))], (133, 91))[0]
    rows, columns = fit(image, (133, 91)).placement.content
    assert (out[:rows, :columns] == value).all()


@pytest.mark.parametrize("frame", [(1501, 2), (1600, 41), (3, 1999)])
def test_the_rule_for_long_sides_is_that_of_opencv(kernels: Kernels, frame: Size) -> None:
    placement = place_native(*frame, InputSpec(longest_over=1500, longest_to=1000), pad=True)
    image = noise(*frame, 3)
    out = letterbox(kernels, [Frame(apart(image), placement)], placement.canvas)
    assert np.array_equal(out[0], painted(image, placement))


def test_a_batch_of_different_frames_takes_one_launch(kernels: Kernels) -> None:
    canvas = (150, 140)
    images = [noise(*size, 3) for size in [(150, 140), (1, 1), (300, 20), (97, 131), (20, 301), (8, 8)]]
    frames = [fit(image, canvas, gap=i, offset=i % 4) for i, image in enumerate(images)]
    luma, chroma = noise(20, 30), noise(10, 30)
    frames.append(
        Frame(apart(luma, 2), place_letterbox(20, 30, canvas), chroma=apart(chroma, 6), format="nv12")
    )
    out = letterbox(kernels, frames, canvas)
    for image, frame, made in zip([*images, nv12(luma, chroma)], frames, out):
        assert np.array_equal(made, painted(image, frame.placement))


def test_a_frame_may_be_used_twice(kernels: Kernels) -> None:
    frame = fit(noise(30, 40, 3), (32, 32))
    out = letterbox(kernels, [frame, frame, frame], (32, 32))
    assert np.array_equal(out[0], out[1])
    assert np.array_equal(out[0], out[2])


@pytest.mark.parametrize("pad", [(0, 0, 0), (255, 255, 255), (1, 2, 3), (255, 0, 128)])
def test_every_byte_beside_and_below_is_padding(kernels: Kernels, pad: tuple[int, int, int]) -> None:
    placement = Placement(1.0, (7, 9), (21, 140))
    out = letterbox(kernels, [Frame(apart(noise(7, 9, 3)), placement)], (21, 140), pad)[0]
    outside = np.ones((21, 140), bool)
    outside[:7, :9] = False
    assert (out[outside] == pad).all()


def test_padding_is_black_unless_said(kernels: Kernels) -> None:
    frame = Frame(apart(noise(1, 1, 3)), Placement(1.0, (1, 1), (2, 2)))
    table = kernels.frame_table([frame], (2, 2))
    images = filled((1, 2, 2, 3), np.uint8, 9)
    kernels.letterbox(table, images)
    assert (images[0, 1] == 0).all()


def test_a_row_cut_out_of_a_wider_picture_is_read_where_it_lies(kernels: Kernels) -> None:
    wide = noise(60, 200, 3)
    window = wide[11:51, 33:90]
    frame = Frame(window, place_letterbox(40, 57, (64, 64)))
    out = letterbox(kernels, [frame], (64, 64))
    assert np.array_equal(out[0], painted(np.ascontiguousarray(window), frame.placement))


def test_the_same_table_can_be_used_again_when_the_pixels_have_changed(kernels: Kernels) -> None:
    pixels = apart(noise(30, 40, 3, seed=1))
    placement = place_letterbox(30, 40, (32, 32))
    table = kernels.frame_table([Frame(pixels, placement)], (32, 32))
    pixels[...] = noise(30, 40, 3, seed=2)
    images = memory(32 * 32 * 3).reshape(1, 32, 32, 3)
    kernels.letterbox(table, images, pad=PAD)
    assert np.array_equal(images[0], painted(noise(30, 40, 3, seed=2), placement))


EVEN = st.integers(1, 60).map(lambda half: 2 * half)


@examples(80)
@given(
    frame=st.tuples(EVEN, EVEN),
    canvas=st.tuples(st.integers(1, 150), st.integers(1, 150)),
    gaps=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    interleaved=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_nv12_is_that_of_opencv(
    kernels: Kernels, frame: Size, canvas: Size, gaps: tuple[int, int], interleaved: bool, seed: int
) -> None:
    height, width = frame
    luma = noise(height, width, seed=seed)
    chroma = noise(height // 2, width // 2, 2, seed=seed)
    if not interleaved:
        chroma = chroma.reshape(height // 2, width)
    placement = place_letterbox(height, width, canvas)
    made = Frame(apart(luma, gaps[0]), placement, chroma=apart(chroma, gaps[1]), format="nv12")
    out = letterbox(kernels, [made], canvas)
    assert np.array_equal(out[0], painted(nv12(luma, chroma), placement))


def every_color() -> tuple[Bytes, Bytes]:
    """Planes with all lumas against a grid of U and V."""
    luma = np.tile(np.arange(256, dtype=np.uint8), (2 * 37, 1))
    grid = np.linspace(0, 255, 37).astype(np.uint8)
    chroma = np.stack(np.meshgrid(np.tile(grid, 4)[:128], grid), axis=-1)
    return luma, chroma


def shown(kernels: Kernels, luma: Bytes, chroma: Bytes, kind: Format) -> Bytes:
    height, width = luma.shape
    placement = Placement(1.0, (height, width), (height, width))
    frame = Frame(luma, placement, chroma=chroma, format=kind)
    shown: Bytes = letterbox(kernels, [frame], (height, width))[0]
    return shown


def by_formula(luma: Bytes, chroma: Bytes, of_red: float, of_blue: float) -> NDArray[np.float64]:
    """BGR of limited-range YUV, from the share of red and blue in the luma: ITU-R BT.601 and BT.709.

    Luma below black is black.
    """
    y = np.maximum(luma.astype(float) - 16, 0) / 219
    u, v = (
        np.kron(plane.astype(float) - 128, np.ones((2, 2))) / 224
        for plane in (chroma[..., 0], chroma[..., 1])
    )
    red, blue = y + 2 * (1 - of_red) * v, y + 2 * (1 - of_blue) * u
    green = (y - of_red * red - of_blue * blue) / (1 - of_red - of_blue)
    bgr: NDArray[np.float64] = np.clip(255 * np.stack([blue, green, red], axis=-1), 0, 255)
    return bgr


@pytest.mark.parametrize(
    ("kind", "of_red", "of_blue"), [("nv12", 0.299, 0.114), ("nv12-bt709", 0.2126, 0.0722)]
)
def test_colors_are_those_of_the_standard(
    kernels: Kernels, kind: Format, of_red: float, of_blue: float
) -> None:
    luma, chroma = every_color()
    assert len(np.unique(shown(kernels, luma, chroma, kind).reshape(-1, 3), axis=0)) > 1000
    off = shown(kernels, luma, chroma, kind) - by_formula(luma, chroma, of_red, of_blue)
    assert np.abs(off).max() <= 1


@pytest.mark.parametrize("kind", ["nv12", "nv12-bt709"])
def test_grey_is_grey(kernels: Kernels, kind: Format) -> None:
    luma = np.tile(np.arange(256, dtype=np.uint8), (2, 1))
    out = shown(kernels, luma, np.full((1, 256), 128, np.uint8), kind)
    assert (out == out[..., :1]).all()
    assert out[0, [0, 16, 235, 255], 0].tolist() == [0, 0, 255, 255]


def test_all_pixels_of_nv12_are_those_of_opencv(kernels: Kernels) -> None:
    luma, chroma = every_color()
    assert np.array_equal(shown(kernels, luma, chroma, "nv12"), nv12(luma, chroma))
