"""Faces of two passes merged by the kernels, against the specification, to the last bit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import device
from tests.support.device import HostFaces, copied, reseed, same_bits
from tests.support.strategies import examples
from tests.support.two_passes import LIMITS, made_up, on_device
from trt_mogface.errors import ArgumentError
from trt_mogface.frame import Frame
from trt_mogface.kernels import Faces, Kernels
from trt_mogface.reference.merge import Limits, merge
from trt_mogface.reference.resize import Placement
from trt_mogface.reference.select import Selection
from trt_mogface.spec import Thresholds

SIZE = (64, 64)
LARGEST_FACE = 31.5


def table(kernels: Kernels, placements: list[Placement]) -> device.Bytes:
    frame = Frame((np.zeros((8, 8, 3), np.uint8),))
    return copied(kernels.frame_table([frame] * len(placements), placements, SIZE))


def merged(
    kernels: Kernels,
    first: list[Selection],
    second: list[Selection],
    thresholds: Thresholds,
    placements: list[Placement],
    limits: Limits = LIMITS,
) -> HostFaces:
    faces, further = on_device(first, thresholds.most_faces), on_device(second, thresholds.most_faces)
    points = 0 if faces.landmarks is None else faces.landmarks.shape[2]
    workspace = device.memory(kernels.merge_workspace(thresholds, len(first), points))
    before = [array.tobytes() for array in device.arrays(further)]
    kernels.merge(
        further,
        faces,
        thresholds=thresholds,
        limits=limits,
        largest_face=LARGEST_FACE,
        workspace=workspace,
        frames=table(kernels, placements),
    )
    assert [array.tobytes() for array in device.arrays(further)] == before
    return faces


def assert_row(found: HostFaces, row: int, expected: Selection) -> None:
    count = len(expected.scores)
    assert (found.counts[row], found.dropped[row]) == (count, expected.dropped)
    assert same_bits(found.boxes[row, :count], expected.boxes)
    assert same_bits(found.scores[row, :count], expected.scores)
    assert (found.boxes[row, count:] == 0).all()
    assert (found.scores[row, count:] == 0).all()
    if found.landmarks is not None and expected.landmarks is not None:
        assert same_bits(found.landmarks[row, :count], expected.landmarks)
        assert (found.landmarks[row, count:] == 0).all()


WHOLE, FLAT = Placement((0.75, 0.5), (40, 64), SIZE), Placement((1.0, 1.0), (31, 64), SIZE)
"""Positions of an image that takes part in further passes, and of one that does not."""


@examples(150)
@given(
    counts=st.lists(st.tuples(st.integers(0, 70), st.integers(0, 70)), min_size=1, max_size=3),
    most=st.sampled_from([70, 71, 100]),
    kept=st.sampled_from([1, 5, 64, 1000]),
    top_k=st.sampled_from([80, 100, 130, 300]),
    iou=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    inclusive=st.booleans(),
    points=st.sampled_from([0, 5]),
    large=st.sampled_from([0.0, 8.0, 12.0, 30.0]),
    seed=st.integers(0, 2**31),
)
def test_faces_are_those_of_the_specification(
    kernels: Kernels,
    counts: list[tuple[int, int]],
    most: int,
    kept: int,
    top_k: int,
    iou: float,
    inclusive: bool,
    points: int,
    large: float,
    seed: int,
) -> None:
    reseed(kernels.path, seed)
    rng = np.random.default_rng(seed)
    thresholds = Thresholds(0.5, iou, top_k, min(most, kept), inclusive)
    limits = Limits(large**2, LIMITS.visible)
    room = thresholds.most_faces
    first, second = (
        [made_up(rng, min(pair[number], room), points) for pair in counts] for number in range(2)
    )
    placements = [WHOLE if rng.random() < 0.7 else FLAT for _ in counts]
    found = merged(kernels, first, second, thresholds, placements, limits)
    for row, (one, other, placement) in enumerate(zip(first, second, placements)):
        expected = merge(one, other, thresholds, limits, placement.scale) if placement is WHOLE else one
        assert_row(found, row, expected)


LIMITED = Thresholds(0.5, 0.4, 5000, 2000, inclusive_areas=False)


@pytest.mark.parametrize(
    "counts",
    [
        [(700, 600), (0, 300), (30, 1)],
        pytest.param([(2000, 1500), (0, 2000), (300, 1)], marks=pytest.mark.slow),
    ],
)
def test_many_faces_of_many_images(kernels: Kernels, counts: list[tuple[int, int]]) -> None:
    rng = np.random.default_rng(0)
    first = [made_up(rng, count, 5) for count, _ in counts]
    second = [made_up(rng, count, 5) for _, count in counts]
    found = merged(kernels, first, second, LIMITED, [WHOLE] * 3)
    for row, (one, other) in enumerate(zip(first, second)):
        assert_row(found, row, merge(one, other, LIMITED, LIMITS, WHOLE.scale))


def test_parts_of_a_face_go_and_the_image_of_another_shape_stays(kernels: Kernels) -> None:
    part = Selection(np.array([[10, 10, 15, 15]], np.float32), np.array([0.9], np.float32), None, 1)
    whole = Selection(np.array([[0, 0, 30, 30]], np.float32), np.array([0.8], np.float32), None, 2)
    found = merged(kernels, [part] * 2, [whole] * 2, LIMITED, [WHOLE, FLAT])
    assert found.counts.tolist() == [1, 1]
    assert found.dropped.tolist() == [3, 1]
    assert found.boxes[:, 0].tolist() == [[0, 0, 30, 30], [10, 10, 15, 15]]


def test_impossible_arguments_name_themselves(kernels: Kernels) -> None:
    face = made_up(np.random.default_rng(0), 2, 0)
    for limits in (Limits(float("nan"), 1.0), Limits(1.0, -1.0)):
        with pytest.raises(ArgumentError, match="merging"):
            merged(kernels, [face], [face], LIMITED, [WHOLE], limits)
    with pytest.raises(ArgumentError, match=r"further\.boxes"):
        merged_with(kernels, dataclasses.replace(on_device([face], 2000), boxes=device.floats(1, 3, 4)), face)
    with pytest.raises(ArgumentError, match=r"further\.dropped"):
        merged_with(kernels, Faces(**{**vars(on_device([face], 2000)), "dropped": None}), face)
    with pytest.raises(ArgumentError, match="workspaceBytes"):
        merged_with(kernels, on_device([face], 2000), face, nbytes=256)


def merged_with(kernels: Kernels, further: Faces, face: Selection, nbytes: int | None = None) -> None:
    needed = kernels.merge_workspace(LIMITED, 1, 0) if nbytes is None else nbytes
    kernels.merge(
        further,
        on_device([face], 2000),
        thresholds=LIMITED,
        limits=LIMITS,
        largest_face=LARGEST_FACE,
        workspace=device.memory(needed),
        frames=table(kernels, [WHOLE]),
    )
