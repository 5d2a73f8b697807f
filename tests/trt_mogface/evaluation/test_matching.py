"""Matching against a walk in plain Python, against SciPy's optimal assignment, and by its laws."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.specs import Floats
from trt_mogface.evaluation.average_precision import FACES_AT_A_TIME
from trt_mogface.evaluation.matching import Matching, match
from trt_mogface.reference.nms import nms

Pairs = list[tuple[int, int]]

CROWDED, ROOMY = 60, 600
"""Side of the square that boxes of 10 to 40 pixels are thrown into."""


def boxes(rng: np.random.Generator, count: int, side: float) -> Floats:
    low = rng.uniform(0, side, (count, 2))
    return np.concatenate([low, low + rng.uniform(10, 40, (count, 2))], axis=1).astype(np.float32)


def both_lists(seed: int, side: float) -> tuple[Floats, Floats]:
    """Some boxes of A moved a little and shuffled, and others of B's own."""
    rng = np.random.default_rng(seed)
    a = boxes(rng, 40, side)
    moved = a[:30] + rng.normal(0, 3, (30, 4)).astype(np.float32)
    return a, rng.permutation(np.concatenate([moved, boxes(rng, 15, side)]))


def suppressed(faces: Floats) -> Floats:
    return faces[nms(faces, 0.3, inclusive=True, max_keep=100)]


def plain_iou(one: Floats, other: Floats) -> float:
    """With the + 1 convention, in Python floats."""
    ax0, ay0, ax1, ay1 = map(float, one)
    bx0, by0, bx1, by1 = map(float, other)
    both = max(0.0, min(ax1, bx1) - max(ax0, bx0) + 1) * max(0.0, min(ay1, by1) - max(ay0, by0) + 1)
    return both / ((ax1 - ax0 + 1) * (ay1 - ay0 + 1) + (bx1 - bx0 + 1) * (by1 - by0 + 1) - both)


def walked(a: Floats, b: Floats) -> Pairs:
    """Greedy matching, one pair after the other."""
    every = [(plain_iou(one, other), i, j) for i, one in enumerate(a) for j, other in enumerate(b)]
    taken: Pairs = []
    for overlap, i, j in sorted(every, key=lambda pair: -pair[0]):
        if overlap >= 0.5 and all(i != one and j != other for one, other in taken):
            taken.append((i, j))
    return sorted(taken)


def pairs(matching: Matching) -> Pairs:
    return list(zip(matching.a.tolist(), matching.b.tolist()))


@pytest.mark.parametrize("side", [CROWDED, ROOMY])
@pytest.mark.parametrize("seed", range(5))
def test_it_pairs_what_a_plain_walk_pairs(seed: int, side: float) -> None:
    a, b = both_lists(seed, side)
    found = match(a, b)
    assert pairs(found) == walked(a, b)
    assert len(found.a) > 10
    assert found.ious.tolist() == pytest.approx([plain_iou(a[i], b[j]) for i, j in pairs(found)])


@pytest.mark.parametrize("seed", range(5))
def test_after_a_suppression_an_optimal_assignment_pairs_no_more_faces(seed: int) -> None:
    optimize = pytest.importorskip("scipy.optimize", reason="the optimal assignment is SciPy's")
    a, b = map(suppressed, both_lists(seed, ROOMY))
    enough = np.array([[plain_iou(one, other) >= 0.5 for other in b] for one in a])
    best = int(enough[optimize.linear_sum_assignment(enough, maximize=True)].sum())
    assert len(match(a, b).a) == best > 10


@pytest.mark.parametrize("side", [CROWDED, ROOMY])
def test_swapping_the_lists_swaps_the_sides(side: float) -> None:
    a, b = both_lists(0, side)
    one, other = match(a, b), match(b, a)
    assert sorted(pairs(one)) == sorted((i, j) for j, i in pairs(other))
    assert sorted(one.ious) == sorted(other.ious)


