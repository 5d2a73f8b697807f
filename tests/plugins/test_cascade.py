"""Kernels between the networks of a cascade, against `reference.stages` to the last bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support import device
from tests.support.device import LAUNCH_KINDS, copied, filled, launching, reseed, same_bits
from tests.support.strategies import examples
from trt_mogface.errors import ArgumentError
from trt_mogface.frame import Frame
from trt_mogface.kernels.cascade import CascadeKernels, CascadeOutputs, Crops, Tallies, Windows
from trt_mogface.kernels.library import Library
from trt_mogface.reference import cascade, stages
from trt_mogface.reference.resize import Placement
from trt_mogface.reference.stages import Output, Selection
from trt_mogface.spec import Thresholds

POINTS = 10
Floats = NDArray[np.float32]
SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="session")
def kernels(library: Any) -> CascadeKernels:
    return CascadeKernels(library)


def workspace(kernels: CascadeKernels, batch: int, count: int, limit: int) -> device.Bytes:
    return device.memory(kernels.cascade_workspace(batch, count, limit))


def windows(batch: int, places: int) -> Windows:
    return Windows(
        filled((batch, places, 4), np.float64, np.nan),
        device.floats(batch, places),
        device.floats(batch, places, 4),
    )


def crops_of(batch: int, places: int) -> Crops:
    inside = filled((batch, places, 4), np.float64, np.nan)
    return Crops(device.ints(batch), device.ints(batch, places, 4), device.ints(batch, places), inside)


def tallies(batch: int, value: int = device.UNWRITTEN) -> Tallies:
    return Tallies(filled((batch,), np.int32, value), filled((batch,), np.int32, value))


def some_scores(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> Floats:
    """Scores of which many are equal, or saturated, or not numbers."""
    if kind == "equal":
        return rng.choice(np.array([0.1, 0.75, 0.9, 1.0], np.float32), shape)
    scores = rng.random(shape, np.float32)
    if kind == "broken":
        scores[rng.random(shape) < 0.1] = np.nan
        scores[rng.random(shape) < 0.05] = np.inf
    return scores


def some_offsets(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> Floats:
    offsets = rng.normal(0, 0.3, shape).astype(np.float32)
    if kind == "broken":
        flat = offsets.reshape(-1)
        flat[rng.random(flat.size) < 0.02] = rng.choice([np.nan, np.inf, -np.inf, 3e38, -1e30])
    return offsets


KINDS = st.sampled_from(["plain", "equal", "broken"])


@examples(15)
@given(
    seed=SEEDS,
    kind=KINDS,
    batch=st.integers(1, 2),
    grids=st.lists(st.tuples(st.integers(1, 16), st.integers(1, 16)), min_size=1, max_size=2),
    limit=st.sampled_from([1, 7, 64, 300]),
    launch=st.sampled_from(LAUNCH_KINDS),
)
def test_windows(
    kernels: CascadeKernels,
    seed: int,
    kind: str,
    batch: int,
    grids: list[tuple[int, int]],
    limit: int,
    launch: str,
) -> None:
    check_windows(kernels, seed, kind, batch, grids, limit, launch)


def check_windows(
    kernels: CascadeKernels,
    seed: int,
    kind: str,
    batch: int,
    grids: list[tuple[int, int]],
    limit: int,
    launch: str = LAUNCH_KINDS[0],
) -> None:
    rng = np.random.default_rng(seed)
    reseed(kernels.path, seed)
    places = [min(limit, rows * columns) for rows, columns in grids]
    found, counted = windows(batch, sum(places)), tallies(batch)
    limits = stages.Limits(cells=limit)
    selections = [Selection((100, 100), cascade.stable_ranking, limits) for _ in range(batch)]
    given_levels = []
    for level, (rows, columns) in enumerate(grids):
        scale = 0.6 * cascade.FACTOR**level
        scores = some_scores(rng, (batch, rows, columns), kind)
        offsets = some_offsets(rng, (batch, 4, rows, columns), kind)
        given_levels.append((scores, offsets, scale))
        with launching(launch):
            kernels.cascade_windows(
                CascadeOutputs(copied(scores), copied(offsets)),
                found,
                counted,
                first=sum(places[:level]),
                scale=scale,
                score=stages.PROPOSAL_SCORE,
                overlap=stages.LEVEL_OVERLAP,
                limit=limit,
                workspace=workspace(kernels, batch, rows * columns, limit),
            )
    for image, selection in enumerate(selections):
        for level, (scores, offsets, scale) in enumerate(given_levels):
            expected = selection.windows(scores[image], offsets[image], scale)
            first, count = sum(places[:level]), len(expected.scores)
            here = slice(first, first + count)
            boxes: Any = found.boxes
            np.testing.assert_array_equal(boxes[image, here], expected.boxes)
            assert same_bits(found.scores[image, here], expected.scores)  # type: ignore[index]
            assert same_bits(found.offsets[image, here], expected.offsets)  # type: ignore[index]
            rest = found.scores[image, first + count : first + places[level]]  # type: ignore[index]
            assert (rest == 0).all()
        assert (counted.dropped[image], counted.truncated[image]) == (  # type: ignore[index]
            selection.dropped,
            selection.truncated,
        )


@pytest.mark.slow
def test_ten_thousand_windows(kernels: CascadeKernels) -> None:
    check_windows(kernels, 1, "equal", 1, [(120, 110)], 2048)


@dataclass
class Problem:
    """Candidates of a batch: boxes, and outputs of a network for them."""

    size: tuple[int, int]
    boxes: NDArray[np.float64]
    outputs: CascadeOutputs
    counts: NDArray[np.int32]

    def output(self, image: int) -> Output:
        count = int(self.counts[image])
        outputs: Any = self.outputs
        points = np.empty((count, 0), np.float32)
        if outputs.landmarks is not None:
            points = outputs.landmarks[image, :count]
        return Output(outputs.scores[image, :count], outputs.offsets[image, :count], points)


def problem(seed: int, kind: str, batch: int, count: int, *, landmarks: bool = False) -> Problem:
    """Boxes around an image, some beyond its edges, clustered so that many overlap."""
    rng = np.random.default_rng(seed)
    size = (int(rng.integers(21, 400)), int(rng.integers(21, 400)))
    center = rng.uniform(-20, max(size) + 20, (batch, max(1, count // 4), 2))
    corner = center[:, rng.integers(0, center.shape[1], count)] + rng.normal(0, 4, (batch, count, 2))
    side = rng.integers(1, 60, (batch, count, 1))
    boxes = np.round(np.concatenate([corner, corner + side], axis=2))
    counts = rng.integers(0, count + 1, batch).astype(np.int32)
    counts[0] = count
    outputs = CascadeOutputs(
        copied(some_scores(rng, (batch, count), kind)),
        copied(some_offsets(rng, (batch, count, 4), kind)),
        copied(some_offsets(rng, (batch, count, POINTS), kind)) if landmarks else None,
        copied(counts),
    )
    return Problem(size, boxes, outputs, counts)


@examples(15)
@given(
    seed=SEEDS,
    kind=KINDS,
    batch=st.integers(1, 2),
    count=st.sampled_from([1, 2, 63, 64, 65, 200]),
    places=st.sampled_from([1, 20, 1100]),
    launch=st.sampled_from(LAUNCH_KINDS),
)
def test_boxes(
    kernels: CascadeKernels, seed: int, kind: str, batch: int, count: int, places: int, launch: str
) -> None:
    given_ = problem(seed, kind, batch, count)
    reseed(kernels.path, seed)
    expected: list[tuple[NDArray[np.float64], Selection]] = []
    for image in range(batch):
        selection = Selection(given_.size, cascade.stable_ranking, stages.Limits(output=places))
        boxes = given_.boxes[image, : given_.counts[image]]
        expected.append((selection.refined(boxes, given_.output(image)), selection))
    inside = np.stack([cascade.cut(boxes, *given_.size) for boxes in given_.boxes])
    found, counted = crops_of(batch, places), tallies(batch, 3)
    with launching(launch):
        kernels.cascade_boxes(
            given_.outputs,
            copied(inside),
            found,
            counted,
            size=given_.size,
            score=stages.REFINED_SCORE,
            overlap=stages.REFINED_OVERLAP,
            limit=300,
            workspace=workspace(kernels, batch, count, 300),
        )
    got: Any = found
    for image, (boxes, selection) in enumerate(expected):
        kept = len(boxes)
        assert got.counts[image] == kept
        np.testing.assert_array_equal(got.boxes[image, :kept] - np.array([0, 0, 1, 1]), boxes)
        np.testing.assert_array_equal(got.inside[image, :kept], cascade.cut(boxes, *given_.size))
        assert (got.indices[image, :kept] == image).all()
        assert (got.indices[image, kept:] == -1).all()
        assert counted.dropped[image] == 3 + selection.dropped  # type: ignore[index]
        assert counted.truncated[image] == 3 + selection.truncated  # type: ignore[index]


@examples(15)
@given(
    seed=SEEDS,
    kind=KINDS,
    batch=st.integers(1, 2),
    count=st.sampled_from([1, 2, 64, 65, 200]),
    top_k=st.sampled_from([1, 50, 200]),
    max_detections=st.sampled_from([1, 10, 200]),
    score=st.sampled_from([0.0, 0.9]),
    launch=st.sampled_from(LAUNCH_KINDS),
)
def test_faces(
    kernels: CascadeKernels,
    seed: int,
    kind: str,
    batch: int,
    count: int,
    top_k: int,
    max_detections: int,
    score: float,
    launch: str,
) -> None:
    given_ = problem(seed, kind, batch, count, landmarks=True)
    reseed(kernels.path, seed)
    limits = Thresholds(score, 0.7, min(top_k, count), max_detections)
    inside = np.stack([cascade.cut(boxes, *given_.size) for boxes in given_.boxes])
    found = device.faces(batch, limits.most_faces, POINTS // 2)
    found.dropped[:] = 5
    with launching(launch):
        kernels.cascade_faces(
            given_.outputs,
            copied(inside),
            found,
            thresholds=limits,
            workspace=workspace(kernels, batch, count, limits.top_k),
        )
    for image in range(batch):
        selection = Selection(given_.size, cascade.stable_ranking)
        boxes = given_.boxes[image, : given_.counts[image]]
        expected, scores, points = selection.faces(boxes, given_.output(image), limits)
        kept = len(scores)
        assert found.counts[image] == kept
        assert same_bits(found.boxes[image, :kept], expected.astype(np.float32))
        assert same_bits(found.scores[image, :kept], scores)
        assert found.landmarks is not None
        assert same_bits(found.landmarks[image, :kept], points.astype(np.float32))
        assert (found.boxes[image, kept:] == 0).all()
        assert (found.scores[image, kept:] == 0).all()
        assert found.dropped[image] == 5 + selection.dropped


def test_faces_in_pixels_of_their_frames(kernels: CascadeKernels) -> None:
    given_ = problem(3, "plain", 1, 60, landmarks=True)
    limits = Thresholds(0.5, 0.7, 60, 60)
    frame = np.zeros((8, 16, 3), np.uint8)
    table = copied(kernels.frame_table([Frame((frame,))], [Placement((0.5, 0.25), (2, 8), (2, 8))], (2, 8)))
    results = []
    for frames in (None, table):
        found = device.faces(1, 60, POINTS // 2)
        found.dropped[:] = 0
        room = workspace(kernels, 1, 60, 60)
        boxes = copied(given_.boxes)
        kernels.cascade_faces(given_.outputs, boxes, found, thresholds=limits, workspace=room, frames=frames)
        results.append(found)
    one, other = results
    assert one.counts[0] > 5
    np.testing.assert_allclose(one.boxes * [2, 4, 2, 4], other.boxes, rtol=1e-6)


def test_parts_come_together(kernels: CascadeKernels) -> None:
    rng = np.random.default_rng(0)
    values = [rng.random((6, *rest), np.float32) for rest in ((), (4,), (POINTS,))]
    whole = CascadeOutputs(*(device.floats(2, 3, *each.shape[1:]) for each in values))
    for first, count in ((0, 4), (4, 2)):
        part = CascadeOutputs(*(copied(each[None, first : first + count]) for each in values))
        kernels.cascade_gather(part, whole, first=first)
    for found, expected in zip((whole.scores, whole.offsets, whole.landmarks), values):
        np.testing.assert_array_equal(found, expected.reshape(2, 3, *expected.shape[1:]))


def test_arguments_that_do_not_fit_are_refused(kernels: CascadeKernels) -> None:
    assert Library(kernels.path).runs_on_host
    given_ = problem(1, "plain", 2, 20, landmarks=True)
    limits = Thresholds(0.5, 0.7, 20, 20)

    def faces(**changes: Any) -> str:
        arguments: dict[str, Any] = {
            "outputs": given_.outputs,
            "boxes": copied(given_.boxes),
            "out": device.faces(2, limits.most_faces, POINTS // 2),
            "thresholds": limits,
            "workspace": workspace(kernels, 2, 20, 20),
            **changes,
        }
        with pytest.raises(ArgumentError) as error:
            kernels.cascade_faces(**arguments)
        message = str(error.value)
        assert "\n" not in message
        return message

    assert faces(boxes=copied(given_.boxes.astype(np.float32))).startswith("boxes: expected float64")
    assert faces(boxes=copied(given_.boxes[:1])).startswith("boxes: expected shape [2, 20, 4]")
    assert faces(workspace=device.memory(10)).startswith("workspaceBytes 10: must be at least")
    many = Thresholds(0.5, 0.7, 9000, 20)
    assert faces(thresholds=many).startswith("thresholds.limit 9000: must lie within 1..8192")
    without = CascadeOutputs(given_.outputs.scores, given_.outputs.offsets)
    assert faces(outputs=without).startswith("outputs.landmarks: must not be null")
    lonely = CascadeOutputs(given_.outputs.scores, None)
    assert faces(outputs=lonely).startswith("outputs.offsets: must be given")

    def level(**changes: Any) -> str:
        scores, offsets = device.floats(1, 3, 4), device.floats(1, 4, 3, 4)
        arguments: dict[str, Any] = {
            "first": 0,
            "scale": 0.5,
            "score": 0.5,
            "overlap": 0.5,
            "limit": 12,
            "workspace": workspace(kernels, 1, 12, 12),
            **changes,
        }
        with pytest.raises(ArgumentError) as error:
            kernels.cascade_windows(CascadeOutputs(scores, offsets), windows(1, 15), tallies(1), **arguments)
        return str(error.value)

    assert level(first=4).startswith("first 4: must leave 12 of 15 places")
    assert level(first=-1).startswith("first -1")
    assert level(scale=0.0).startswith("scale 0: must be positive")
    assert level(overlap=float("nan")).startswith("thresholds: score 0.5 and overlap nan")
    part = CascadeOutputs(device.floats(1, 4), device.floats(1, 4, 4))
    whole = CascadeOutputs(device.floats(2, 6), device.floats(2, 6, 4))
    with pytest.raises(ArgumentError, match="first 9: must leave 4 of 12 rows"):
        kernels.cascade_gather(part, whole, first=9)
