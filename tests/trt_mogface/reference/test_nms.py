"""Suppression against a loop over all pairs, its laws, and the published function."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.specs import Floats
from trt_mogface.reference.nms import BLOCK, nms

SIZES = [0, 1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 1]


def overlap(one: Floats, other: Floats, inclusive: bool) -> np.float32:
    """IoU of two boxes, every step in float32; NaN where neither has an area."""
    plus, none = np.float32(inclusive), np.float32(0)
    width = max(min(one[2], other[2]) - max(one[0], other[0]) + plus, none)
    height = max(min(one[3], other[3]) - max(one[1], other[1]) + plus, none)
    both = np.float32(width * height)
    area = (one[2] - one[0] + plus) * (one[3] - one[1] + plus)
    other_area = (other[2] - other[0] + plus) * (other[3] - other[1] + plus)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio: np.float32 = np.float32(both / (area + other_area - both))
    return ratio


def plainly(boxes: Floats, threshold: float, inclusive: bool, max_keep: int) -> list[int]:
    kept: list[int] = []
    for index, box in enumerate(boxes):
        if len(kept) < max_keep and all(
            overlap(boxes[winner], box, inclusive) <= np.float32(threshold) for winner in kept
        ):
            kept.append(index)
    return kept


@st.composite
def box_lists(draw: st.DrawFn) -> Floats:
    """Boxes on a coarse grid, so that equal, touching and empty ones are common."""
    count = draw(st.sampled_from([0, 1, 2, 3, 7, 20, 40]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    step = draw(st.sampled_from([1.0, 4.0, 0.3]))
    corner = rng.integers(-3, draw(st.sampled_from([2, 10, 40])), (count, 2))
    side = rng.integers(0, draw(st.sampled_from([1, 3, 12])), (count, 2))
    boxes: Floats = (np.hstack([corner, corner + side]) * step).astype(np.float32)
    return boxes


def crowd(count: int, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 60, (count, 2))
    return np.hstack([corner, corner + rng.uniform(1, 30, (count, 2))]).astype(np.float32)


@settings(max_examples=120, deadline=None)
@given(box_lists(), st.sampled_from([0.0, 0.3, 0.4, 0.5, 1.0]), st.booleans(), st.integers(1, 50))
def test_equals_the_loop_over_all_pairs(
    boxes: Floats, threshold: float, inclusive: bool, max_keep: int
) -> None:
    kept = nms(boxes, threshold, inclusive=inclusive, max_keep=max_keep)
    assert kept.tolist() == plainly(boxes, threshold, inclusive, max_keep)


@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("count", SIZES)
def test_equals_the_loop_around_the_block_size(count: int, inclusive: bool) -> None:
    boxes = crowd(count)
    kept = nms(boxes, 0.4, inclusive=inclusive, max_keep=count + 1)
    assert kept.tolist() == plainly(boxes, 0.4, inclusive, count + 1)


@pytest.mark.parametrize("max_keep", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 400])
def test_stops_at_max_keep_with_the_best(max_keep: int) -> None:
    apart = np.arange(3 * BLOCK, dtype=np.float32)[:, None] * 10 + np.array([0, 0, 5, 5], np.float32)
    kept = nms(apart, 0.4, inclusive=True, max_keep=max_keep)
    assert kept.tolist() == list(range(min(max_keep, 3 * BLOCK)))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.1, 0.4, 0.7]), st.booleans())
def test_kept_boxes_are_apart_and_dropped_ones_have_a_reason(
    seed: int, threshold: float, inclusive: bool
) -> None:
    boxes = crowd(BLOCK + 2, seed)
    kept = nms(boxes, threshold, inclusive=inclusive, max_keep=len(boxes)).tolist()
    limit = np.float32(threshold)
    for position, winner in enumerate(kept):
        assert all(overlap(boxes[other], boxes[winner], inclusive) <= limit for other in kept[:position])
    for dropped in set(range(len(boxes))) - set(kept):
        better = [winner for winner in kept if winner < dropped]
        assert any(overlap(boxes[winner], boxes[dropped], inclusive) > limit for winner in better)


@pytest.mark.parametrize("count", [2, BLOCK, 3 * BLOCK + 5])
@pytest.mark.parametrize("inclusive", [True, False])
def test_of_equal_boxes_the_first_stays(count: int, inclusive: bool) -> None:
    boxes = np.tile(np.array([3, 4, 9, 12], np.float32), (count, 1))
    assert nms(boxes, 0.4, inclusive=inclusive, max_keep=count).tolist() == [0]


def test_a_box_without_area_suppresses_another_without_area() -> None:
    points = np.tile(np.array([5, 5, 5, 5], np.float32), (3, 1))
    assert nms(points, 0.4, inclusive=False, max_keep=9).tolist() == [0]


def test_an_iou_equal_to_the_threshold_stays() -> None:
    boxes = np.array([[0, 0, 1, 1], [0, 0, 1, 2]], np.float32)  # plain IoU: exactly one half
    assert nms(boxes, 0.5, inclusive=False, max_keep=9).tolist() == [0, 1]
    below = float(np.nextafter(np.float32(0.5), np.float32(0)))
    assert nms(boxes, below, inclusive=False, max_keep=9).tolist() == [0]


def test_order_of_memory_does_not_matter() -> None:
    boxes = crowd(200)
    turned: NDArray[np.float32] = np.asfortranarray(boxes)
    assert np.array_equal(
        nms(turned, 0.4, inclusive=True, max_keep=200), nms(boxes, 0.4, inclusive=True, max_keep=200)
    )


@pytest.mark.parametrize("count", [0, 1, 50, BLOCK, 1000])
@pytest.mark.parametrize("threshold", [0.2, 0.4, 0.6])
def test_equals_the_published_suppression(
    mogface_reference: ModuleType, count: int, threshold: float
) -> None:
    boxes = crowd(count, seed=count)
    scores = np.linspace(1, 0.5, count, dtype=np.float32)
    assert len(np.unique(scores)) == count
    shuffled = np.random.default_rng(count).permutation(count)
    found = np.hstack([boxes, scores[:, None]])[shuffled]
    published = shuffled[np.array(mogface_reference.py_cpu_nms(found, threshold), int)]
    ours = nms(boxes, threshold, inclusive=True, max_keep=count + 1)
    assert ours.tolist() == published.tolist()


def test_huge_boxes_pass_silently() -> None:
    boxes = np.array([[-1e30, -1e30, 1e30, 1e30], [0, 0, 9, 9]], np.float32)
    assert nms(boxes, 0.4, inclusive=True, max_keep=9).tolist() == [0, 1]