def test_equal_overlaps_are_settled_alike_from_both_sides() -> None:
    still = np.array([[10, 10, 29, 29]], np.float32)
    around = still + np.array([[-2, 0, -2, 0], [2, 0, 2, 0], [0, 2, 0, 2]], np.float32)
    assert pairs(match(still, around)) == [(0, 0)]
    assert pairs(match(around, still)) == [(0, 0)]
    assert pairs(match(around[::-1], still)) == [(0, 0)]


def test_a_list_matches_itself_box_by_box_even_with_a_box_twice() -> None:
    a = boxes(np.random.default_rng(1), 50, CROWDED)
    a = np.concatenate([a, a[:5]])
    found = match(a, a)
    assert pairs(found) == [(i, i) for i in range(55)]
    assert found.ious.astype(np.float32).tolist() == [1.0] * 55


def test_the_nearer_of_two_rivals_wins_and_the_other_has_no_partner() -> None:
    a = np.array([[0, 0, 20, 20]], np.float32)
    b = np.array([[4, 0, 24, 20], [1, 0, 21, 20]], np.float32)
    assert pairs(match(a, b)) == [(0, 1)]


def test_a_rival_that_loses_takes_what_is_left() -> None:
    a = np.array([[0, 0, 99, 99], [30, 0, 129, 99]], np.float32)
    b = np.array([[28, 0, 127, 99], [8, 0, 107, 99]], np.float32)
    assert pairs(match(a, b)) == [(0, 1), (1, 0)]
    # Each of A's meets b[0]; a[1] is nearer, and a[0] has no other.
    assert pairs(match(a, b[:1])) == [(1, 0)]


def test_half_an_overlap_is_enough_and_less_is_not() -> None:
    whole = np.array([[0, 0, 9, 9]], np.float32)
    assert match(whole, np.array([[0, 0, 9, 4]], np.float32)).ious.tolist() == [0.5]
    assert not len(match(whole, np.array([[0, 0, 9, 3.99]], np.float32)).a)


@pytest.mark.parametrize("counts", [(0, 0), (0, 3), (3, 0)], ids=str)
def test_nothing_matches_nothing(counts: tuple[int, int]) -> None:
    a, b = (boxes(np.random.default_rng(0), count, ROOMY) for count in counts)
    found = match(a, b)
    assert (found.a.shape, found.b.shape, found.ious.shape) == ((0,), (0,), (0,))
    assert found.a.dtype == found.b.dtype == np.int64


@pytest.mark.parametrize(
    "broken",
    [
        [np.nan, 0, 9, 9],
        [0, 0, np.nan, 9],
        [np.nan] * 4,
        [-np.inf, 0, np.inf, 9],
        [0, 0, np.inf, np.inf],
        [9, 0, 0, 9],
        [9, 9, 8, 8],
    ],
    ids=str,
)
def test_an_invalid_box_stays_without_partner_and_harms_no_other(broken: list[float]) -> None:
    good = np.array([[0, 0, 9, 9], [50, 50, 70, 70]], np.float32)
    ugly = np.concatenate([np.array([broken], np.float32), good])
    assert pairs(match(ugly, ugly)) == [(1, 1), (2, 2)]
    assert pairs(match(ugly, good)) == [(1, 0), (2, 1)]


def test_a_box_of_a_point_matches_itself() -> None:
    point = np.array([[5, 5, 5, 5]], np.float32)
    assert match(point, point).ious.tolist() == [1.0]


def test_lists_longer_than_a_piece_match_as_short_ones() -> None:
    count = 2 * FACES_AT_A_TIME + 3
    corners = 100 * np.stack(np.divmod(np.arange(count), 32), axis=1)
    a = np.concatenate([corners, corners + 50], axis=1).astype(np.float32)
    order = np.random.default_rng(2).permutation(count)
    assert pairs(match(a[order], a)) == list(enumerate(order.tolist()))
