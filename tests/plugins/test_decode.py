"""Candidates against the specification: which, in which order, and where they lie."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.device import Floats, HostCandidates, is_unwritten, reseed, same_bits
from tests.support.family_specs import ULFD
from tests.support.problems import CODINGS, ODD_SCORES, THRESHOLDS, Problem, decode, problem, solved
from tests.support.specs import MOGFACE, small_spec
from tests.support.strategies import examples, problems
from trt_mogface.frame import Frame
from trt_mogface.kernels import Kernels
from trt_mogface.reference.anchors import anchors
from trt_mogface.reference.resize import Placement
from trt_mogface.spec import DetectorSpec, Level

EPSILON = float(np.finfo(np.float32).eps)

SIZE = (32, 48)
SMALL = small_spec("distance")
COUNT = SMALL.anchor_count(*SIZE)


def rounding(boxes: Floats) -> NDArray[np.float64]:
    """How far apart a box of numpy's and one of the kernels' may be.

    Their exps may each be off by two units in the last place; what follows are sums of a size, a coordinate
    and, with ``inclusive`` boxes, which are x1 - x0 + 1 wide, 1, each of which may round the other way.
    """
    sizes = np.tile(np.abs(boxes[:, 2:].astype(float) - boxes[:, :2]) + 1, 2)
    bound: NDArray[np.float64] = 8 * EPSILON * (np.abs(boxes) + sizes + 1)
    return bound


def check(found: HostCandidates, asked: Problem, content: tuple[int, int] | None = None) -> None:
    """Candidates, their order, their number and what is dropped are exact, and so is all but a size's exp."""
    for image in range(asked.batch):
        expected = solved(asked, image, content)
        scores, deltas, _ = asked.image(image)
        count = len(expected.index)
        finite = expected.finite
        assert found.counts[image] == count
        assert found.dropped[image] == expected.dropped
        assert same_bits(found.scores[image, :count], scores[expected.index])
        assert found.anchors[image, :count].tolist() == np.where(finite, expected.index, -1).tolist()
        boxes, wanted = found.boxes[image, :count][finite], expected.boxes[finite]
        if asked.spec.coding.kind == "distance" or (deltas[..., 2:] == 0).all():
            assert same_bits(boxes, wanted)
        else:
            # A cut box has the rounding of the box that was cut, which may be far larger.
            whole = solved(asked.asked(clip=False), image).boxes[finite]
            assert (np.abs(boxes - wanted) <= rounding(whole)).all()
        if expected.landmarks is not None:
            assert found.landmarks is not None
            assert same_bits(found.landmarks[image, :count][finite], expected.landmarks[finite])
        for array in (found.anchors, found.boxes, found.scores, found.landmarks):
            assert array is None or is_unwritten(array[image, count:])


@examples(100)
@given(asked=problems(), seed=st.integers(0, 2**31))
def test_candidates_are_those_of_the_specification(kernels: Kernels, asked: Problem, seed: int) -> None:
    reseed(kernels.path, seed)
    check(decode(kernels, asked), asked)


@examples(25)
@given(asked=problems(most_pixels=40))
def test_everything_but_the_exp_of_a_size_is_exact(kernels: Kernels, asked: Problem) -> None:
    asked.deltas[..., 2:] = 0  # the exp of nothing is 1 to everybody
    check(decode(kernels, asked), asked)


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_a_score_at_the_threshold_is_no_candidate_and_the_next_one_is(
    kernels: Kernels, threshold: float
) -> None:
    edge = np.float32(threshold)
    scores = np.full(COUNT, edge, np.float32)
    scores[5] = np.nextafter(edge, np.float32(2))
    scores[9] = np.nextafter(edge, np.float32(-2))
    found = decode(kernels, problem(SMALL, scores, size=SIZE, score_threshold=threshold, top_k=20))
    assert found.counts.tolist() == [1]
    assert found.anchors[0, 0] == 5


