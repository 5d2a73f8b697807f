"""Agreement with FP32, on faces made by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from engine_build.validation.agreement import MIN_FACES, Agreement, compare
from trt_mogface.reference.select import Selection


def selection(
    boxes: Sequence[tuple[float, float, float, float]], scores: Sequence[float], dropped: int = 0
) -> Selection:
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    return Selection(corners, np.array(scores, np.float32), None, dropped)


def row(count: int, *, first: float = 0.95, step: float = 0.01, shift: float = 0.0) -> Selection:
    """Faces of 99 x 99 (100 pixels a side with the + 1 convention), far apart, with falling scores."""
    boxes = [(200.0 * i + shift, 0.0, 200.0 * i + 99 + shift, 99.0) for i in range(count)]
    return selection(boxes, [first - step * i for i in range(count)])


NOTHING = selection([], [])
TWELVE = row(12)


def test_the_same_faces_agree() -> None:
    found = compare([TWELVE, TWELVE], [TWELVE, TWELVE], 0.5)
    expected = Agreement(images=2, faces=24, found=24, ap=1.0, score_difference=0.0, iou=1.0, dropped=0)
    assert found.ap == pytest.approx(1, abs=1e-12)
    assert dataclasses.replace(found, ap=1.0) == expected
    assert found.loss == 0
    assert str(found) == (
        "AP against FP32 100.00; 24 of FP32's 24 faces on 2 images; mean IoU 1.000, scores 0.000 apart"
    )


def test_the_order_of_the_candidates_is_nothing() -> None:
    shuffled = np.random.default_rng(0).permutation(12)
    other = Selection(TWELVE.boxes[shuffled], TWELVE.scores[shuffled], None, 0)
    assert compare([TWELVE], [other], 0.5) == compare([TWELVE], [TWELVE], 0.5)


@pytest.mark.parametrize("missing", range(1, 11))
def test_missing_faces_cost_their_share(missing: int) -> None:
    """All found faces are right, so that the area is the recall."""
    other = Selection(TWELVE.boxes[:-missing], TWELVE.scores[:-missing], None, 0)
    found = compare([TWELVE], [other], 0.5)
    assert (found.faces, found.found) == (12, 12 - missing)
    assert found.ap == pytest.approx(1 - missing / 12)
    assert found.loss == pytest.approx(100 * missing / 12)
    assert found.iou == 1
    assert found.score_difference == 0


@pytest.mark.parametrize(
    ("shift", "iou"), [(10, 9000 / 11000), (25, 7500 / 12500), (33, 6700 / 13300), (-33, 6700 / 13300)]
)
def test_boxes_that_moved_a_little_are_found(shift: float, iou: float) -> None:
    found = compare([TWELVE], [row(12, shift=shift)], 0.5)
    assert (found.found, found.loss) == (12, 0)
    assert found.iou == pytest.approx(iou)


@pytest.mark.parametrize("shift", [34, 60, -100])
def test_boxes_that_moved_far_are_not(shift: float) -> None:
    found = compare([TWELVE], [row(12, shift=shift)], 0.5)
    assert (found.found, found.ap, found.iou) == (0, 0, 0)
    assert found.loss == 100


def test_extra_faces_that_are_unsure_cost_nothing_and_sure_ones_do() -> None:
    away = [(300.0 * i, 500.0, 300.0 * i + 50, 560.0) for i in range(12)]

    def with_extra(scores: Sequence[float]) -> Selection:
        boxes = np.concatenate([TWELVE.boxes, np.array(away, np.float32)])
        return Selection(boxes, np.concatenate([TWELVE.scores, np.array(scores, np.float32)]), None, 0)

    unsure = compare([TWELVE], [with_extra([0.03 + 0.001 * i for i in range(12)])], 0.5)
    assert unsure.loss == pytest.approx(0, abs=1e-9)
    sure = compare([TWELVE], [with_extra([0.97 + 0.001 * i for i in range(12)])], 0.5)
    assert sure.ap == pytest.approx(0.5, abs=0.01)  # 12 wrong ones before the first right one
    assert sure.found == 12


def test_scores_apart() -> None:
    found = compare([TWELVE], [row(12, first=0.75)], 0.5)
    assert found.score_difference == pytest.approx(0.2, abs=1e-6)
    assert found.loss == 0  # the ranking is the same


def test_only_sure_faces_of_the_reference_are_the_truth() -> None:
    reference = row(20, first=0.975, step=0.05)  # ten above 0.5
    assert compare([reference], [reference], 0.9).faces == 10
    assert compare([reference], [reference], 0.2).faces == 16  # the model's own threshold is lower


@pytest.mark.parametrize("count", [1, MIN_FACES - 1])
def test_too_few_faces_say_nothing(count: int) -> None:
    found = compare([row(count)], [row(count)], 0.5)
    assert (found.faces, found.found, found.ap, found.loss) == (count, count, None, None)
    assert str(found).startswith("too few for an AP; ")
    assert "1 image;" in str(found)
    assert compare([row(MIN_FACES)], [row(MIN_FACES)], 0.5).loss == 0


def test_faces_are_counted_over_all_images() -> None:
    images = [row(4), NOTHING, row(6, first=0.9)]
    found = compare(images, images, 0.5)
    assert (found.images, found.faces, found.loss) == (3, 10, 0)


def test_images_without_faces() -> None:
    for images in ([], [NOTHING], [NOTHING, NOTHING]):
        found = compare(images, images, 0.5)
        assert (found.images, found.faces, found.found, found.ap) == (len(images), 0, 0, None)
        assert str(found).startswith("no faces on ")


def test_nothing_found_loses_everything() -> None:
    found = compare([TWELVE], [NOTHING], 0.5)
    assert (found.faces, found.found, found.ap, found.loss) == (12, 0, 0, 100)
    assert (found.iou, found.score_difference) == (0, 0)


def test_faces_where_there_were_none_are_no_faces_to_compare() -> None:
    found = compare([NOTHING], [TWELVE], 0.5)
    assert (found.faces, found.found, found.loss) == (0, 0, None)


def test_faces_on_the_wrong_image_are_not_found() -> None:
    """The images are compared in their order."""
    found = compare([TWELVE, NOTHING], [NOTHING, TWELVE], 0.5)
    assert (found.found, found.loss) == (0, 100)


def test_dropped_candidates_are_counted() -> None:
    one, two = selection([], [], dropped=1), selection([], [], dropped=2)
    assert compare([one, NOTHING], [two, two], 0.5).dropped == 4
    assert compare([two], [one], 0.5).dropped == 1


def test_the_same_faces_with_one_score_for_all_agree() -> None:
    equal = row(12, first=1.0, step=0.0)
    found = compare([equal], [equal], 0.5)
    assert found.found == 12
    assert found.loss == 0


def test_losing_nothing_is_exactly_nothing() -> None:
    boxes = [*TWELVE.boxes.tolist(), *[[300.0 * i, 500, 300.0 * i + 50, 560] for i in range(12)]]
    scores = [*TWELVE.scores.tolist(), *[0.03 + 0.001 * i for i in range(12)]]
    same = selection([(a, b, c, d) for a, b, c, d in boxes], scores)
    found = compare([same], [same], 0.5)
    assert found.loss == 0
