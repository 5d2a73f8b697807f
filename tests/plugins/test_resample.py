"""Boxes of frames to one size, against Pillow and `reference.resample` to the last bit."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.boxes import Box, Pixels, Size, by_pillow, by_two_passes, noise, random_box
from tests.support.device import copied, memory, reseed
from tests.support.frames import apart, laid_apart, made_frame
from tests.support.strategies import examples
from trt_mogface.frame import FORMATS, MATRICES, RANGES, Frame, PixelFormat
from trt_mogface.kernels import Kernels
from trt_mogface.reference.color import to_bgr
from trt_mogface.reference.resample import TALL_ROWS_FIRST
from trt_mogface.reference.resample import resample as specified
from trt_mogface.reference.resize import Placement

YUV: tuple[PixelFormat, ...] = ("nv12", "i420", "p010")


def table_of(kernels: Kernels, frames: list[Frame]) -> Pixels:
    """The frames' table; resampling reads no placement."""
    anywhere = Placement((1.0, 1.0), (1, 1), (1, 1))
    return copied(kernels.frame_table(frames, [anywhere] * len(frames), (1, 1)))


def resample(
    kernels: Kernels,
    frames: list[Frame],
    size: Size,
    boxes: list[Box] | None = None,
    indices: list[int] | None = None,
    *,
    tall_rows_first: bool = TALL_ROWS_FIRST,
) -> Pixels:
    count = len(boxes or indices or frames)
    images = memory(count * size[0] * size[1] * 3).reshape(count, *size, 3)
    kernels.resample(
        table_of(kernels, frames),
        images,
        boxes=None if boxes is None else copied(np.array(boxes, np.int32)),
        indices=None if indices is None else copied(np.array(indices, np.int32)),
        tall_rows_first=tall_rows_first,
    )
    return images


def bgr(image: Pixels, gap: int = 0, offset: int = 0) -> Frame:
    return Frame((apart(image, gap, offset),))


SIDES = st.integers(1, 110)


@examples(30)
@given(
    frame=st.tuples(SIDES, SIDES),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    gap=st.integers(0, 7),
    offset=st.integers(0, 3),
    seed=st.integers(0, 2**31),
)
@example(frame=(1, 1), size=(1, 1), gap=0, offset=3, seed=0)
@example(frame=(110, 1), size=(1, 70), gap=0, offset=1, seed=1)
@example(frame=(1, 110), size=(70, 1), gap=0, offset=2, seed=2)
@example(frame=(110, 20), size=(33, 18), gap=1, offset=0, seed=3)
def test_boxes_are_those_of_pillow(
    kernels: Kernels, frame: Size, size: Size, gap: int, offset: int, seed: int
) -> None:
    reseed(kernels.path, seed)
    rng = np.random.default_rng(seed)
    image = noise(*frame, seed=seed)
    boxes = [random_box(rng, frame, 150) for _ in range(5)] + [(0, 0, frame[1], frame[0])]
    found = resample(kernels, [bgr(image, gap, offset)], size, boxes, [0] * len(boxes))
    for box, made in zip(boxes, found):
        assert np.array_equal(made, by_pillow(image, box, size)), box
        assert np.array_equal(made, specified(image, box, size)), box


@pytest.mark.slow
@pytest.mark.parametrize(("size", "count"), [((24, 24), 150), ((48, 48), 50), ((17, 33), 150), ((1, 9), 400)])
def test_thousands_of_boxes_are_those_of_pillow(kernels: Kernels, size: Size, count: int) -> None:
    rng = np.random.default_rng(size)
    image = noise(120, 90)
    boxes = [random_box(rng, (120, 90), longest) for longest in (10, 60, 150) for _ in range(count)]
    found = resample(kernels, [bgr(image)], size, boxes, [0] * len(boxes))
    for box, made in zip(boxes, found):
        assert np.array_equal(made, by_pillow(image, box, size)), box


@pytest.mark.parametrize("tall_rows_first", [False, True])
@pytest.mark.parametrize(
    ("frame", "size"),
    [
        ((100, 30), (20, 29)),  # rows first since Pillow 13
        ((100, 30), (40, 90)),
        ((400, 3), (5, 2)),
        ((90, 70), (24, 24)),
        ((70, 90), (24, 24)),
        ((30, 100), (29, 20)),
        ((24, 24), (48, 48)),
        ((24, 30), (24, 48)),
        ((33, 65), (33, 65)),
    ],
)
def test_the_order_of_the_passes_is_that_of_each_pillow(
    kernels: Kernels, frame: Size, size: Size, tall_rows_first: bool
) -> None:
    image = noise(*frame)
    lost = frame[0] - size[0]
    rows_first = tall_rows_first and lost > max(0, 2 * (frame[1] - size[1]))
    found = resample(kernels, [bgr(image)], size, tall_rows_first=tall_rows_first)
    assert np.array_equal(found[0], by_two_passes(image, size, rows_first=rows_first))


@pytest.mark.parametrize(
    ("frame", "size"),
    [
        ((1, 5000), (1, 1)),
        ((5000, 1), (1, 1)),
        ((5000, 2), (3, 24)),
        ((2, 5000), (24, 3)),
        ((700, 500), (12, 9)),  # several chunks below each tile
        ((64, 4096), (64, 1)),  # weights at ties between two bits
        ((4096, 2), (1, 2)),
        ((2, 3), (300, 1)),
        ((3, 2), (1, 300)),
        ((216, 384), (51, 90)),
        ((90, 60), (300, 200)),  # large tiles
        ((700, 90), (600, 120)),
    ],
)
def test_whole_frames_are_those_of_pillow_at_extreme_ratios(
    kernels: Kernels, frame: Size, size: Size
) -> None:
    image = noise(*frame)
    found = resample(kernels, [bgr(image, 1, 1)], size)
    assert np.array_equal(found[0], by_pillow(image, (0, 0, frame[1], frame[0]), size))


