"""FP16 and BF16: values, types, and what is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engine_build.precision.casts import Low, to_low_precision
from engine_build.precision.opset import NEEDED
from engine_build.precision.prepare import at_precision, normalized
from tests.support.onnx_files import default_model
from trt_mogface.backends.onnxruntime import session

Floats = NDArray[np.float32]

FLOAT, FLOAT16, BFLOAT16 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16


def node(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> onnx.NodeProto:
    """A node; ``c`` is computed by ``/c/Conv``."""
    return helper.make_node(kind, inputs, [output], f"/{output}/{kind}", **attributes)


def network(
    nodes: Sequence[onnx.NodeProto],
    weights: Mapping[str, NDArray[Any]],
    outputs: Sequence[str] = ("y",),
    opset: int = 19,
) -> onnx.ModelProto:
    """A network over ``pixels``, float32 [N, 3, H, W], that is fed uint8 [N, H, W, 3] like all of them."""
    beginning = [
        node("Cast", ["images"], "planes", to=FLOAT),
        node("Transpose", ["planes"], "pixels", perm=[0, 3, 1, 2]),
    ]
    graph = helper.make_graph(
        [*beginning, *nodes],
        "made up",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", "H", "W", 3])],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)  # outputs need their shapes
    del model.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    return model


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def run(
    model: onnx.ModelProto, images: NDArray[np.uint8], tensors: Sequence[str] = ()
) -> dict[str, NDArray[Any]]:
    """The outputs, or some tensors inside, just as the nodes compute them."""
    watched = copy_of(model)
    if tensors:
        del watched.graph.output[:]
        watched.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in tensors)
    names = [value.name for value in watched.graph.output]
    values = session(watched.SerializeToString(), 1, optimize=False).run(names, {"images": images})
    return dict(zip(names, values))


def noise_images(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def weight(*shape: int, seed: int = 0, size: float = 0.3) -> Floats:
    return (size * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


def types(model: onnx.ModelProto) -> dict[str, int]:
    """The type of every tensor, as ONNX infers it."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = [*graph.input, *graph.output, *graph.value_info]
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    return found | {tensor.name: tensor.data_type for tensor in graph.initializer}


def interface(model: onnx.ModelProto) -> list[tuple[str, int]]:
    values = [*model.graph.input, *model.graph.output]
    return [(value.name, value.type.tensor_type.elem_type) for value in values]


def by_output(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {name: one for one in model.graph.node for name in one.output}


def converted(model: onnx.ModelProto, kind: Low = "fp16", *, simulate: bool = False) -> onnx.ModelProto:
    result = copy_of(model)
    to_low_precision(result, kind, simulate=simulate)
    onnx.checker.check_model(result, full_check=True)
    return result


def assert_close(got: NDArray[Any], expected: NDArray[Any], tolerance: float) -> None:
    """Within a share of the largest value."""
    assert got.dtype == np.float32
    assert got.shape == expected.shape
    largest = float(np.abs(expected).max())
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * largest)


def mixed() -> onnx.ModelProto:
    """All that matters in one: shared weights, statistics, a resized map, outputs that are read again."""
    weights = {
        "k": np.array(0.0123, np.float32),
        "w1": weight(8, 3, 3, 3, seed=1),
        "b1": weight(8, seed=2),
        "w2": weight(8, 8, 3, 3, seed=3, size=0.1),
        "gamma": np.ones(8, np.float32),
        "beta": np.zeros(8, np.float32),
        "scales": np.array([1, 1, 2, 2], np.float32),
    }
    nodes = [
        node("Mul", ["pixels", "k"], "small"),
        node("Conv", ["small", "w1", "b1"], "c1", pads=[1, 1, 1, 1]),
        node("Relu", ["c1"], "r1"),
        node("Conv", ["r1", "w2", "b1"], "c2", pads=[1, 1, 1, 1]),
        node("InstanceNormalization", ["c2", "gamma", "beta"], "n"),
        node("Add", ["n", "k"], "m"),
        node("Conv", ["m", "w2"], "c3", pads=[1, 1, 1, 1]),
        node("Resize", ["c3", "", "scales"], "big", mode="nearest"),
        node("Sigmoid", ["big"], "y"),
        node("Add", ["c3", "r1"], "z"),
        node("Softmax", ["z"], "p", axis=1),
    ]
    return network(nodes, weights, ("y", "z", "p"))


