"""Drift, groups and the search for the fewest of them, against figures by hand and brute force."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from engine_build.validation.sensitivity import (
    Group,
    Sensitivity,
    drift,
    fewest_kept,
    groups_of,
    nodes_matching,
    rank,
)
from tests.support.specs import one_line
from trt_mogface.errors import ArgumentError
from trt_mogface.reference.select import Selection


def selection(*faces: tuple[float, float, float, float, float]) -> Selection:
    """From x0, y0, x1, y1, score."""
    rows = np.array(faces, np.float32).reshape(-1, 5)
    return Selection(rows[:, :4], rows[:, 4], None, 0)


NOTHING = selection()
FACE = selection((0, 0, 99, 99, 0.75))
"""100 x 100 pixels with the + 1 convention."""


def test_nothing_drifts_from_itself() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 500, (30, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 200, (30, 2))], axis=1).astype(np.float32)
    many = Selection(boxes, rng.uniform(0.02, 1, 30).astype(np.float32), None, 0)
    assert drift([many, FACE, NOTHING], [many, FACE, NOTHING]) == pytest.approx(0, abs=1e-12)


def test_what_finds_nothing_drifts_all_the_way() -> None:
    assert drift([FACE], [NOTHING]) == 1
    assert drift([FACE, FACE], [NOTHING, NOTHING]) == 1
    assert drift([FACE], [selection((500, 500, 600, 600, 0.75))]) == 1


@pytest.mark.parametrize("images", [[], [NOTHING], [NOTHING, NOTHING]])
def test_where_there_was_no_face_nothing_drifts(images: list[Selection]) -> None:
    assert drift(images, [FACE] * len(images)) == 0


def test_a_face_that_moves() -> None:
    """By half its width: 50 of 150 columns are common."""
    moved = selection((50, 0, 149, 99, 0.75))
    assert drift([FACE], [moved]) == pytest.approx(2 / 3)
    assert drift([moved], [FACE]) == pytest.approx(2 / 3)


def test_a_score_that_moves() -> None:
    for score in (0.5, 1.0):
        assert drift([FACE], [selection((0, 0, 99, 99, score))]) == pytest.approx(0.25)


def test_both_move() -> None:
    assert drift([FACE], [selection((50, 0, 149, 99, 0.5))]) == pytest.approx(1 - 0.75 / 3)


def test_faces_weigh_by_their_score() -> None:
    """Of two faces, 0.75 and 0.25, one is lost."""
    two = selection((0, 0, 99, 99, 0.75), (500, 0, 599, 99, 0.25))
    assert drift([two], [FACE]) == pytest.approx(0.25)
    assert drift([two], [selection((500, 0, 599, 99, 0.25))]) == pytest.approx(0.75)
    apart = [FACE, selection((500, 0, 599, 99, 0.25))]
    assert drift(apart, [FACE, NOTHING]) == pytest.approx(0.25)
    assert drift(apart, [NOTHING, apart[1]]) == pytest.approx(0.75)


def test_further_faces_cost_nothing_and_the_best_fit_counts() -> None:
    crowd = selection((20, 0, 119, 99, 0.75), (0, 0, 99, 99, 0.75), (0, 0, 99, 99, 0.1), (900, 0, 950, 9, 1))
    assert drift([FACE], [crowd]) == pytest.approx(0)


@given(st.floats(0.02, 1), st.floats(0.02, 1), st.floats(-200, 200))
def test_drift_lies_between_0_and_1(score: float, other: float, shift: float) -> None:
    value = drift([selection((0, 0, 99, 99, score))], [selection((shift, 0, 99 + shift, 99, other))])
    common = max(100 - abs(float(np.float32(shift))), 0)
    by_hand = 1 - common / (200 - common) * (1 - abs(float(np.float32(score)) - float(np.float32(other))))
    assert value == pytest.approx(by_hand, abs=1e-4)
    assert 0 <= value <= 1


# The fewest groups


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40), st.floats(0, 100))
def test_the_fewest_are_those_that_brute_force_finds(losses: list[float], allowed: float) -> None:
    falling = sorted(losses, reverse=True)
    count = len(falling) - 1
    counts: list[int] = []

    def loss(kept: int) -> float:
        counts.append(kept)
        return falling[kept]

    expected = next((kept for kept, value in enumerate(falling) if value <= allowed), count)
    assert fewest_kept(count, loss, allowed) == expected
    assert len(counts) == len(set(counts))
    assert len(counts) <= 1 + max(count, 1).bit_length()


@given(st.lists(st.floats(0, 100) | st.just(float("nan")), min_size=1, max_size=40), st.floats(0, 100))
def test_losses_in_any_order_end_within_bounds(losses: list[float], allowed: float) -> None:
    """Real losses are not quite monotone."""
    count = len(losses) - 1
    kept = fewest_kept(count, lambda n: losses[n], allowed)
    assert 0 <= kept <= count
    if kept < count:
        assert losses[kept] <= allowed


# Groups


def network(*names: str) -> onnx.ModelProto:
    """Convolutions of 1 x 1 in a row; the n-th has n times the multiply-adds of the first."""
    nodes, weights, before, depth = [], [], "pixels", 1
    for i, name in enumerate(names):
        weights.append(numpy_helper.from_array(np.zeros((i + 1, depth, 1, 1), np.float32), f"w{i}"))
        nodes.append(helper.make_node("Conv", [before, f"w{i}"], [f"t{i}"], name))
        before, depth = f"t{i}", i + 1
    nodes.append(helper.make_node("Relu", [before], ["y"], "/relu/Relu"))
    graph = helper.make_graph(
        nodes,
        "made up",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 1, "H", "W"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)


NAMES = (
    "/backbone/layer1/layer1.0/conv1/Conv",
    "/backbone/layer1/layer1.0/conv2/Conv",
    "/backbone/layer1/layer1.1/conv1/Conv",
    "/backbone/layer2/layer2.0/conv1/Conv",
    "/head/Conv",
    "Conv",
)


def test_groups_are_the_first_parts_of_names() -> None:
    work = dict(zip(NAMES, (10, 20, 30, 20, 15, 5)))
    assert groups_of(network(*NAMES), work) == [
        Group("backbone/layer1/layer1.0", NAMES[:2], 0.3),
        Group("backbone/layer1/layer1.1", NAMES[2:3], 0.3),
        Group("backbone/layer2/layer2.0", NAMES[3:4], 0.2),
        Group("head/Conv", NAMES[4:5], 0.15),
        Group("Conv", NAMES[5:], 0.05),
    ]


def test_groups_are_ranked_by_drift_for_their_work() -> None:
    groups = [
        Group("a", ("a",), 0.5),
        Group("b", ("b",), 0.1),
        Group("c", ("c",), 0.4),
        Group("z", ("z",), 0),
    ]
    drifts = {"a": 0.31, "b": 0.21, "c": 0.11, "z": 0.01}
    ranked = rank(groups, lambda group: drifts[group.name], 0.01)
    assert [group.name for group in ranked] == ["b", "a", "c", "z"]  # 2, 0.6, 0.25 and 0
    assert [group.drift for group in ranked] == pytest.approx([0.2, 0.3, 0.1, 0])
    assert [group.drift for group in rank(groups, lambda _: 0.1, 0.5)] == [0] * 4  # never below none


def test_groups_that_are_equal_go_by_name() -> None:
    groups = [Group(name, (name,), 0.2) for name in "cadb"]
    assert [group.name for group in rank(groups, lambda _: 0.5, 0)] == list("abcd")


def test_what_is_kept() -> None:
    groups = (Group("b", ("b1", "b2"), 0.25, 0.4), Group("a", ("a1",), 0.5, 0.2), Group("c", ("c1",), 0.25))
    found = Sensitivity(groups, 2, {0: 3.0, 2: 0.125}, "AP against FP32", {})
    assert found.kept_nodes == {"b1", "b2", "a1"}
    assert found.kept_share == 0.75
    assert str(found) == (
        "2 of 3 groups in FP16, 75.0% of the multiply-adds: "
        "0.12 points lost (AP against FP32), 3.00 with none"
    )
    none = Sensitivity(groups, 0, {0: 3.0}, "AP against FP32", {})
    assert none.kept_nodes == frozenset()
    assert "with none" not in str(none)


@pytest.mark.parametrize(
    ("patterns", "fitting"),
    [
        (["layer1.0"], [0, 1]),
        (["backbone"], [0, 1, 2, 3]),
        (["/backbone/*/conv1"], [0, 2, 3]),
        (["*conv2*"], [1]),
        (["layer?.0/"], [0, 1, 3]),
        (["layer[2-9]."], [3]),
        (["head", "conv2"], [1, 4]),
        (["head", "head", "/head/Conv"], [4]),
        ([NAMES[2]], [2]),
    ],
)
def test_patterns(patterns: list[str], fitting: Sequence[int]) -> None:
    assert nodes_matching(network(*NAMES), patterns) == {NAMES[i] for i in fitting}


@pytest.mark.parametrize(
    "pattern", ["nothing", "LAYER1", "relu", "layer1.0/conv3", "[", " head", "\\", "conv1 "]
)
def test_a_pattern_that_fits_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(ArgumentError) as error:
        nodes_matching(network(*NAMES), ["head", pattern])
    message = one_line(error.value)
    assert f"keep_fp16 {pattern}:" in message
    assert NAMES[0] in message
    assert NAMES[-1] in message


def test_an_empty_pattern_fits_nothing() -> None:
    with pytest.raises(ArgumentError):
        nodes_matching(network(*NAMES), ["head", ""])


def test_a_network_without_convolutions_is_refused() -> None:
    with pytest.raises(ArgumentError):
        nodes_matching(network(), ["head"])


def test_a_star_fits_every_convolution() -> None:
    assert nodes_matching(network(*NAMES), ["*"]) == set(NAMES)