@pytest.mark.parametrize("value", ODD_SCORES)
def test_odd_scores_are_candidates_if_greater_and_dropped_if_no_numbers(
    kernels: Kernels, value: float
) -> None:
    scores = np.zeros(COUNT, np.float32)
    scores[[0, 3]] = 0.75, value
    asked = problem(SMALL, scores, size=SIZE, top_k=8)
    found = decode(kernels, asked)
    check(found, asked)
    assert found.counts[0] == (2 if value > 0.5 else 1)
    assert found.dropped[0] == (0 if value < 9 else 1)


@pytest.mark.parametrize("top_k", [1, 2, COUNT - 1, COUNT, COUNT + 1, 500])
@pytest.mark.parametrize("above", [0, 1, 2, COUNT - 1, COUNT])
def test_any_number_of_candidates_meets_any_limit(kernels: Kernels, above: int, top_k: int) -> None:
    scores = np.concatenate([np.linspace(0.9, 0.6, above), np.linspace(0.4, 0.1, COUNT - above)])
    asked = problem(
        SMALL, np.random.default_rng(0).permutation(scores.astype(np.float32)), size=SIZE, top_k=top_k
    )
    found = decode(kernels, asked)
    check(found, asked)
    assert found.counts.tolist() == [min(above, top_k)]


@pytest.mark.parametrize("top_k", [1, 7, 1023, 1024, 1025, 3000])
def test_of_equal_scores_the_first_anchors_are_taken_in_their_order(kernels: Kernels, top_k: int) -> None:
    size = (160, 160)
    count = MOGFACE.anchor_count(*size)
    assert count > 2 * 1024  # more than two segments
    found = decode(kernels, problem(MOGFACE, np.full(count, 0.9, np.float32), size=size, top_k=top_k))
    assert found.anchors[0, : found.counts[0]].tolist() == list(range(min(top_k, count)))


def distinct(count: int) -> Floats:
    return np.linspace(0.001, 1, count, dtype=np.float32)


def neighbors(count: int) -> Floats:
    """Scores that differ in their last bits only, so that the cut falls in the last digit of the score."""
    bits = np.float32(0.9).view(np.uint32) + np.arange(count, dtype=np.uint32)
    made: Floats = bits.view(np.float32)
    return made


def two_values(count: int) -> Floats:
    return np.where(np.arange(count) % 3 == 0, 0.9, 0.8).astype(np.float32)


def tiny(count: int) -> Floats:
    return np.arange(count, dtype=np.uint32).view(np.float32)


@pytest.mark.parametrize("made", [distinct, neighbors, two_values, tiny])
@pytest.mark.parametrize("top_k", [1, 100, 1500, 2137])
def test_the_cut_is_exact_wherever_it_falls(
    kernels: Kernels, made: Callable[[int], Floats], top_k: int
) -> None:
    size = (160, 160)
    scores = np.random.default_rng(top_k).permutation(made(MOGFACE.anchor_count(*size)))
    asked = problem(MOGFACE, scores, size=size, score_threshold=0.0, top_k=top_k)
    check(decode(kernels, asked), asked)


@pytest.mark.parametrize("count", [255, 257, 1023, 1024, 1025, 2049])
def test_keys_are_ranked_in_chunks_of_any_number(kernels: Kernels, count: int) -> None:
    size = (160, 160)
    scores = np.zeros(MOGFACE.anchor_count(*size), np.float32)
    rng = np.random.default_rng(count)
    scores[rng.choice(len(scores), count, replace=False)] = rng.uniform(0.9, 1, count)
    asked = problem(MOGFACE, scores, size=size, top_k=count + 7)
    found = decode(kernels, asked)
    check(found, asked)
    assert found.counts.tolist() == [count]


@pytest.mark.parametrize("top_k", [100, 1400])
def test_an_image_may_have_more_segments_than_are_read_at_a_time(kernels: Kernels, top_k: int) -> None:
    spec = dataclasses.replace(SMALL, levels=(Level(1, (8.0,)),))
    size = (260, 260)
    rng = np.random.default_rng(top_k)
    scores = np.zeros(spec.anchor_count(*size), np.float32)
    scores[rng.choice(len(scores), 500, replace=False)] = rng.uniform(0.6, 0.9, 500)
    scores[-900:] = rng.uniform(0.6, 0.9, 900)  # a crowd at the end
    assert len(scores) > 64 * 1024
    asked = problem(spec, scores, size=size, top_k=top_k)
    check(decode(kernels, asked), asked)


