"""Multiply-adds against a count of every window of every convolution."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from engine_build.onnx.graph import name_convolutions
from engine_build.precision.prepare import normalized
from engine_build.precision.quantize import convolutions
from engine_build.workload.convolutions import SIDE, work_by_convolution
from tests.engine_build.precision.test_casts import network, node, weight
from tests.support.onnx_files import default_model


def positions(size: int, kernel: int, *, stride: int, dilation: int, pad: int) -> int:
    """How often a window fits along one side, counted."""
    start, count = -pad, 0
    while start + (kernel - 1) * dilation <= size - 1 + pad:
        count += 1
        start += stride
    return count


def test_every_window_is_counted() -> None:
    weights = {
        "a": weight(8, 3, 7, 5),
        "b": weight(8, 1, 3, 3),
        "c": weight(12, 4, 3, 3),
        "d": weight(5, 12, 1, 1),
        "e": weight(5, 12, 2, 2),
    }
    nodes = [
        node("Conv", ["pixels", "a"], "ya", pads=[2, 2, 2, 2], strides=[3, 2]),
        node("Conv", ["ya", "b"], "yb", group=8, pads=[1, 1, 1, 1], dilations=[2, 3]),
        node("Relu", ["yb"], "r"),
        node("Conv", ["r", "c"], "yc", group=2, strides=[2, 3]),
        node("Conv", ["yc", "d"], "yd"),
        node("Conv", ["yc", "e"], "ye", pads=[1, 1, 1, 1], strides=[5, 1]),
    ]
    model = network(nodes, weights, ("yd", "ye"))
    before = model.SerializeToString()
    expected = {}
    sizes = {"pixels": (SIDE, SIDE)}
    for one in nodes:
        if one.op_type == "Relu":
            sizes["r"] = sizes["yb"]
            continue
        settings = {a.name: helper.get_attribute_value(a) for a in one.attribute}
        shape = weights[one.input[1]].shape
        rows, columns = (
            positions(
                size,
                kernel,
                stride=settings.get("strides", [1, 1])[axis],
                dilation=settings.get("dilations", [1, 1])[axis],
                pad=settings.get("pads", [0, 0])[axis],
            )
            for axis, (size, kernel) in enumerate(zip(sizes[one.input[0]], shape[2:]))
        )
        sizes[one.output[0]] = rows, columns
        # Of each output number: its group's inputs times the kernel.
        inputs = {"a": 3, "b": 1, "c": 4, "d": 12, "e": 12}[one.input[1]]
        expected[one.name] = rows * columns * shape[0] * inputs * shape[2] * shape[3]
    assert work_by_convolution(model) == expected
    assert model.SerializeToString() == before
    assert any(side % 2 for pair in sizes.values() for side in pair)


@pytest.mark.parametrize("group", [1, 2])
def test_a_weight_used_twice_works_twice(group: int) -> None:
    weights = {"a": weight(4, 3, 1, 1), "w": weight(4, 4 // group, 3, 3)}
    nodes = [
        node("Conv", ["pixels", "a"], "x"),
        node("Conv", ["x", "w"], "y", strides=[2, 2], group=group),
        node("Conv", ["y", "w"], "z", group=group),
    ]
    work = work_by_convolution(network(nodes, weights, ("z",)))
    assert list(work) == ["/x/Conv", "/y/Conv", "/z/Conv"]
    assert work["/x/Conv"] == 12 * 128**2
    assert work["/y/Conv"] == 4 * 4 // group * 9 * 63**2
    assert work["/z/Conv"] == 4 * 4 // group * 9 * 61**2


def test_maps_of_other_operators_count_in_their_size() -> None:
    weights = {"w": weight(2, 3, 1, 1), "scales": np.array([1, 1, 0.5, 2], np.float32)}
    nodes = [
        node("Resize", ["pixels", "", "scales"], "x", mode="nearest"),
        node("Conv", ["x", "w"], "y"),
    ]
    assert work_by_convolution(network(nodes, weights)) == {"/y/Conv": 6 * 64 * 256}


def test_nodes_without_names() -> None:
    weights = {"v": weight(4, 3, 1, 1), "w": weight(4, 4, 1, 1)}
    model = network([node("Conv", ["pixels", "v"], "x"), node("Conv", ["x", "w"], "y")], weights)
    for one in model.graph.node:
        one.name = ""
    name_convolutions(model)
    assert sum(work_by_convolution(model).values()) == (12 + 16) * 128**2


def test_the_default_model() -> None:
    model = normalized(default_model(), "fp32")
    work = work_by_convolution(model)
    assert list(work) == [one.name for one in convolutions(model)]
    assert len(set(work)) == len(work) == 59
    first = convolutions(model)[0]
    shape = next(t.dims for t in model.graph.initializer if t.name == first.input[1])
    assert list(shape) == [8, 3, 3, 3]  # MobileNet 0.25 begins with stride 2
    assert work[first.name] == 8 * 3 * 9 * 64 * 64


def test_models_stay_as_they_are() -> None:
    model = normalized(default_model(), "fp32")
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    work_by_convolution(model)
    assert copy == model
