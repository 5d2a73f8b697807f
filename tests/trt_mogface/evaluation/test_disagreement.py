"""Differences of two detectors' faces: hand-made cases, laws, and a second computation in plain Python."""

from __future__ import annotations

import json

import numpy as np
import pytest

from trt_mogface.detections import Detections
from trt_mogface.evaluation.disagreement import Disagreement, disagreement, in_sum, summary
from trt_mogface.evaluation.disagreement_page import (
    BOTH,
    FULL_SIZE,
    LONGEST_SIDE,
    ONLY_A,
    ONLY_B,
    SHORTEST,
    boxes,
    longest_side,
)
from trt_mogface.evaluation.matching import match

SIZE = (480, 640)


def faces(*rows: tuple[float, float, float, float, float], dropped: int = 0) -> Detections:
    """Of x0, y0, x1, y1 and score each."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Detections(table[:, :4], table[:, 4], None, SIZE, dropped)


def crowd(seed: int, count: int = 30) -> tuple[Detections, Detections]:
    """A crowd, and what another detector makes of it: some moved and rescored, some missed, some new."""
    rng = np.random.default_rng(seed)

    def some() -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        low = rng.uniform(0, 600, (count, 2))
        return np.concatenate([low, low + rng.uniform(5, 60, (count, 2)), rng.random((count, 1))], axis=1)

    rows = some()
    moved = rows[: count // 2] + rng.normal(0, 1, (count // 2, 5)) * [2, 2, 2, 2, 0.05]
    moved[:, 4] = moved[:, 4].clip(0, 1)
    return faces(*rows), faces(*rng.permutation(np.concatenate([moved, some()[:5]])))


def numbers(found: Disagreement) -> dict[str, float | None]:
    """As they come out of a JSON file."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    read: dict[str, float | None] = json.loads(json.dumps(found.to_dict()), parse_constant=refuse)
    return read


def test_a_detector_does_not_differ_from_itself() -> None:
    a, _ = crowd(0)
    found = disagreement(a, a)
    assert (found.matched, found.only_a, found.only_b) == (30, 0, 0)
    assert found.amount == 0
    values = numbers(found)
    assert values["iou"] == 1
    assert {value for name, value in values.items() if "difference" in name} == {0}


@pytest.mark.parametrize("seed", range(3))
def test_swapping_a_and_b_swaps_the_sides(seed: int) -> None:
    a, b = crowd(seed)
    one, other = numbers(disagreement(a, b)), numbers(disagreement(b, a))
    for left, right in (("faces_a", "faces_b"), ("only_a", "only_b"), ("dropped_a", "dropped_b")):
        other[left], other[right] = other[right], other[left]
    assert one == pytest.approx(other)
    assert sorted(disagreement(a, b).score_differences) == sorted(-disagreement(b, a).score_differences)


def test_a_face_that_only_one_found_counts_its_score_on_that_side() -> None:
    shared, lone = (10, 10, 50, 50, 0.75), (100, 100, 150, 160, 0.5)
    found = disagreement(faces(shared, lone), faces(shared))
    assert (found.matched, found.only_a, found.only_b, found.amount) == (1, 1, 0, 0.5)
    found = disagreement(faces(shared), faces(shared, lone))
    assert (found.matched, found.only_a, found.only_b, found.amount) == (1, 0, 1, 0.5)


