"""Winograd's convolution against the direct one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engine_build.onnx import contract, cpu, winograd
from tests.support.mogface import Pair
from trt_mogface._onnxruntime import onnxruntime
from trt_mogface.backends.onnxruntime import OnnxNetwork

CHANNELS = 256


def two_convolutions(**settings: object) -> onnx.ModelProto:
    """Two convolutions one after the other that share their weights."""
    rng = np.random.default_rng(0)
    weight = (rng.normal(size=(CHANNELS, CHANNELS, 3, 3)) / 48).astype(np.float32)
    attributes: dict[str, object] = {"pads": [1, 1, 1, 1], **settings}
    nodes = [
        helper.make_node("Conv", [source, "w", "b"], [result], **attributes)  # type: ignore[arg-type]
        for source, result in (("x", "middle"), ("middle", "y"))
    ]
    shape: list[str | int | None] = ["N", CHANNELS, "H", "W"]
    graph = helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", CHANNELS, "h", "w"])],
        [
            numpy_helper.from_array(weight, "w"),
            numpy_helper.from_array(rng.normal(size=CHANNELS).astype(np.float32), "b"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def outputs(model: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime().InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run(None, {"x": x})[0]
    return result


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 4, 4), (2, 5, 9), (3, 16, 7), (1, 33, 2)])
def test_equals_the_direct_convolution_at_any_size(size: tuple[int, int, int]) -> None:
    direct, fast = two_convolutions(), two_convolutions()
    winograd.apply(fast)
    onnx.checker.check_model(fast)
    assert [node.op_type for node in fast.graph.node] == [winograd.FUNCTION] * 2
    x = np.random.default_rng(1).normal(size=(size[0], CHANNELS, *size[1:])).astype(np.float32)
    expected = outputs(direct, x)
    np.testing.assert_allclose(outputs(fast, x), expected, rtol=0, atol=3e-5 * np.abs(expected).max())


@pytest.mark.parametrize("settings", [{"dilations": [2, 2]}, {"strides": [2, 2]}, {"pads": [0, 0, 0, 0]}])
def test_other_convolutions_are_left_alone(settings: dict[str, object]) -> None:
    model = two_convolutions(**settings)
    before = model.SerializeToString()
    winograd.apply(model)
    assert model.SerializeToString() == before


def test_mogface_for_the_cpu_equals_the_exported_file(mogface: Pair, tmp_path: Path) -> None:
    model = contract.load(mogface.onnx)
    cpu.for_cpu(model)
    contract.save(model, tmp_path / "cpu.onnx")
    # On each of six levels four convolutions in each of two deep heads, and the first of the context.
    assert Counter(node.op_type for node in model.graph.node)[winograd.FUNCTION] == 6 * (2 * 4 + 1)
    head = [node.op_type for node in model.graph.node if node.op_type != "Constant"][:4]
    assert head == ["Transpose", "Cast", "Sub", "Conv"]  # the picture's scale is in the weights
    images = np.random.default_rng(0).integers(0, 256, (2, 97, 131, 3), np.uint8)
    with OnnxNetwork(mogface.onnx) as direct, OnnxNetwork(tmp_path / "cpu.onnx") as fast:
        expected, got = direct.run(images), fast.run(images)
    np.testing.assert_allclose(got.scores, expected.scores, rtol=0, atol=5e-5)
    np.testing.assert_allclose(got.deltas, expected.deltas, rtol=0, atol=5e-5)
