"""From outputs to faces: against the published steps, and with outputs of a broken network."""

from __future__ import annotations

import dataclasses
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.specs import MOGFACE, Floats, small_spec
from trt_mogface.reference.anchors import anchors
from trt_mogface.reference.select import Selection, best, select
from trt_mogface.spec import UNLIMITED


def made_up(size: tuple[int, int], candidates: int, seed: int) -> tuple[Floats, Floats]:
    """Outputs of MogFace with distinct scores, ``candidates`` of them above its threshold."""
    rng = np.random.default_rng(seed)
    count = MOGFACE.anchor_count(*size)
    scores = np.concatenate([np.linspace(0, 0.8, count - candidates), np.linspace(0.83, 0.999, candidates)])
    scores = rng.permutation(scores.astype(np.float32))
    assert len(np.unique(scores)) == count
    return scores, rng.normal(0, 0.3, (count, 4)).astype(np.float32)


def published(reference: ModuleType, scores: Floats, deltas: Floats, size: tuple[int, int]) -> Floats:
    """``MogFaceDetector.forward`` after the network, step by step."""
    torch = pytest.importorskip("torch")
    priors = torch.tensor(reference.MogPriorBox(scale_list=[0.68])(*size))
    boxes = reference.mogdecode(torch.from_numpy(deltas), priors).numpy()
    above = np.where(scores > 0.82)[0]
    boxes, scores = boxes[above], scores[above]
    order = scores.argsort()[::-1][:5000]
    found = np.hstack((boxes[order], scores[order, None])).astype(np.float32)
    faces: Floats = found[reference.py_cpu_nms(found, 0.4)][:750]
    return faces


@pytest.mark.parametrize(
    ("size", "candidates"),
    [((640, 640), 300), ((640, 640), 6000), ((97, 131), 300), ((351, 1003), 6000), ((1, 33), 5)],
)
def test_equals_the_published_steps(
    mogface_reference: ModuleType, size: tuple[int, int], candidates: int
) -> None:
    scores, deltas = made_up(size, candidates, seed=candidates)
    expected = published(mogface_reference, scores, deltas, size)
    faces = select(scores, deltas, None, spec=MOGFACE, size=size, thresholds=MOGFACE.thresholds)
    assert faces.scores.tolist() == expected[:, 4].tolist()
    np.testing.assert_allclose(faces.boxes, expected[:, :4], rtol=1e-6, atol=1e-3)
    assert faces.landmarks is None
    assert faces.dropped == 0


def test_the_cases_above_reach_both_limits(mogface_reference: ModuleType) -> None:
    scores, deltas = made_up((640, 640), 6000, seed=6000)
    assert np.count_nonzero(scores > 0.82) > MOGFACE.thresholds.top_k
    assert len(published(mogface_reference, scores, deltas, (640, 640))) == 750


SIZE = (32, 48)
SMALL = small_spec("ssd", landmarks=5)
COUNT = SMALL.anchor_count(*SIZE)


def run(
    scores: Floats,
    deltas: Floats | None = None,
    points: Floats | None = None,
    content: tuple[int, int] | None = None,
    **limits: Any,
) -> Selection:
    return select(
        scores,
        np.zeros((COUNT, 4), np.float32) if deltas is None else deltas,
        np.zeros((COUNT, 10), np.float32) if points is None else points,
        spec=SMALL,
        size=SIZE,
        thresholds=dataclasses.replace(SMALL.thresholds, **limits),
        content=content,
    )


def scores_at(values: dict[int, float]) -> Floats:
    scores = np.zeros(COUNT, np.float32)
    for index, value in values.items():
        scores[index] = value
    return scores


def test_no_candidate_gives_empty_arrays_of_the_right_shape() -> None:
    faces = run(scores_at({}))
    assert (faces.boxes.shape, faces.scores.shape) == ((0, 4), (0,))
    assert faces.landmarks is not None
    assert faces.landmarks.shape == (0, 5, 2)


def test_one_candidate_comes_out_as_its_anchor() -> None:
    faces = run(scores_at({0: 0.75}))  # zero deltas: the 8 px anchor in the middle of the first cell
    assert faces.boxes.tolist() == [[0, 0, 8, 8]]
    assert faces.scores.tolist() == [0.75]
    assert faces.landmarks is not None
    assert faces.landmarks.tolist() == [[[4, 4]] * 5]


def test_a_score_equal_to_the_threshold_is_no_candidate() -> None:
    assert len(run(scores_at({0: 0.5})).scores) == 0
    assert len(run(scores_at({0: float(np.nextafter(np.float32(0.5), np.float32(1)))})).scores) == 1


def test_equal_scores_come_in_the_order_of_their_anchors() -> None:
    scores = np.full(COUNT, 0.9, np.float32)
    faces = run(scores, iou_threshold=1.0, top_k=COUNT + 1, max_detections=COUNT)
    every = run(scores, iou_threshold=1.0, top_k=3, max_detections=COUNT)
    assert len(faces.scores) == COUNT
    assert np.array_equal(every.boxes, faces.boxes[:3])
    # the two sides of the first cell, then the next cell of the row
    assert faces.boxes[:3].tolist() == [[0, 0, 8, 8], [-4, -4, 12, 12], [8, 0, 16, 8]]


