"""Merging against a loop in plain Python, and the cases that it is for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.specs import iou
from trt_mogface.reference.merge import Limits, merge
from trt_mogface.reference.select import Selection
from trt_mogface.spec import Thresholds

Floats = NDArray[np.float32]

THRESHOLDS = Thresholds(0.5, 0.4, inclusive_areas=False)
LIMITS = Limits(large=300.0**2, visible=30.0**2)
WHOLE = [1000, 1000, 2000, 2000]


def faces(*rows: tuple[list[int], float], dropped: int = 0) -> Selection:
    """Faces with these boxes and scores; each has its number as a landmark."""
    boxes = np.array([box for box, _ in rows], np.float32).reshape(-1, 4)
    points = np.arange(2 * len(rows), dtype=np.float32).reshape(-1, 1, 2)
    return Selection(boxes, np.array([score for _, score in rows], np.float32), points, dropped)


def merged(first: Selection, second: Selection, limits: Limits = LIMITS, **changes: float) -> list[list[int]]:
    thresholds = dataclasses.replace(THRESHOLDS, **changes)  # type: ignore[arg-type]
    found = merge(first, second, thresholds, limits, (1.0, 1.0))
    assert (np.diff(found.scores) <= 0).all()
    boxes: list[list[int]] = found.boxes.astype(int).tolist()
    return boxes


def test_parts_of_a_larger_face_go_and_it_stays() -> None:
    eyes = faces(([1200, 1200, 1400, 1400], 0.99), ([1600, 1200, 1800, 1400], 0.95))
    assert merged(eyes, faces((WHOLE, 0.98))) == [WHOLE]


@pytest.mark.parametrize(
    ("box", "why"),
    [
        ([800, 1200, 1080, 1480], "most of it lies outside"),
        ([2100, 1200, 2300, 1400], "it is somewhere else"),
        ([1200, 1200, 1220, 1220], "the second pass does not see faces of this size"),
    ],
)
def test_a_face_that_is_no_part_stays(box: list[int], why: str) -> None:
    assert merged(faces((box, 0.9)), faces((WHOLE, 0.98))) == [WHOLE, box], why


def test_a_small_face_has_no_parts() -> None:
    small, inner = [1000, 1000, 1250, 1250], [1050, 1050, 1150, 1150]
    assert merged(faces((inner, 0.9)), faces((small, 0.98))) == [small, inner]


def test_an_uncertain_face_rules_out_no_certain_one() -> None:
    inner = [1200, 1200, 1400, 1400]
    assert merged(faces((inner, 0.9)), faces((WHOLE, 0.4)), score_threshold=0.1) == [inner, WHOLE]
    assert merged(faces((inner, 0.9)), faces((WHOLE, 0.46))) == [WHOLE]


def test_a_child_before_its_mother_is_found_by_the_pass_that_sees_both() -> None:
    child, blurred = [1600, 1600, 1900, 1900], [1590, 1605, 1905, 1890]
    assert merged(faces((child, 0.99)), faces((WHOLE, 0.98), (blurred, 0.9))) == [WHOLE, blurred]


def test_a_large_face_needs_a_counterpart() -> None:
    large, near = [0, 0, 400, 400], [10, 0, 410, 400]
    assert merged(faces((large, 0.9)), faces()) == []
    assert merged(faces((large, 0.9)), faces((near, 0.8))) == [large]
    assert merged(faces((large, 0.8)), faces((near, 0.9))) == [near]
    larger = [-10, -10, 420, 420]
    assert merged(faces((large, 0.9)), faces((larger, 0.8))) == [larger]


def test_small_faces_stay_where_the_second_pass_finds_nothing() -> None:
    first = faces(([0, 0, 50, 50], 0.9), ([100, 0, 350, 250], 0.8))
    found = merge(first, faces(), THRESHOLDS, LIMITS, (1.0, 1.0))
    for one, other in zip(dataclasses.astuple(found), dataclasses.astuple(first)):
        np.testing.assert_array_equal(one, other)


def test_limits_are_in_pixels_of_the_network() -> None:
    half = Limits(large=150.0**2, visible=15.0**2)
    first, second = faces(([1200, 1200, 1400, 1400], 0.9)), faces((WHOLE, 0.9))
    for limits, scale in ((LIMITS, (1.0, 1.0)), (half, (0.5, 0.5)), (half, (0.25, 1.0))):
        assert len(merge(first, second, THRESHOLDS, limits, scale).scores) == 1
    assert len(merge(first, second, THRESHOLDS, LIMITS, (0.25, 0.25)).scores) == 2  # a whole of 250 pixels


def test_counts_and_limits_combine() -> None:
    first = faces(([0, 0, 50, 50], 0.9), ([100, 0, 150, 50], 0.7), dropped=3)
    second = faces(([200, 0, 250, 50], 0.8), ([300, 0, 350, 50], 0.6), dropped=4)
    assert merge(first, second, THRESHOLDS, LIMITS, (1.0, 1.0)).dropped == 7
    three = [[0, 0, 50, 50], [200, 0, 250, 50], [100, 0, 150, 50]]
    assert merged(first, second, max_detections=3) == three
    assert merged(first, second, top_k=3) == three


def test_equal_scores_keep_the_order_of_the_passes() -> None:
    first, second = faces(([0, 0, 50, 50], 0.9)), faces(([100, 0, 150, 50], 0.9))
    assert merged(first, second) == [[0, 0, 50, 50], [100, 0, 150, 50]]
    assert merged(second, first) == [[100, 0, 150, 50], [0, 0, 50, 50]]


def test_landmarks_stay_with_their_face() -> None:
    first, second = faces(([0, 0, 50, 50], 0.7)), faces(([100, 0, 150, 50], 0.9), ([0, 0, 45, 50], 0.8))
    found = merge(first, second, THRESHOLDS, LIMITS, (1.0, 1.0))
    assert found.landmarks is not None
    assert found.landmarks.tolist() == [[[0, 1]], [[2, 3]]]
    bare, other = (dataclasses.replace(each, landmarks=None) for each in (first, second))
    assert merge(bare, other, THRESHOLDS, LIMITS, (1.0, 1.0)).landmarks is None


def plainly(first: Selection, second: Selection, thresholds: Thresholds, limits: Limits) -> list[int]:
    """The rule in Python floats: indices of the faces of both passes that stay, best first."""
    boxes = [*first.boxes.tolist(), *second.boxes.tolist()]
    scores, count = [*first.scores.tolist(), *second.scores.tolist()], len(first.scores)

    def area(box: list[float]) -> float:
        return (box[2] - box[0]) * (box[3] - box[1])

    def common(a: list[float], b: list[float]) -> float:
        width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
        return max(width, 0.0) * max(height, 0.0)

    def is_overruled(i: int) -> bool:
        heard = [j for j in range(count, len(boxes)) if scores[i] <= 2 * scores[j]]
        mine = area(boxes[i])
        wholes = [j for j in heard if area(boxes[j]) > mine and area(boxes[j]) >= limits.large]
        if mine >= limits.visible and any(common(boxes[i], boxes[j]) >= 0.7 * mine for j in wholes):
            return True
        return mine >= limits.large and not any(
            common(boxes[i], boxes[j]) >= 0.35 * (mine + area(boxes[j]) - common(boxes[i], boxes[j]))
            for j in heard
        )

    order = sorted(range(len(boxes)), key=lambda i: (-scores[i], i))[: thresholds.top_k]
    kept: list[int] = []
    for i in (i for i in order if i >= count or not is_overruled(i)):
        others = [j for j in kept if (j < count) != (i < count)]
        if all(iou(boxes[i], boxes[j]) <= thresholds.iou_threshold for j in others):
            kept.append(i)
    return kept[: thresholds.max_detections]


@given(
    counts=st.tuples(st.integers(0, 40), st.integers(0, 40)),
    seed=st.integers(0, 2**31),
    most=st.sampled_from([1, 5, 80]),
    top_k=st.sampled_from([3, 30, 5000]),
)
def test_the_rule_is_that_of_a_loop(counts: tuple[int, int], seed: int, most: int, top_k: int) -> None:
    rng = np.random.default_rng(seed)

    def made(count: int) -> Selection:
        corner = rng.integers(0, 60, (count, 2)) * 8
        boxes = np.hstack([corner, corner + rng.integers(1, 40, (count, 2)) * 8]).astype(np.float32)
        scores = -np.sort(-rng.integers(1, 17, count) / 16)
        return Selection(boxes, scores.astype(np.float32), None, 0)

    first, second = made(counts[0]), made(counts[1])
    limits = Limits(float(rng.integers(1, 300)) ** 2, float(rng.integers(1, 100)) ** 2)
    thresholds = dataclasses.replace(THRESHOLDS, top_k=top_k, max_detections=most)
    kept = plainly(first, second, thresholds, limits)
    found = merge(first, second, thresholds, limits, (1.0, 1.0))
    np.testing.assert_array_equal(found.boxes, np.concatenate([first.boxes, second.boxes])[kept])
    np.testing.assert_array_equal(found.scores, np.concatenate([first.scores, second.scores])[kept])