def test_fp16_computes_nearly_the_same_and_keeps_the_contract() -> None:
    model = mixed()
    low = converted(model)
    assert interface(low) == interface(model)
    images = noise_images(2, 9, 14)
    expected, got = run(model, images), run(low, images)
    for name, value in expected.items():
        assert_close(got[name], value, 4e-3)
    assert any(np.any(got[name] != value) for name, value in expected.items())


def test_fp16_is_where_it_may_be_and_nowhere_else() -> None:
    model = mixed()
    low = converted(model)
    kinds, nodes = types(low), by_output(low)
    for name in ("planes", "pixels", "small", "n", "y", "p", "z"):
        assert kinds[name] == FLOAT, name
    for name in ("c1", "r1", "c2", "m", "c3", "big"):
        assert kinds[name] == FLOAT16, name
    for one in low.graph.node:
        read = [kinds[name] for name in one.input if name]
        if one.op_type in ("Sigmoid", "Softmax", "InstanceNormalization"):
            assert set(read) == {FLOAT}, one.name
        if one.op_type == "Conv":
            assert set(read) == {FLOAT16}, one.name
    scales = nodes["big"].input[2]
    assert kinds[scales] == FLOAT
    assert scales == "scales"


def test_each_initializer_is_stored_once_in_each_type_it_is_read_in() -> None:
    model = mixed()
    low = converted(model)
    stored = Counter(tensor.name for tensor in low.graph.initializer)
    assert set(stored.values()) == {1}
    contents = Counter((tensor.data_type, tensor.raw_data) for tensor in low.graph.initializer)
    assert set(contents.values()) == {1}
    values = {name: numpy_helper.to_array(t) for name, t in onnx_constants(low).items()}
    source = {name: numpy_helper.to_array(t) for name, t in onnx_constants(model).items()}
    for name in ("w1", "w2", "b1"):  # read only in FP16
        copies = [value for value in values.values() if value.shape == source[name].shape]
        assert [value.dtype for value in copies if np.allclose(value, source[name], atol=1e-3)] == [
            np.dtype(np.float16)
        ]
    scalars = {value.dtype: value for value in values.values() if value.shape == ()}
    assert set(scalars) == {np.dtype(np.float32), np.dtype(np.float16)}  # k is read in both
    assert scalars[np.dtype(np.float32)] == source["k"]
    assert scalars[np.dtype(np.float16)] == np.float16(source["k"])
    for name in ("gamma", "beta", "scales"):  # read only in FP32
        np.testing.assert_array_equal(values[name], source[name])
        assert values[name].dtype == np.float32
    read = {name for one in low.graph.node for name in one.input}
    assert set(values) <= read