def test_boxes_of_a_batch_of_different_frames_take_one_launch(kernels: Kernels) -> None:
    rng = np.random.default_rng(4)
    images = [noise(*shape) for shape in ((40, 50), (1, 1), (9, 120), (77, 8))]
    indices = rng.integers(0, 4, 40).tolist()
    boxes = [random_box(rng, images[index].shape[:2], 60) for index in indices]
    frames = [bgr(image, gap) for gap, image in enumerate(images)]
    found = resample(kernels, frames, (24, 24), boxes, indices)
    for index, box, made in zip(indices, boxes, found):
        assert np.array_equal(made, by_pillow(images[index], box, (24, 24)))
    whole = resample(kernels, frames, (13, 37))
    for image, made in zip(images, whole):
        assert np.array_equal(made, by_pillow(image, (0, 0, image.shape[1], image.shape[0]), (13, 37)))
    again = resample(kernels, frames, (13, 37), indices=[3, 0, 0])
    assert np.array_equal(again, whole[[3, 0, 0]])
    own = resample(kernels, frames, (24, 24), boxes[:4])
    for image, box, made in zip(images, boxes, own):
        assert np.array_equal(made, by_pillow(image, box, (24, 24)))


LEAST, MOST = -(2**31), 2**31 - 1


def test_what_is_no_box_of_a_frame_is_black(kernels: Kernels) -> None:
    image = np.full((20, 30, 3), 255, np.uint8)
    good = (0, 0, 30, 20)
    rows: list[tuple[Box, int]] = [
        *((good, index) for index in (-1, 2, LEAST, MOST)),
        *(((0, 0, 0, 20), 0), ((0, 5, 30, 5), 0), ((9, 0, 3, 20), 0), ((0, 9, 30, 3), 0)),
        *(((LEAST, LEAST, MOST, MOST), 0), ((MOST, MOST, LEAST, LEAST), 0)),
        *(((0, 0, 65537, 20), 0), ((0, -65520, 30, 20), 0)),
        *(((LEAST, 0, LEAST + 9, 9), 0), ((0, MOST - 9, 9, MOST), 0)),
        *(((30, 0, 40, 20), 0), ((0, 20, 30, 21), 0), ((-5, 0, 0, 20), 0), ((0, -5, 30, 0), 0)),
        (good, 1),
    ]
    for tall_rows_first in (False, True):
        boxes, indices = [box for box, _ in rows], [index for _, index in rows]
        found = resample(
            kernels, [bgr(image), bgr(image)], (9, 7), boxes, indices, tall_rows_first=tall_rows_first
        )
        assert not found[:-1].any()
        assert (found[-1] == 255).all()


@pytest.mark.parametrize("box", [(-65500, 0, 36, 8), (0, -65500, 8, 36), (-60000, -100, 5536, 65436)])
def test_the_largest_boxes_are_those_of_the_specification(kernels: Kernels, box: Box) -> None:
    image = noise(8, 36)
    found = resample(kernels, [bgr(image)], (3, 5), [box], [0])[0]
    assert np.array_equal(found, specified(image, box, (3, 5)))
    found = resample(kernels, [bgr(image)], (1, 2000), [box], [0])[0]
    assert np.array_equal(found, specified(image, box, (1, 2000)))


@pytest.mark.parametrize("kind", YUV)
def test_yuv_is_converted_first(kernels: Kernels, kind: PixelFormat) -> None:
    assert set(YUV) == set(FORMATS) - {"bgr"}
    rng = np.random.default_rng(8)
    made = [
        made_frame(kind, size, matrix, range_)
        for size, (matrix, range_) in zip(
            ((21, 30), (40, 17), (1, 1), (5, 60), (60, 5), (33, 33)), itertools.product(MATRICES, RANGES)
        )
    ]
    frames = [laid_apart(frame, 2) for frame in made]
    indices = [*range(len(made))] * 2
    boxes = [random_box(rng, made[index].size, 50) for index in indices]
    for tall_rows_first in (False, True):
        found = resample(kernels, frames, (12, 19), boxes, indices, tall_rows_first=tall_rows_first)
        for index, box, out in zip(indices, boxes, found):
            expected = specified(to_bgr(made[index]), box, (12, 19), tall_rows_first=tall_rows_first)
            assert np.array_equal(out, expected)


def test_boxes_are_read_at_each_launch(kernels: Kernels) -> None:
    """A graph replays the launch over boxes that an earlier kernel has written."""
    image = noise(50, 60)
    frame = bgr(image)
    table = table_of(kernels, [frame])
    boxes: NDArray[np.int32] = copied(np.array([(0, 0, 60, 50)], np.int32))
    indices: NDArray[np.int32] = copied(np.zeros(1, np.int32))
    images = memory(24 * 24 * 3).reshape(1, 24, 24, 3)
    for box in ((0, 0, 60, 50), (-5, 7, 11, 23), (40, 30, 90, 80)):
        boxes[0] = box
        kernels.resample(table, images, boxes=boxes, indices=indices)
        assert np.array_equal(images[0], by_pillow(image, box, (24, 24)))
    indices[0] = -1
    kernels.resample(table, images, boxes=boxes, indices=indices)
    assert not images.any()