def test_a_face_moved_three_pixels_right_is_three_pixels_off_in_half_of_its_coordinates() -> None:
    found = disagreement(faces((10, 10, 39, 39, 0.75)), faces((13, 10, 42, 39, 0.5)))
    overlap = 27 * 30 / (2 * 900 - 27 * 30)
    assert numbers(found) == pytest.approx(
        {
            "faces_a": 1,
            "faces_b": 1,
            "matched": 1,
            "only_a": 0,
            "only_b": 0,
            "iou": overlap,
            "score_difference": 0.25,
            "score_difference_max": 0.25,
            "coordinate_difference": 1.5,
            "coordinate_difference_max": 3,
            "relative_difference": 0.05,
            "relative_difference_max": 0.1,
            "dropped_a": 0,
            "dropped_b": 0,
            "disagreement": 0.25 + 1 - overlap,
        },
        rel=1e-6,
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_numbers_are_those_of_a_plain_loop_over_the_pairs(seed: int) -> None:
    a, b = crowd(seed)
    pairs = match(a.xyxy, b.xyxy)
    scores, coordinates, relative = [], [], []
    for i, j in zip(pairs.a.tolist(), pairs.b.tolist()):
        scores.append(abs(float(a.confidence[i]) - float(b.confidence[j])))
        areas = [(x1 - x0 + 1) * (y1 - y0 + 1) for x0, y0, x1, y1 in (a.xyxy[i].tolist(), b.xyxy[j].tolist())]
        for p, q in zip(a.xyxy[i].tolist(), b.xyxy[j].tolist()):
            coordinates.append(abs(p - q))
            relative.append(abs(p - q) / (sum(areas) / 2) ** 0.5)
    lone = sum(s for i, s in enumerate(a.confidence.tolist()) if i not in pairs.a)
    lone += sum(s for j, s in enumerate(b.confidence.tolist()) if j not in pairs.b)
    values = numbers(disagreement(a, b))
    for name, plain in (("score", scores), ("coordinate", coordinates), ("relative", relative)):
        assert values[f"{name}_difference"] == pytest.approx(sum(plain) / len(plain), rel=1e-4)
        assert values[f"{name}_difference_max"] == pytest.approx(max(plain), rel=1e-4)
    expected = sum(scores) + sum(1 - overlap for overlap in pairs.ious.tolist()) + lone
    assert values["disagreement"] == pytest.approx(expected, rel=1e-5)


def test_the_sum_counts_every_face_of_every_image_alike() -> None:
    parts = [disagreement(*crowd(seed, count)) for seed, count in ((0, 4), (1, 40), (2, 11))]
    total = in_sum(parts)
    for name in ("matched", "only_a", "only_b"):
        assert getattr(total, name) == sum(getattr(part, name) for part in parts)
    assert total.amount == pytest.approx(sum(part.amount for part in parts))
    every = [value for part in parts for value in part.ious.tolist()]
    assert numbers(total)["iou"] == pytest.approx(np.mean(every))
    worst = max(part.coordinate_differences.max() for part in parts)
    assert numbers(total)["coordinate_difference_max"] == pytest.approx(worst)


@pytest.mark.parametrize("found", [in_sum([]), disagreement(faces(), faces())])
def test_no_face_at_all_is_no_disagreement_and_has_no_means(found: Disagreement) -> None:
    values = numbers(found)
    assert (values["disagreement"], values["faces_a"], values["iou"]) == (0, 0, None)
    assert all(value is None for name, value in values.items() if "difference" in name)
    assert dict(summary(found, 0))["found by both"] == "0"


def test_a_blind_detector_disagrees_on_every_face() -> None:
    a, _ = crowd(0)
    found = disagreement(a, faces())
    assert (found.matched, found.only_a, found.only_b) == (0, 30, 0)
    assert found.amount == pytest.approx(float(a.confidence.sum()))
    assert numbers(found)["score_difference"] is None


def test_candidates_that_are_not_finite_count_on_their_side() -> None:
    found = in_sum(
        [disagreement(faces(dropped=2), faces()), disagreement(faces(dropped=1), faces(dropped=7))]
    )
    assert (found.dropped_a, found.dropped_b) == (3, 7)
    assert dict(summary(found, 2))["candidates not finite"] == "3 of A, 7 of B"


def test_faces_without_extent_have_finite_differences() -> None:
    point = faces((5, 5, 5, 5, 0.5))
    assert numbers(disagreement(point, point))["relative_difference"] == 0


def test_images_of_different_sizes_are_not_the_same() -> None:
    other = Detections(faces().xyxy, faces().confidence, None, (481, 640))
    with pytest.raises(ValueError, match="differ in size"):
        disagreement(faces(), other)


def test_each_kind_of_face_has_its_box_and_label() -> None:
    both, only_a, only_b = (20, 20, 70, 70, 0.9), (200, 20, 270, 90, 0.8), (20, 200, 90, 280, 0.7)
    first, second, missed_by_b, missed_by_a = boxes(faces(both, only_a), faces(only_b, both))
    height, width = SIZE
    assert (first.kind, second.kind, missed_by_b.kind, missed_by_a.kind) == (BOTH, BOTH, ONLY_A, ONLY_B)
    assert first.xyxy == second.xyxy == pytest.approx((20 / width, 20 / height, 70 / width, 70 / height))
    assert [each.label for each in (first, second, missed_by_b, missed_by_a)] == [
        "",
        "0.90 0.90",
        "A 0.80",
        "B 0.70",
    ]
    assert missed_by_a.xyxy == pytest.approx((20 / width, 200 / height, 90 / width, 280 / height))


def test_boxes_end_at_the_edges() -> None:
    (box,) = boxes(faces((-50, -50, 1e6, 1e6, 0.9)), faces())
    assert box.xyxy == (0, 0, 1, 1)


def test_many_images_are_smaller_so_that_the_page_does_not_grow() -> None:
    assert longest_side(1) == longest_side(FULL_SIZE) == LONGEST_SIDE
    assert longest_side(4 * FULL_SIZE) == LONGEST_SIDE // 2
    assert longest_side(10**6) == SHORTEST
