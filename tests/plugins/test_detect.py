"""From a network's outputs to faces, against the specification.

The rule: candidates are exact, and so are the faces among the candidates' boxes.  Boxes themselves are
exact but for the exp of a size, so that faces differ from numpy's where two boxes overlap as much as the
threshold says, up to rounding, and nowhere else; with ``distance`` coding, which has no exp, nothing differs.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import device
from tests.support.device import LAUNCH_KINDS, HostFaces, arrays, launching, reseed, same_bits
from tests.support.family_specs import FAMILY
from tests.support.problems import Problem, decode, detect, problem, select, sprinkled
from tests.support.specs import MOGFACE, small_spec
from tests.support.strategies import examples, problems
from trt_mogface.frame import Frame
from trt_mogface.kernels import MAX_TOP_K, Faces, Kernels
from trt_mogface.reference.nms import nms
from trt_mogface.reference.resize import Placement, place_letterbox, place_stretch
from trt_mogface.reference.select import Selection
from trt_mogface.reference.select import select as numpy_select
from trt_mogface.spec import UNLIMITED

SIZE = (32, 48)
SMALL = small_spec("distance")
COUNT = SMALL.anchor_count(*SIZE)


def check(kernels: Kernels, asked: Problem, found: HostFaces) -> None:
    """The faces are exactly those that numpy finds among the candidates of `Kernels.decode`."""
    limits = asked.thresholds
    candidates = decode(kernels, asked)
    assert found.dropped.tolist() == candidates.dropped.tolist()
    for image in range(asked.batch):
        present = np.flatnonzero(candidates.anchors[image, : candidates.counts[image]] >= 0)
        keep = present[
            nms(
                candidates.boxes[image, present],
                limits.iou_threshold,
                inclusive=limits.inclusive_areas,
                max_keep=limits.most_faces,
            )
        ]
        count = len(keep)
        assert found.counts[image] == count
        assert same_bits(found.boxes[image, :count], candidates.boxes[image, keep])
        assert same_bits(found.scores[image, :count], candidates.scores[image, keep])
        assert (found.boxes[image, count:] == 0).all()
        assert (found.scores[image, count:] == 0).all()
        if candidates.landmarks is not None:
            assert found.landmarks is not None
            assert same_bits(found.landmarks[image, :count], candidates.landmarks[image, keep])
            assert (found.landmarks[image, count:] == 0).all()


def specified(asked: Problem, image: int) -> Selection:
    scores, deltas, points = asked.image(image)
    return numpy_select(scores, deltas, points, spec=asked.spec, size=asked.size, thresholds=asked.thresholds)


def check_equal(found: HostFaces, asked: Problem) -> None:
    """The faces are those of `trt_mogface.reference.select.select` to the last bit."""
    for image in range(asked.batch):
        expected = specified(asked, image)
        count = len(expected.scores)
        assert found.counts[image] == count
        assert found.dropped[image] == expected.dropped
        assert same_bits(found.boxes[image, :count], expected.boxes)
        assert same_bits(found.scores[image, :count], expected.scores)
        if expected.landmarks is not None:
            assert found.landmarks is not None
            assert same_bits(found.landmarks[image, :count], expected.landmarks)


def check_close(found: HostFaces, asked: Problem) -> None:
    """The faces are those of `reference.select`, their boxes up to the rounding of an exp."""
    for image in range(asked.batch):
        expected = specified(asked, image)
        count = len(expected.scores)
        assert found.counts[image] == count
        assert found.scores[image, :count].tolist() == expected.scores.tolist()
        np.testing.assert_allclose(found.boxes[image, :count], expected.boxes, rtol=1e-5, atol=1e-3)


@examples(70)
@given(asked=problems(), seed=st.integers(0, 2**31), kind=st.sampled_from(LAUNCH_KINDS))
def test_faces_are_those_of_the_specification(kernels: Kernels, asked: Problem, seed: int, kind: str) -> None:
    reseed(kernels.path, seed)
    with launching(kind):
        found = detect(kernels, asked)
    check(kernels, asked, found)
    if asked.spec.coding.kind == "distance" or (asked.deltas[..., 2:] == 0).all():
        check_equal(found, asked)


@examples(40)
@given(asked=problems(most_pixels=60), kind=st.sampled_from(LAUNCH_KINDS))
def test_without_an_exp_everything_is_equal_to_the_last_bit(
    kernels: Kernels, asked: Problem, kind: str
) -> None:
    coding = dataclasses.replace(asked.spec.coding, kind="distance")
    asked = dataclasses.replace(asked, spec=dataclasses.replace(asked.spec, coding=coding))
    with launching(kind):
        check_equal(detect(kernels, asked), asked)


def mogface_outputs(candidates: int, size: tuple[int, int], seed: int = 0) -> Problem:
    """Outputs of MogFace with distinct scores, ``candidates`` of them above its threshold."""
    rng = np.random.default_rng(seed)
    count = MOGFACE.anchor_count(*size)
    scores = np.concatenate([np.linspace(0, 0.8, count - candidates), np.linspace(0.83, 0.999, candidates)])
    deltas = rng.normal(0, 0.3, (count, 4)).astype(np.float32)
    return problem(MOGFACE, rng.permutation(scores.astype(np.float32)), deltas, size=size)


def test_an_image_of_640_pixels(kernels: Kernels) -> None:
    asked = mogface_outputs(300, (640, 640))
    assert asked.scores.shape == (1, 34125)
    found = detect(kernels, asked)
    check(kernels, asked, found)
    check_close(found, asked)
    assert 100 < found.counts[0] < 300


@pytest.mark.slow
def test_five_thousand_of_six_thousand_candidates(kernels: Kernels) -> None:
    asked = mogface_outputs(6000, (640, 640))
    found = detect(kernels, asked)
    check(kernels, asked, found)
    check_close(found, asked)
    assert found.counts.tolist() == [750]


def batch_of_three() -> Problem:
    rng = np.random.default_rng(0)
    spec = small_spec("ssd", landmarks=5)
    scores = rng.random((3, COUNT), np.float32)
    deltas = rng.normal(0, 1, (3, COUNT, 4)).astype(np.float32)
    points = rng.normal(0, 1, (3, COUNT, 10)).astype(np.float32)
    deltas = sprinkled(rng, deltas, 0.02)
    return problem(
        spec, scores, deltas, points, size=SIZE, score_threshold=0.2, top_k=COUNT, max_detections=40
    )


def test_the_order_of_blocks_and_threads_does_not_matter(kernels: Kernels) -> None:
    asked = batch_of_three()
    results = []
    for seed in range(6):
        reseed(kernels.path, seed)
        results.append(arrays(detect(kernels, asked)))
    for result in results[1:]:
        assert all(one.tobytes() == other.tobytes() for one, other in zip(results[0], result))


def test_an_image_gives_the_same_faces_wherever_it_stands_in_a_batch(kernels: Kernels) -> None:
    asked = batch_of_three()
    order = [0, 1, 0, 2, 2, 0]
    assert asked.landmarks is not None
    mixed = dataclasses.replace(
        asked,
        scores=asked.scores[order],
        deltas=asked.deltas[order],
        landmarks=asked.landmarks[order],
    )
    alone, together = detect(kernels, asked), detect(kernels, mixed)
    for one, other in zip(arrays(alone), arrays(together)):
        assert one[order].tobytes() == other.tobytes()


def test_another_image_changes_nothing(kernels: Kernels) -> None:
    asked = batch_of_three()
    before = detect(kernels, asked)
    asked.scores[0], asked.deltas[0] = np.nan, np.nan
    asked.scores[2] = 0.99
    after = detect(kernels, asked)
    for one, other in zip(arrays(before), arrays(after)):
        assert one[1].tobytes() == other[1].tobytes()
    assert after.counts[0] == 0


def test_anchors_below_the_threshold_change_nothing(kernels: Kernels) -> None:
    asked = batch_of_three()
    before = detect(kernels, asked)
    below = asked.scores <= np.float32(0.2)
    assert below.any()
    asked.scores[below], asked.deltas[below] = -3.0, np.nan
    after = detect(kernels, asked)
    assert all(one.tobytes() == other.tobytes() for one, other in zip(arrays(before), arrays(after)))


def test_no_candidate_gives_no_face(kernels: Kernels) -> None:
    spec = small_spec("distance", landmarks=5)
    found = detect(kernels, problem(spec, np.zeros((2, COUNT), np.float32), size=SIZE))
    assert found.counts.tolist() == found.dropped.tolist() == [0, 0]
    assert found.landmarks is not None
    assert not any(array.any() for array in arrays(found))


def test_halves_give_the_faces_of_their_numbers(kernels: Kernels) -> None:
    asked = batch_of_three().halved()
    check(kernels, asked, detect(kernels, asked))
    in_full = dataclasses.replace(
        asked, scores=asked.scores.astype(np.float32), deltas=asked.deltas.astype(np.float32)
    )
    assert asked.landmarks is not None
    in_full = dataclasses.replace(in_full, landmarks=asked.landmarks.astype(np.float32))
    halves, floats = detect(kernels, asked), detect(kernels, in_full)
    assert all(one.tobytes() == other.tobytes() for one, other in zip(arrays(halves), arrays(floats)))


def test_dropped_may_be_left_out(kernels: Kernels) -> None:
    asked = batch_of_three()
    expected = detect(kernels, asked)
    found = device.faces(asked.batch, asked.thresholds.most_faces, asked.spec.landmarks)
    detect(kernels, asked, out=Faces(found.counts, found.boxes, found.scores, found.landmarks))
    assert device.is_unwritten(found.dropped)
    found.dropped[:] = expected.dropped
    assert all(one.tobytes() == other.tobytes() for one, other in zip(arrays(found), arrays(expected)))


PLACEMENTS = [
    ((20, 30), place_letterbox(20, 30, SIZE)),
    ((64, 10), place_stretch(64, 10, SIZE)),
    ((27, 41), Placement((1.0, 1.0), (27, 41), SIZE)),
]


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("cut", [False, True])
def test_faces_come_in_pixels_of_their_frames(kernels: Kernels, clip: bool, cut: bool) -> None:
    asked = batch_of_three().asked(clip=cut)
    frames = [Frame((np.zeros((*size, 3), np.uint8),)) for size, _ in PLACEMENTS]
    table = kernels.frame_table(frames, [placement for _, placement in PLACEMENTS], SIZE)
    found = detect(kernels, asked, frames=table, clip=clip)
    plain = select(kernels, decode(kernels, asked, frames=table), asked.thresholds)
    for image, ((height, width), placement) in enumerate(PLACEMENTS):
        scale = np.array(placement.scale, np.float32)
        wanted = plain.boxes[image] / np.tile(scale, 2)
        if clip:
            wanted = np.clip(wanted, np.float32(0), np.array([width, height] * 2, np.float32))
        assert same_bits(found.boxes[image] + np.float32(0), wanted + np.float32(0))  # 0 has two signs
        assert plain.landmarks is not None
        assert found.landmarks is not None
        assert same_bits(found.landmarks[image], plain.landmarks[image] / scale)
        if cut:
            rows, columns = placement.content
            assert (plain.boxes[image] >= 0).all()
            assert (plain.boxes[image] <= [columns, rows] * 2).all()
    assert found.counts.tolist() == plain.counts.tolist()


DIFFERENT = {dataclasses.replace(spec, name="any"): name for name, spec in FAMILY.items()}


@pytest.mark.parametrize("name", DIFFERENT.values())
def test_the_whole_family_is_that_of_the_specification(kernels: Kernels, name: str) -> None:
    spec, size = FAMILY[name], (50, 71)
    rng = np.random.default_rng(5)
    count = spec.anchor_count(*size)
    scores = rng.random((1, count), np.float32)
    deltas = rng.normal(0, 0.2, (1, count, 4)).astype(np.float32)
    points = rng.normal(0, 1, (1, count, 2 * spec.landmarks)).astype(np.float32)
    limits = dataclasses.replace(spec.thresholds, top_k=150)
    asked = problem(spec, scores, deltas, points if spec.landmarks else None, size=size).asked(**vars(limits))
    found = detect(kernels, asked)
    check(kernels, asked, found)
    check_close(found, asked)
    assert found.counts[0] > 3


def test_without_a_limit_the_best_candidates_are_taken(kernels: Kernels) -> None:
    asked = batch_of_three()
    assert asked.landmarks is not None
    asked = dataclasses.replace(
        asked, scores=asked.scores[:1], deltas=asked.deltas[:1], landmarks=asked.landmarks[:1]
    )
    limited = detect(kernels, asked.asked(top_k=MAX_TOP_K, max_detections=UNLIMITED))
    endless = asked.asked(top_k=UNLIMITED, max_detections=UNLIMITED)
    out = device.faces(1, MAX_TOP_K, 5)
    kernels.detect(
        endless.scores,
        endless.deltas,
        endless.landmarks,
        out,
        spec=asked.spec,
        size=SIZE,
        thresholds=endless.thresholds,
        workspace=device.memory(kernels.detect_workspace(asked.spec, endless.thresholds, 1, SIZE)),
    )
    assert all(one.tobytes() == other.tobytes() for one, other in zip(arrays(limited), arrays(out)))