def onnx_constants(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    return {tensor.name: tensor for tensor in model.graph.initializer}


def test_a_weight_is_cast_once_for_all_its_readers() -> None:
    """One Cast for a tensor however many nodes read it in the other type."""
    weights = {"w": weight(4, 3, 1, 1)}
    nodes = [
        node("Conv", ["pixels", "w"], "c"),
        node("Sigmoid", ["c"], "s"),
        node("Exp", ["c"], "e"),
        node("Softmax", ["c"], "t", axis=1),
        node("Add", ["s", "e"], "u"),
        node("Mul", ["s", "t"], "v"),
        node("Sub", ["u", "v"], "y"),
    ]
    low = converted(network(nodes, weights))
    casts = Counter(one.input[0] for one in low.graph.node if one.op_type == "Cast")
    assert casts == {"images": 1, "pixels": 1, "c": 1, "s": 1, "e": 1, "t": 1, "y.low": 1}


def test_an_output_that_others_read_keeps_its_name_and_type() -> None:
    weights = {"w": weight(3, 3, 1, 1), "v": weight(3, 3, 1, 1, seed=1)}
    nodes = [
        node("Conv", ["pixels", "w"], "first"),
        node("Relu", ["first"], "r"),
        node("Conv", ["first", "v"], "second"),
        node("Add", ["r", "second"], "third"),
        node("Sigmoid", ["first"], "last"),
    ]
    outputs = ("first", "second", "third", "last")
    model = network(nodes, weights, outputs)
    low = converted(model)
    assert interface(low) == interface(model)
    names = [name for one in low.graph.node for name in one.output]
    assert len(names) == len(set(names))
    assert [one.op_type for one in low.graph.node if "first" in one.output] == ["Cast"]
    images = noise_images(1, 5, 6)
    got = run(low, images)
    for name, value in run(model, images).items():
        assert_close(got[name], value, 4e-3)


def test_nothing_changes_without_a_convolution() -> None:
    nodes = [node("Mul", ["pixels", "k"], "a"), node("Relu", ["a"], "y")]
    model = network(nodes, {"k": np.array(0.1, np.float32)})
    assert [one.op_type for one in converted(model).graph.node] == ["Cast", "Transpose", "Mul", "Relu"]


def test_moving_nodes_stay_in_the_type_they_are_given() -> None:
    weights: dict[str, NDArray[Any]] = {
        "w": weight(4, 3, 1, 1),
        "shape": np.array([0, -1], np.int64),
        "rows": np.array([0, 2], np.int64),
    }
    nodes = [
        node("Conv", ["pixels", "w"], "c"),
        node("Transpose", ["c"], "t", perm=[0, 2, 3, 1]),
        node("Reshape", ["t", "shape"], "flat"),
        node("Sigmoid", ["c"], "s"),
        node("Gather", ["s", "rows"], "g", axis=1),  # of an FP32 tensor
        node("Concat", ["g", "c"], "both", axis=1),  # of an FP32 and an FP16 one
        node("Relu", ["both"], "y"),
    ]
    kinds = types(converted(network(nodes, weights, ("y", "flat"))))
    assert kinds["t"] == kinds["flat.low"] == FLOAT16
    assert kinds["s"] == kinds["g"] == kinds["both"] == FLOAT


def test_limits_beyond_fp16_become_infinite() -> None:
    weights = {
        "w": weight(2, 3, 1, 1),
        "low": np.array(np.finfo(np.float32).min, np.float32),
        "high": np.array(1e9, np.float32),
    }
    model = network([node("Conv", ["pixels", "w"], "c"), node("Clip", ["c", "low", "high"], "y")], weights)
    low = converted(model)
    limits = sorted(
        float(numpy_helper.to_array(tensor)) for tensor in low.graph.initializer if not tensor.dims
    )
    assert limits == [-np.inf, np.inf]
    images = noise_images(1, 4, 4)
    assert_close(run(low, images)["y"], run(model, images)["y"], 4e-3)


@pytest.mark.parametrize("source", ["Constant", "Cast"])
def test_other_sources_of_numbers(source: str) -> None:
    """A constant in a node, and numbers computed from sizes."""
    made = [
        node("Constant", [], "one", value=numpy_helper.from_array(np.array([2.5], np.float32))),
        node("Shape", ["pixels"], "sizes"),
        node("Cast", ["sizes"], "counted", to=FLOAT),
        node("Gather", ["counted", "second"], "rows"),
    ]
    weights: dict[str, NDArray[Any]] = {"w": weight(2, 3, 1, 1), "second": np.array(2, np.int64)}
    number = {"Constant": "one", "Cast": "rows"}[source]
    nodes = [*made, node("Conv", ["pixels", "w"], "c"), node("Mul", ["c", number], "y")]
    model = network(nodes, weights)
    low = converted(model)
    images = noise_images(2, 7, 3)
    assert_close(run(low, images)["y"], run(model, images)["y"], 4e-3)


@pytest.mark.parametrize("kind", ["fp16", "bf16"])
def test_a_cast_between_floats_after_a_convolution(kind: Low) -> None:
    weights = {"w": weight(3, 3, 1, 1), "v": weight(3, 3, 1, 1, seed=1)}
    nodes = [
        node("Conv", ["pixels", "w"], "c"),
        node("Cast", ["c"], "f", to=FLOAT),
        node("Conv", ["f", "v"], "y"),
    ]
    model = network(nodes, weights, opset=22)
    converted(model, kind)


@pytest.mark.parametrize("shape", [(1, 64, 96), (2, 33, 47)])
def test_the_default_model_in_fp16(shape: tuple[int, ...]) -> None:
    model = normalized(default_model(), "fp16")
    low = at_precision(model, "fp16")
    onnx.checker.check_model(low, full_check=True)
    assert interface(low) == interface(model)
    assert low.metadata_props == model.metadata_props
    kinds = types(low)
    for one in low.graph.node:
        if one.op_type == "Conv":
            assert {kinds[name] for name in one.input} == {FLOAT16}
        if one.op_type == "Softmax":
            assert kinds[one.input[0]] == FLOAT
    images = noise_images(*shape)
    got = run(low, images)
    for name, value in run(model, images).items():
        assert_close(got[name], value, 1e-2)
    assert low.ByteSize() < 0.6 * model.ByteSize()


def test_the_default_model_in_bf16() -> None:
    model = normalized(default_model(), "bf16")
    assert model.opset_import[0].version == NEEDED["bf16"] == 22
    low = at_precision(model, "bf16")
    onnx.checker.check_model(low, full_check=True)
    assert interface(low) == interface(model)
    kinds = types(low)
    assert {kinds[name] for one in low.graph.node if one.op_type == "Conv" for name in one.input} == {
        BFLOAT16
    }
    assert FLOAT16 not in kinds.values()
    simulated = at_precision(model, "bf16", simulate=True)
    onnx.checker.check_model(simulated, full_check=True)
    low_tensors = [
        name
        for one in low.graph.node
        for name in one.output
        if kinds[name] == BFLOAT16 and one.op_type != "Cast" and name in by_output(simulated)
    ]
    assert len(low_tensors) > 100
    images = noise_images(1, 64, 64)
    for name, value in run(simulated, images, low_tensors).items():
        np.testing.assert_array_equal(value, rounded(value), err_msg=name)
    got = run(simulated, images)
    for name, value in run(model, images).items():
        assert_close(got[name], value, 6e-2)


def rounded(value: NDArray[Any]) -> Floats:
    """To BF16 and back, independently of ONNX."""
    return value.astype(ml_dtypes.bfloat16).astype(np.float32)


def test_simulated_bf16_rounds_what_bf16_would_round() -> None:
    weights = {
        "mean": np.array([1.7, 100.3, 30.9], np.float32).reshape(1, 3, 1, 1),
        "w": weight(5, 3, 1, 1),
        "b": weight(5, seed=1),
        "k": np.array(0.7, np.float32),
    }
    nodes = [
        node("Sub", ["pixels", "mean"], "x"),
        node("Conv", ["x", "w", "b"], "c"),
        node("Add", ["c", "k"], "a"),
        node("Identity", ["a"], "y"),
    ]
    model = network(nodes, weights, opset=22)
    simulated = converted(model, "bf16", simulate=True)
    assert set(types(simulated).values()) == {TensorProto.UINT8, FLOAT, BFLOAT16}
    images = noise_images(2, 6, 7)
    planes = images.astype(np.float32).transpose(0, 3, 1, 2) - weights["mean"]
    x, w, b = rounded(planes), rounded(weights["w"][:, :, 0, 0]), rounded(weights["b"])
    exact = np.einsum("nchw,kc->nkhw", x.astype(np.float64), w) + b.reshape(1, -1, 1, 1)
    got = run(simulated, images, ["c", "y"])
    np.testing.assert_array_equal(got["c"], rounded(got["c"]))
    # Half a step, and what FP32 sums may be off where they lie between two BF16 numbers.
    np.testing.assert_allclose(got["c"], exact, rtol=2.0**-8 * 1.001, atol=1e-5)
    assert np.mean(got["c"] == rounded(exact.astype(np.float32))) > 0.99
    np.testing.assert_array_equal(got["y"], rounded(got["c"] + rounded(weights["k"])))
    # And it is not FP32.
    plain = run(model, images)["y"]
    assert np.any(got["y"] != plain)
    np.testing.assert_allclose(got["y"], plain, rtol=0, atol=2.0**-6 * np.abs(plain).max())


def test_simulated_outputs_equal_fp32_within_bf16() -> None:
    model = mixed()
    simulated = converted(model, "bf16", simulate=True)
    assert interface(simulated) == interface(model)
    images = noise_images(1, 8, 10)
    got = run(simulated, images)
    for name, value in run(model, images).items():
        assert_close(got[name], value, 4e-2)


def test_nodes_named_like_tensors() -> None:
    nodes = [node("Conv", ["pixels", "w"], "y")]
    nodes[0].name = "y"
    model = network(nodes, {"w": weight(3, 3, 1, 1)})
    images = noise_images(1, 3, 3)
    assert_close(run(converted(model), images)["y"], run(model, images)["y"], 4e-3)