@pytest.mark.parametrize("size", [(1, 1), (1, 33), (33, 1), (97, 131), (128, 5)])
@pytest.mark.parametrize("spec", [MOGFACE, SMALL, ULFD, small_spec("ssd", landmarks=5)])
def test_every_anchor_of_odd_sizes_comes_out_as_itself(
    kernels: Kernels, spec: DetectorSpec, size: tuple[int, int]
) -> None:
    count = spec.anchor_count(*size)
    scores = np.linspace(1, 0.9, count, dtype=np.float32)
    found = decode(kernels, problem(spec, scores, size=size, top_k=count))
    assert found.anchors[0].tolist() == list(range(count))
    check(found, problem(spec, scores, size=size, top_k=count))
    table = anchors(spec, *size)
    if spec.landmarks:
        assert found.landmarks is not None
        assert same_bits(found.landmarks[0], np.repeat(table[:, None, :2], spec.landmarks, axis=1))
    if spec.coding.kind == "distance":
        assert same_bits(found.boxes[0], np.tile(table[:, :2], 2))


@pytest.mark.slow
def test_an_image_may_have_more_segments_than_a_block_has_threads(kernels: Kernels) -> None:
    spec = dataclasses.replace(SMALL, levels=(Level(1, (8.0,)),))
    size = (1000, 1100)
    scores = np.zeros(spec.anchor_count(*size), np.float32)
    scores[::997] = np.linspace(0.6, 0.9, len(scores[::997]))
    scores[5::100_000] = np.nan
    assert len(scores) > 1024 * 1024
    asked = problem(spec, scores, size=size, top_k=900)
    check(decode(kernels, asked), asked)


def test_images_of_a_batch_do_not_mix(kernels: Kernels) -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((5, COUNT), np.float32) * np.array([[0], [1], [0.55], [2], [1]], np.float32)
    deltas = rng.normal(0, 1, (5, COUNT, 4)).astype(np.float32)
    deltas[3] = np.nan
    asked = problem(SMALL, scores, deltas, size=SIZE, top_k=12)
    found = decode(kernels, asked)
    check(found, asked)
    assert found.counts[0] == 0
    assert 0 < found.counts[2] < found.counts[1] == 12
    assert found.dropped.tolist() == [0, 0, 0, 12, 0]