def test_identical_boxes_leave_the_best() -> None:
    scores = np.linspace(0.6, 0.9, COUNT, dtype=np.float32)
    deltas = np.zeros((COUNT, 4), np.float32)
    # every anchor decodes to the box around (0, 0) of side 1
    near = anchors(SMALL, *SIZE)
    deltas[:, :2] = -near[:, :2] / near[:, 2:] / 0.1
    deltas[:, 2:] = np.log(1 / near[:, 2:]) / 0.2
    faces = run(scores, deltas)
    assert faces.scores.tolist() == [scores[-1]]
    np.testing.assert_allclose(faces.boxes, [[-0.5, -0.5, 0.5, 0.5]], atol=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_deltas_that_are_not_finite_are_dropped_and_counted(bad: float) -> None:
    deltas = np.zeros((COUNT, 4), np.float32)
    deltas[0, 0] = bad
    faces = run(scores_at({0: 0.9, 6: 0.8}), deltas)
    assert (faces.scores.tolist(), faces.dropped) == ([np.float32(0.8)], 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_landmarks_that_are_not_finite_are_dropped_and_counted(bad: float) -> None:
    points = np.zeros((COUNT, 10), np.float32)
    points[6, 9] = bad
    faces = run(scores_at({0: 0.9, 6: 0.8}), points=points)
    assert (faces.scores.tolist(), faces.dropped) == ([np.float32(0.9)], 1)


def test_infinite_scores_and_nan_are_dropped_and_counted() -> None:
    faces = run(scores_at({0: np.inf, 4: np.nan, 6: 0.8, 8: -np.inf}))
    assert (faces.scores.tolist(), faces.dropped) == ([np.float32(0.8)], 2)


def test_numbers_of_anchors_that_are_no_candidates_do_not_count() -> None:
    deltas = np.full((COUNT, 4), np.nan, np.float32)
    deltas[6] = 0
    assert run(scores_at({0: 0.1, 6: 0.8}), deltas).dropped == 0


def test_everything_not_finite_gives_no_face() -> None:
    faces = run(np.full(COUNT, np.inf, np.float32), np.full((COUNT, 4), np.nan, np.float32))
    assert (len(faces.scores), faces.dropped) == (0, COUNT)


def test_a_dropped_candidate_suppresses_nobody() -> None:
    deltas = np.zeros((COUNT, 4), np.float32)
    deltas[0] = [0, 0, 0, np.nan]
    faces = run(scores_at({0: 0.9, 1: 0.8}), deltas, iou_threshold=0.0)
    assert faces.scores.tolist() == [np.float32(0.8)]


def test_a_huge_finite_box_passes_silently() -> None:
    deltas = np.zeros((COUNT, 4), np.float32)
    deltas[0, 2:] = 350  # 8 px times exp(70)
    assert len(run(scores_at({0: 0.9}), deltas).scores) == 1


def test_boxes_are_cut_at_the_content_before_the_suppression() -> None:
    deltas = np.zeros((COUNT, 4), np.float32)
    deltas[0, :2] = -5, -5  # half of the 8 px box lies left of and above the image
    whole = run(scores_at({0: 0.9}), deltas)
    assert whole.boxes.tolist() == [[-4, -4, 4, 4]]
    faces = run(scores_at({0: 0.9}), deltas, clip=True)
    assert faces.boxes.tolist() == [[0, 0, 4, 4]]
    assert faces.landmarks is not None
    assert whole.landmarks is not None
    assert np.array_equal(faces.landmarks, whole.landmarks)
    assert run(scores_at({0: 0.9}), deltas, content=(3, 2), clip=True).boxes.tolist() == [[0, 0, 2, 3]]
    assert run(scores_at({0: 0.9}), deltas, content=(3, 2)).boxes.tolist() == [[-4, -4, 4, 4]]
    # Two boxes that overlap in a corner only are equal once they are cut at a pixel of that corner.
    pair = scores_at({0: 0.9, 1: 0.8})
    assert len(run(pair, iou_threshold=0.5).scores) == 2
    assert len(run(pair, iou_threshold=0.5, clip=True, content=(8, 8)).scores) == 1


def test_a_box_beside_the_content_is_empty_and_zeros_have_no_sign() -> None:
    deltas = np.zeros((COUNT, 4), np.float32)
    deltas[0, :2] = -50
    box = run(scores_at({0: 0.9}), deltas, clip=True).boxes
    assert box.tolist() == [[0, 0, 0, 0]]
    assert not np.signbit(box).any()


def test_infinite_boxes_are_dropped_though_they_could_be_cut() -> None:
    deltas = np.zeros((COUNT, 4), np.float32)
    deltas[0, 2] = 1e4
    faces = run(scores_at({0: 0.9, 6: 0.8}), deltas, clip=True)
    assert (faces.scores.tolist(), faces.dropped) == ([np.float32(0.8)], 1)


def test_without_limits_all_candidates_stay() -> None:
    scores = np.linspace(0.6, 0.9, COUNT, dtype=np.float32)
    faces = run(scores, iou_threshold=1.0, top_k=UNLIMITED, max_detections=UNLIMITED)
    assert len(faces.scores) == COUNT


# Few distinct values, so that ties and the cut among them are common.
TIED = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, float("nan"), float("inf")]), max_size=40)


@settings(max_examples=300, deadline=None)
@given(TIED, st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.integers(1, 45))
def test_best_equals_sorting_everything(values: list[float], threshold: float, top_k: int) -> None:
    above = [index for index, value in enumerate(values) if value > threshold]
    expected = sorted(above, key=lambda index: (-values[index], index))[:top_k]
    assert best(np.array(values, np.float32), threshold, top_k).tolist() == expected
