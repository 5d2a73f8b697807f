"""Steps between the networks of a cascade against the published ``box_utils`` and ``first_stage``."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="the published code needs torch")

from tests.support.published_mtcnn import published
from trt_mogface.backends.cascade import crops
from trt_mogface.reference import cascade

NUMBERS = np.random.default_rng(0)


def some_boxes(count: int, side: int = 300) -> cascade.Boxes:
    corner = NUMBERS.uniform(-20, side, (count, 2))
    return np.concatenate([corner, corner + NUMBERS.uniform(0.5, 80, (count, 2))], axis=1)


@pytest.mark.parametrize("values", [5, 10**6], ids=["equal scores", "scores"])
@pytest.mark.parametrize("smaller", [False, True])
@pytest.mark.parametrize("count", [0, 1, 2, 30, 127, 129, 700])
def test_suppression(count: int, smaller: bool, values: int) -> None:
    boxes, scores = some_boxes(count).round(), NUMBERS.integers(0, values, count).astype(np.float32)
    for threshold in (0.3, 0.5, 0.7):
        table = np.concatenate([boxes, scores[:, None]], axis=1)
        expected = published("box_utils").nms(table, threshold, "min" if smaller else "union")
        found = cascade.suppress(boxes, scores, threshold, smaller=smaller)
        np.testing.assert_array_equal(found, np.array(expected, int))


def test_the_best_stay() -> None:
    scores = np.array([0.5, 0.5, 0.9, 0.5], np.float32)
    assert cascade.best(scores, 2).tolist() == [2, 3]
    assert cascade.best(scores, 9).tolist() == [0, 1, 2, 3]


def test_calibration_and_squares() -> None:
    boxes, offsets = some_boxes(500), NUMBERS.normal(0, 0.3, (500, 4)).astype(np.float32)
    moved = cascade.calibrate(boxes, offsets)
    np.testing.assert_array_equal(moved, published("box_utils").calibrate_box(boxes.copy(), offsets))
    expected = np.round(published("box_utils").convert_to_square(moved))
    np.testing.assert_array_equal(cascade.square(moved), expected)


@pytest.mark.parametrize("scale", [0.6, 0.6 * 0.707**3])
def test_windows(scale: float) -> None:
    scores = NUMBERS.uniform(0, 1, (23, 31)).astype(np.float32)
    offsets = NUMBERS.normal(size=(1, 4, 23, 31)).astype(np.float32)
    expected = published("first_stage")._generate_bboxes(scores, offsets, scale, 0.7)
    index, dropped = cascade.accepted(scores.ravel(), offsets.reshape(4, -1).T, 0.7)
    assert dropped == 0
    np.testing.assert_array_equal(cascade.windows(index, 31, scale), expected[:, :4])
    np.testing.assert_array_equal(offsets.reshape(4, -1).T[index], expected[:, 5:])


@pytest.mark.parametrize("side", [24, 48])
def test_crops_and_cut(side: int) -> None:
    image = NUMBERS.integers(0, 256, (211, 307, 3), np.uint8)
    boxes = cascade.square(some_boxes(300))
    boxes = boxes[cascade.croppable(boxes, *image.shape[:2])]
    theirs = boxes.copy()
    expected = published("box_utils").get_image_boxes(theirs, Image.fromarray(image), side)
    ours = crops(image, boxes, side)
    assert len(ours) > 200
    np.testing.assert_array_equal((ours.transpose(0, 3, 1, 2) - 127.5) / 128, expected)
    # The published function changes the boxes that it is given.
    np.testing.assert_array_equal(cascade.cut(boxes, *image.shape[:2]), theirs)


def test_only_boxes_that_overlap_the_image_are_croppable() -> None:
    boxes = np.array(
        [
            [0, 0, 9, 9],
            [-9, -9, 0, 0],
            [-10, 0, -1, 9],
            [100, 5, 110, 15],
            [99, 5, 110, 15],
            [5, 5, 4, 9],
            [0, 0, 1e30, 1e30],
            [-150, -150, 149, 149],
        ]
    )
    assert cascade.croppable(boxes, 80, 100).tolist() == [True, True, False, False, True, False, False, True]


def test_pyramid_ends_above_the_window() -> None:
    assert cascade.pyramid(20, 5000) == []
    assert cascade.pyramid(21, 5000) == [0.6]
    scales = cascade.pyramid(886, 1280)
    assert len(scales) == 11
    assert all(min(cascade.level_size(886, 1280, scale)) > cascade.CELL for scale in scales)


def test_counts_what_is_not_finite() -> None:
    scores = np.array([0.9, np.nan, 0.8, 0.1, np.inf], np.float32)
    values = np.array([[0.0], [0.0], [np.inf], [np.nan], [0.0]], np.float32)
    indices, dropped = cascade.accepted(scores, values, 0.5)
    assert (indices.tolist(), dropped) == ([0], 3)


@pytest.mark.parametrize("size", [(13, 40), (14, 40), (97, 200), (98, 13)])
def test_strips_have_the_windows_of_the_whole(size: tuple[int, int]) -> None:
    rows, columns = cascade.grid(*size)
    assert (rows, columns) == (-(-(size[0] - 2) // 2) - 4, -(-(size[1] - 2) // 2) - 4)
    for windows in (1, 3 * columns, 10**9):
        parts = cascade.strips(*size, windows)
        heights = [part.stop - part.start for part in parts]
        assert sum(cascade.grid(height, size[1])[0] for height in heights) == rows
        assert parts[-1].stop == size[0]
        starts = np.cumsum([0, *(cascade.grid(height, size[1])[0] for height in heights)])
        assert [part.start for part in parts] == (2 * starts[:-1]).tolist()
        assert all(height % 2 == 0 for height in heights[:-1])