@pytest.mark.parametrize("kind", CODINGS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", range(4))
def test_a_delta_that_is_no_number_drops_its_candidate(
    kernels: Kernels, kind: str, bad: float, which: int
) -> None:
    deltas = np.zeros((COUNT, 4), np.float32)
    deltas[2, which] = bad
    scores = np.zeros(COUNT, np.float32)
    scores[[2, 4]] = 0.9, 0.8
    asked = problem(small_spec(kind), scores, deltas, size=SIZE, top_k=8)
    found = decode(kernels, asked)
    check(found, asked)
    shrinks = bad == -np.inf and which > 1 and kind != "distance"  # exp of minus infinity is 0
    assert found.anchors[0, :2].tolist() == ([2, 4] if shrinks else [-1, 4])
    assert found.dropped.tolist() == [0 if shrinks else 1]


@pytest.mark.parametrize("kind", ["inclusive", "ssd", "spread"])
def test_a_size_beyond_float32_drops_its_candidate(kernels: Kernels, kind: str) -> None:
    deltas = np.zeros((COUNT, 4), np.float32)
    deltas[2, 3] = 1000
    asked = problem(small_spec(kind), np.full(COUNT, 0.9, np.float32), deltas, size=SIZE, top_k=8)
    found = decode(kernels, asked)
    check(found, asked)
    assert found.anchors[0, :4].tolist() == [0, 1, -1, 3]
    assert found.dropped.tolist() == [1]


@pytest.mark.parametrize("kind", CODINGS)
@pytest.mark.parametrize("which", [0, 1, 8, 9])
def test_a_landmark_that_is_no_number_drops_its_candidate(kernels: Kernels, kind: str, which: int) -> None:
    points = np.zeros((COUNT, 10), np.float32)
    points[3, which] = np.inf
    points[COUNT - 1] = np.nan  # of no candidate
    scores = np.linspace(0.9, 0.1, COUNT, dtype=np.float32)
    asked = problem(small_spec(kind, landmarks=5), scores, None, points, size=SIZE, top_k=8)
    found = decode(kernels, asked)
    check(found, asked)
    assert found.anchors[0].tolist() == [0, 1, 2, -1, 4, 5, 6, 7]
    assert found.dropped.tolist() == [1]


@examples(30)
@given(asked=problems(most_pixels=60), rows=st.integers(1, 60), columns=st.integers(1, 60))
def test_boxes_are_cut_at_the_contents_of_frames(
    kernels: Kernels, asked: Problem, rows: int, columns: int
) -> None:
    asked = asked.asked(clip=True)
    content = min(rows, asked.size[0]), min(columns, asked.size[1])
    image = np.zeros((*content, 3), np.uint8)
    placement = Placement((1.0, 1.0), content, asked.size)
    frames = kernels.frame_table([Frame((image,))] * asked.batch, [placement] * asked.batch, asked.size)
    check(decode(kernels, asked, frames=frames), asked, content)
    check(decode(kernels, asked), asked)
    without = asked.asked(clip=False)
    check(decode(kernels, without, frames=frames), without)


def test_scores_that_are_no_numbers_are_counted_in_every_segment(kernels: Kernels) -> None:
    size = (160, 160)
    scores = np.zeros(MOGFACE.anchor_count(*size), np.float32)
    scores[::100] = np.nan
    found = decode(kernels, problem(MOGFACE, scores, size=size, top_k=4))
    assert found.counts.tolist() == [0]
    assert found.dropped.tolist() == [22]


@pytest.mark.parametrize("kind", CODINGS)
def test_halves_are_taken_as_the_numbers_they_are(kernels: Kernels, kind: str) -> None:
    rng = np.random.default_rng(1)
    spec = small_spec(kind, landmarks=5)
    scores = rng.random((2, COUNT), np.float32)
    deltas = rng.normal(0, 1, (2, COUNT, 4)).astype(np.float32)
    points = rng.normal(0, 1, (2, COUNT, 10)).astype(np.float32)
    scores[0, :3] = 70000.0, np.nan, 6e-8  # infinite, no number, and the smallest half
    asked = problem(spec, scores, deltas, points, size=SIZE, top_k=30, score_threshold=0.0).halved()
    found = decode(kernels, asked)
    check(found, asked)
    assert found.dropped.tolist() == [2, 0]


def test_outputs_may_lie_wherever_their_elements_may(kernels: Kernels) -> None:
    rng = np.random.default_rng(2)
    spec = small_spec("distance", landmarks=5)
    deltas = rng.normal(0, 1, (2, COUNT, 4)).astype(np.float32)
    asked = problem(spec, rng.random((2, COUNT), np.float32), deltas, size=SIZE, top_k=30)
    for offset in (4, 8, 12):
        check(decode(kernels, asked, offset=offset), asked)
    for offset in (2, 4, 6, 14):
        check(decode(kernels, asked.halved(), offset=offset), asked.halved())


@pytest.mark.parametrize("landmarks", [1, 3, 7, 68])
def test_any_number_of_landmarks_is_decoded(kernels: Kernels, landmarks: int) -> None:
    spec = small_spec("ssd", landmarks=landmarks)
    points = np.random.default_rng(0).normal(0, 1, (COUNT, 2 * landmarks)).astype(np.float32)
    asked = problem(spec, np.linspace(0.6, 1, COUNT, dtype=np.float32), None, points, size=SIZE, top_k=9)
    check(decode(kernels, asked), asked)
