"""INT8 and FP8: the arithmetic of Q/DQ nodes, where they are put, and what is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engine_build.precision.casts import to_low_precision
from engine_build.precision.prepare import normalized
from engine_build.precision.quantize import Quantized, convolutions, quantize, quantized_tensors
from tests.engine_build.precision.test_casts import (
    Floats,
    by_output,
    converted,
    copy_of,
    network,
    node,
    noise_images,
    onnx_constants,
    run,
    types,
    weight,
)
from tests.support.onnx_files import default_model

LARGEST: dict[Quantized, float] = {"int8": 127.0, "fp8": 448.0}
KINDS: dict[Quantized, int] = {"int8": TensorProto.INT8, "fp8": TensorProto.FLOAT8E4M3FN}


def quantized(
    model: onnx.ModelProto,
    ranges: Mapping[str, float],
    kind: Quantized = "int8",
    without: Collection[str] = (),
) -> onnx.ModelProto:
    """With all convolutions quantized but those whose output is in ``without``."""
    result = copy_of(model)
    nodes = [one.name for one in convolutions(result) if one.output[0] not in without]
    quantize(result, kind, ranges, nodes)
    onnx.checker.check_model(result, full_check=True)
    return result


def scale_of(largest: float | Floats, kind: Quantized = "int8") -> Floats:
    """The nearest FP16 number."""
    return (np.asarray(largest, np.float64) / LARGEST[kind]).astype(np.float16).astype(np.float32)


def through_int8(value: NDArray[Any], scale: NDArray[Any]) -> NDArray[np.float64]:
    """Quantized and back: half to even, clipped."""
    steps = np.clip(np.round(value.astype(np.float64) / scale), -127, 127)
    return np.asarray(steps * scale, np.float64)


def through_fp8(value: NDArray[Any], scale: NDArray[Any]) -> NDArray[np.float64]:
    limited = np.clip(value.astype(np.float64) / scale, -448, 448)
    rounded = limited.astype(np.float32).astype(ml_dtypes.float8_e4m3fn).astype(np.float64)
    return np.asarray(rounded * scale, np.float64)


def convolve(
    x: NDArray[Any], w: NDArray[Any], *, pad: int = 0, stride: int = 1, dilation: int = 1, group: int = 1
) -> NDArray[np.float64]:
    """A convolution, in FP64."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    reach = [(size - 1) * dilation + 1 for size in w.shape[2:]]
    windows = sliding_window_view(padded, reach, axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride, ::dilation, ::dilation]
    outputs = []
    for inside, weights in zip(np.split(windows, group, axis=1), np.split(w.astype(np.float64), group)):
        outputs.append(np.einsum("nchwij,kcij->nkhw", inside, weights))
    return np.concatenate(outputs, axis=1)


def planes_of(images: NDArray[np.uint8]) -> Floats:
    return np.ascontiguousarray(images.astype(np.float32).transpose(0, 3, 1, 2))


def stored(model: onnx.ModelProto, kind: int) -> list[onnx.TensorProto]:
    """Weights of a type."""
    return [
        tensor for tensor in model.graph.initializer if tensor.data_type == kind and len(tensor.dims) == 4
    ]


@pytest.mark.parametrize(
    ("shape", "attributes"),
    [
        ((6, 3, 3, 3), {"pad": 1}),
        ((4, 3, 5, 5), {"pad": 2, "stride": 2}),
        ((4, 3, 3, 3), {"dilation": 2}),
        ((9, 1, 3, 3), {"group": 3, "pad": 1}),  # grouped, three outputs to an input
        ((3, 1, 3, 3), {"group": 3, "pad": 1}),  # depthwise
        ((1, 3, 1, 1), {}),
    ],
)
@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_convolutions_compute_with_quantized_numbers(
    kind: Quantized, shape: tuple[int, ...], attributes: dict[str, int]
) -> None:
    w, b = weight(*shape), weight(shape[0], seed=1)
    w *= np.geomspace(1e-2, 10, shape[0], dtype=np.float32).reshape(-1, 1, 1, 1)
    pad, stride = attributes.get("pad", 0), attributes.get("stride", 1)
    dilation, group = attributes.get("dilation", 1), attributes.get("group", 1)
    settings = {
        "pads": [pad] * 4,
        "strides": [stride] * 2,
        "dilations": [dilation] * 2,
        "group": group,
    }
    conv = node("Conv", ["pixels", "w", "b"], "y", **settings)
    images = noise_images(2, 11, 13)
    largest = 200.0  # less than there is, so that it is clipped
    model = quantized(network([conv], {"w": w, "b": b}), {"pixels": largest}, kind)
    through = through_int8 if kind == "int8" else through_fp8
    peaks = np.abs(w).reshape(shape[0], -1).max(axis=1)
    x = through(planes_of(images), scale_of(largest, kind))
    v = through(w, scale_of(peaks, kind).reshape(-1, 1, 1, 1))
    expected = convolve(x, v, **attributes) + b.reshape(1, -1, 1, 1)
    got = run(model, images)["y"]
    # Both are FP32 sums of the same products.
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())
    plain = convolve(planes_of(images), w, **attributes) + b.reshape(1, -1, 1, 1)
    assert np.abs(got - plain).max() > 100 * np.abs(got - expected).max()


def test_scales_are_per_output_channel_and_fp16_numbers() -> None:
    w = weight(5, 3, 3, 3) * np.array([1e-2, 1, 3, 40, 1000], np.float32).reshape(-1, 1, 1, 1)
    model = quantized(network([node("Conv", ["pixels", "w"], "y")], {"w": w}), {"pixels": 255.0})
    nodes, values = by_output(model), onnx_constants(model)
    dequantize = nodes[nodes["y"].input[1]]
    assert dequantize.op_type == "DequantizeLinear"
    assert [a.i for a in dequantize.attribute if a.name == "axis"] == [0]
    steps, scale, zero = (numpy_helper.to_array(values[name]) for name in dequantize.input)
    assert steps.dtype == np.int8
    assert steps.shape == w.shape
    np.testing.assert_array_equal(zero, np.zeros(5, np.int8))
    np.testing.assert_array_equal(scale, scale_of(np.abs(w).max(axis=(1, 2, 3))))
    np.testing.assert_array_equal(np.abs(steps).max(axis=(1, 2, 3)), 127)
    activation = nodes[nodes["y"].input[0]]
    single = numpy_helper.to_array(values[activation.input[1]])
    assert single.shape == ()
    assert single == np.float16(255 / 127)
    for tensor in values.values():
        if tensor.data_type == TensorProto.FLOAT:
            value = numpy_helper.to_array(tensor)
            np.testing.assert_array_equal(value, value.astype(np.float16).astype(np.float32))


def shared() -> onnx.ModelProto:
    """Three convolutions of the same weight, two of the same input."""
    weights = {"w": weight(3, 3, 1, 1), "b": weight(3, seed=1), "u": weight(4, 3, 1, 1, seed=2)}
    nodes = [
        node("Conv", ["pixels", "w", "b"], "a"),
        node("Conv", ["a", "w", "b"], "c"),
        node("Conv", ["c", "w"], "d"),
        node("Conv", ["c", "u"], "e"),
        node("Relu", ["d"], "y"),
        node("Relu", ["e"], "z"),
    ]
    return network(nodes, weights, ("y", "z"))


SHARED_RANGES = {"pixels": 255.0, "a": 200.0, "c": 100.0}


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_shared_weights_and_activations_are_quantized_once(kind: Quantized) -> None:
    model = quantized(shared(), SHARED_RANGES, kind)
    assert len(stored(model, KINDS[kind])) == 2
    assert not stored(model, TensorProto.FLOAT)
    counts = Counter(one.op_type for one in model.graph.node)
    assert counts["QuantizeLinear"] == 3  # pixels, a and c
    assert counts["DequantizeLinear"] == 3 + 2
    names = Counter(tensor.name for tensor in model.graph.initializer)
    assert set(names.values()) == {1}
    outputs = Counter(name for one in model.graph.node for name in one.output)
    assert set(outputs.values()) == {1}
    nodes = by_output(model)
    assert nodes["d"].input[0] == nodes["e"].input[0]
    assert nodes["a"].input[1] == nodes["c"].input[1] == nodes["d"].input[1]


def test_convolutions_left_out_keep_their_weights() -> None:
    model = quantized(shared(), SHARED_RANGES, without=("d", "a"))
    nodes = by_output(model)
    assert list(nodes["d"].input) == ["c", "w"]
    assert list(nodes["a"].input) == ["pixels", "w", "b"]
    assert nodes[nodes["c"].input[1]].op_type == nodes[nodes["e"].input[0]].op_type == "DequantizeLinear"
    # Now the shared weight is read in both forms, and stored once in each.
    assert sorted(
        tensor.data_type for tensor in model.graph.initializer if list(tensor.dims) == [3, 3, 1, 1]
    ) == [
        TensorProto.FLOAT,
        TensorProto.INT8,
    ]
    untouched = quantized(shared(), {}, without=("a", "c", "d", "e"))
    assert untouched.graph.node == shared().graph.node
    assert untouched.graph.initializer == shared().graph.initializer


def residual(order: tuple[str, str]) -> onnx.ModelProto:
    """A residual block as ResNet has it: convolution, sum with the skip, ReLU."""
    weights = {name: weight(3, 3, 3, 3, seed=i, size=0.1) for i, name in enumerate("uvw")}
    nodes = [
        node("Conv", ["pixels", "u"], "stem", pads=[1, 1, 1, 1]),
        node("Relu", ["stem"], "skip"),
        node("Conv", ["skip", "v"], "conv", pads=[1, 1, 1, 1]),
        node("Add", order, "sum"),
        node("Relu", ["sum"], "r"),
        node("Conv", ["r", "w"], "head", pads=[1, 1, 1, 1]),
        node("Sigmoid", ["head"], "y"),
    ]
    return network(nodes, weights, ("y", "head"))


RESIDUAL_RANGES = {"pixels": 255.0, "skip": 300.0, "r": 400.0}


@pytest.mark.parametrize("order", [("conv", "skip"), ("skip", "conv")])
def test_the_skip_of_a_sum_is_quantized_and_the_convolution_is_not(order: tuple[str, str]) -> None:
    model = residual(order)
    assert set(quantized_tensors(model)) == set(RESIDUAL_RANGES)
    result = quantized(model, RESIDUAL_RANGES)
    nodes = by_output(result)
    summands = list(nodes["sum"].input)
    place = order.index("skip")
    assert summands[1 - place] == "conv"
    assert nodes["conv"].op_type == "Conv"
    assert nodes[summands[place]].op_type == "DequantizeLinear"
    assert summands[place] == nodes["conv"].input[0]  # one Q/DQ pair for both readers
    read = {name for one in result.graph.node if one.op_type == "QuantizeLinear" for name in one.input}
    assert read.isdisjoint({"head", "conv", "sum", "y", "stem"})
    assert [one.op_type for one in result.graph.node if "head" in one.input] == ["Sigmoid"]


def test_of_two_convolutions_in_a_sum_one_stays() -> None:
    weights = {"u": weight(2, 3, 1, 1), "v": weight(2, 3, 1, 1, seed=1)}
    nodes = [
        node("Conv", ["pixels", "u"], "first"),
        node("Conv", ["pixels", "v"], "second"),
        node("Add", ["first", "second"], "y"),
    ]
    model = network(nodes, weights)
    assert quantized_tensors(model) == ["pixels", "second"]
    found = by_output(quantized(model, {"pixels": 255.0, "second": 100.0}))
    assert found["y"].input[0] == "first"
    assert found[found["y"].input[1]].op_type == "DequantizeLinear"
    # Where the first is not quantized nothing is fused with it, and its summand stays as it is.
    found = by_output(quantized(model, {"pixels": 255.0}, without=("first",)))
    assert list(found["y"].input) == ["first", "second"]


def test_every_range_that_may_be_requested_is_calibrated() -> None:
    weights = {"u": weight(2, 3, 1, 1), "v": weight(2, 3, 1, 1, seed=1)}
    nodes = [
        node("Conv", ["pixels", "u"], "first"),
        node("Conv", ["pixels", "v"], "second"),
        node("Add", ["first", "second"], "y"),
    ]
    model = network(nodes, weights)
    quantized(model, dict.fromkeys(quantized_tensors(model), 255.0), without=("first",))


@pytest.mark.parametrize("case", ["twice", "constant", "read elsewhere", "no convolution"])
def test_other_sums_are_left_alone(case: str) -> None:
    weights = {"u": weight(3, 3, 1, 1), "k": weight(1, 3, 1, 1)}
    sums = {
        "twice": node("Add", ["c", "c"], "y"),
        "constant": node("Add", ["k", "c"], "y"),
        "read elsewhere": node("Add", ["c", "pixels"], "y"),
        "no convolution": node("Add", ["r", "pixels"], "y"),
    }
    nodes = [node("Conv", ["pixels", "u"], "c"), node("Relu", ["c"], "r"), sums[case]]
    if case == "constant":
        nodes.pop(1)
    model = network(nodes, weights, ("y",) if case == "constant" else ("y", "r"))
    assert quantized_tensors(model) == ["pixels"]
    assert by_output(quantized(model, {"pixels": 255.0}))["y"] == sums[case]


def test_weights_that_are_computed_are_not_quantized() -> None:
    nodes = [
        node("Mul", ["w", "k"], "v"),
        node("Conv", ["pixels", "v"], "y"),
    ]
    model = network(nodes, {"w": weight(2, 3, 1, 1), "k": np.array(2, np.float32)})
    assert convolutions(model) == []
    assert quantized_tensors(model) == []
    assert quantized(model, {}).graph.node == model.graph.node


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_channels_and_activations_of_nothing(kind: Quantized) -> None:
    w = weight(3, 3, 1, 1)
    w[1] = 0
    nodes = [
        node("Mul", ["pixels", "none"], "zero"),
        node("Conv", ["zero", "v", "b"], "a"),
        node("Conv", ["a", "w", "b"], "y"),
    ]
    weights = {"w": w, "v": np.zeros((3, 3, 1, 1), np.float32), "none": np.array(0, np.float32)}
    weights["b"] = np.array([1, 2, -4], np.float32)
    model = network(nodes, weights)
    result = quantized(model, {"zero": 0.0, "a": 4.0}, kind)
    for low in (result, converted(result)):
        scales = [t for t in low.graph.initializer if t.name.find(".scale") >= 0]
        assert scales
        for tensor in scales:
            assert np.all(numpy_helper.to_array(tensor) > 0)
        images = noise_images(1, 2, 3)
        expected = run(model, images)["y"]
        got = run(low, images)["y"]
        assert np.all(got[:, 1] == 2)
        np.testing.assert_allclose(got, expected, rtol=0, atol=0.05)


def test_values_beyond_a_zero_range_do_no_harm() -> None:
    model = network([node("Conv", ["pixels", "w"], "y")], {"w": weight(2, 3, 1, 1)})
    got = run(converted(quantized(model, {"pixels": 0.0})), noise_images(1, 3, 3))["y"]
    assert np.isfinite(got).all()
    assert np.abs(got).max() < 1e-2


@pytest.mark.parametrize("largest", [1e-12, 1e-3, 6e4, 1e6])
def test_ranges_of_any_size(largest: float) -> None:
    w = weight(2, 3, 1, 1)
    w[1] *= np.float32(largest / np.abs(w[1]).max())
    nodes = [
        node("Mul", ["pixels", "k"], "x"),
        node("Conv", ["x", "w"], "y"),
    ]
    model = network(nodes, {"w": w, "k": np.array(largest / 255, np.float32)})
    images = noise_images(1, 5, 4)
    result = quantized(model, {"x": largest})
    got, expected = run(result, images)["y"], run(model, images)["y"]
    for tensor in result.graph.initializer:
        value = numpy_helper.to_array(tensor)
        assert np.isfinite(value).all()
        if tensor.name.endswith(".scale"):
            assert np.all(value > 0)
    assert np.isfinite(got).all()
    if largest >= 1e-3:
        for channel in (0, 1):
            peak = np.abs(expected[:, channel]).max()
            np.testing.assert_allclose(got[:, channel], expected[:, channel], rtol=0, atol=0.05 * peak)


@pytest.mark.filterwarnings("ignore:overflow")
def test_ranges_beyond_fp16_scales_stay_finite() -> None:
    model = network([node("Conv", ["pixels", "w"], "y")], {"w": weight(2, 3, 1, 1)})
    got = run(quantized(model, {"pixels": 1e7}), noise_images(1, 3, 3))["y"]
    assert np.isfinite(got).all()


def weights_through(w: Floats, kind: Quantized) -> tuple[NDArray[np.float64], Floats]:
    """A weight as the graph has it, and its scales."""
    model = quantized(network([node("Conv", ["pixels", "w"], "y")], {"w": w}), {"pixels": 255.0}, kind)
    values = onnx_constants(model)
    nodes = by_output(model)
    steps, scale, _ = (values[name] for name in nodes[nodes["y"].input[1]].input)
    scales: Floats = numpy_helper.to_array(scale)
    return numpy_helper.to_array(steps).astype(np.float64) * scales.reshape(-1, 1, 1, 1), scales


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(st.floats(-1e4, 1e4, width=32), min_size=3, max_size=3), min_size=1, max_size=4))
def test_a_weight_moves_by_half_a_step_at_most(rows: list[list[float]]) -> None:
    w = np.array(rows, np.float32).reshape(-1, 3, 1, 1)
    got, scales = weights_through(w, "int8")
    steps = scales.reshape(-1, 1, 1, 1).astype(np.float64)
    within = np.abs(w) <= 127 * steps
    assert np.all((np.abs(got - w) <= steps / 2 * (1 + 1e-6))[within])
    clipped = ~within
    assert np.array_equal(got[clipped], (np.sign(w) * 127 * steps)[clipped])
    np.testing.assert_array_equal(scales, np.maximum(scales, 2.0**-20))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-500, 500, width=32), min_size=12, max_size=12), st.floats(0.01, 400))
def test_an_activation_moves_by_half_a_step_at_most(values: list[float], largest: float) -> None:
    nodes = [
        node("Mul", ["pixels", "none"], "zero"),
        node("Add", ["zero", "values"], "x"),
        node("Conv", ["x", "w"], "y"),
    ]
    x = np.array(values, np.float32).reshape(1, 3, 2, 2)
    weights = {
        "none": np.array(0, np.float32),
        "values": x,
        "w": np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1),
    }
    model = quantized(network(nodes, weights), {"x": largest})
    got = run(model, noise_images(1, 2, 2), ["x.dq"])["x.dq"]
    step = float(np.float16(largest / 127))
    limit = 128 * step  # ONNX clips to -128..127
    inside = np.abs(x) <= 127 * step
    assert np.all((np.abs(got - x) <= step / 2 * (1 + 1e-5))[inside])
    assert np.all(np.abs(got) <= limit * (1 + 1e-6))
    np.testing.assert_allclose(
        got[~inside], (np.sign(x) * 127 * step)[~inside], rtol=0, atol=step * (1 + 1e-5)
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(st.floats(-1e4, 1e4, width=32), min_size=3, max_size=3), min_size=1, max_size=4))
def test_fp8_weights_equal_independent_rounding(rows: list[list[float]]) -> None:
    w = np.array(rows, np.float32).reshape(-1, 3, 1, 1)
    got, scales = weights_through(w, "fp8")
    steps = np.clip(w / scales.reshape(-1, 1, 1, 1), -448, 448)
    expected = steps.astype(ml_dtypes.float8_e4m3fn).astype(np.float64)
    np.testing.assert_array_equal(got, expected * scales.reshape(-1, 1, 1, 1))


def test_fp8_saturates() -> None:
    """Where E4M3 would be NaN beyond 448."""
    nodes = [node("Conv", ["pixels", "w"], "y")]
    model = quantized(network(nodes, {"w": weight(2, 3, 1, 1)}), {"pixels": 56.0}, "fp8")
    assert types(model)["pixels.q"] == types(model)["w.q"] == TensorProto.FLOAT8E4M3FN
    images = np.array([0, 1, 7, 55, 56, 57, 200, 255], np.uint8).reshape(1, 4, 2, 1).repeat(3, axis=3)
    got = run(model, images, ["pixels.dq"])["pixels.dq"]
    np.testing.assert_array_equal(got, through_fp8(planes_of(images), np.array(0.125)))
    assert got.max() == 56


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_quantized_and_cast_is_fp16_around_eight_bits(kind: Quantized) -> None:
    low = quantized(residual(("conv", "skip")), RESIDUAL_RANGES, kind)
    to_low_precision(low, "fp16")
    onnx.checker.check_model(low, full_check=True)
    kinds = types(low)
    for one in low.graph.node:
        if one.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert kinds[one.input[1]] == TensorProto.FLOAT16
            eight = one.output[0] if one.op_type == "QuantizeLinear" else one.input[0]
            assert kinds[eight] == kinds[one.input[2]] == KINDS[kind]
    assert kinds["conv"] == kinds["sum"] == TensorProto.FLOAT16
    # Scales are FP16 numbers, so the casts change none of them.
    scales = [t for t in low.graph.initializer if ".scale" in t.name]
    before = onnx_constants(quantized(residual(("conv", "skip")), RESIDUAL_RANGES, kind))
    for tensor in scales:
        original = before[tensor.name.removesuffix(".float16")]
        np.testing.assert_array_equal(
            numpy_helper.to_array(tensor).astype(np.float32), numpy_helper.to_array(original)
        )


def test_the_default_model_quantized() -> None:
    model = normalized(default_model(), "int8")
    tensors = quantized_tensors(model)
    nodes = convolutions(model)
    assert {one.input[0] for one in nodes} <= set(tensors)
    result = quantized(model, dict.fromkeys(tensors, 50.0))
    assert result.metadata_props == model.metadata_props
    eight = stored(result, TensorProto.INT8)
    weights = {one.input[1] for one in nodes}
    floats = [tensor for name, tensor in onnx_constants(model).items() if name in weights]
    assert len(eight) == len(weights)
    assert weights.isdisjoint(onnx_constants(result))
    size = sum(len(tensor.raw_data) for tensor in floats)
    assert 4 * sum(len(tensor.raw_data) for tensor in eight) == size
    outputs = {value.name for value in result.graph.output}
    found = by_output(result)
    for one in result.graph.node:
        if one.op_type == "Conv":
            assert found[one.input[0]].op_type == found[one.input[1]].op_type == "DequantizeLinear"
        if one.op_type == "QuantizeLinear":
            assert one.output[0] not in outputs
            assert any(
                "Conv" in (r.op_type for r in readers_of(result, dq)) for dq in dequantized(result, one)
            )
    heads = [
        one for one in result.graph.node if one.op_type in ("Transpose", "Softmax") and one.name != "pixels"
    ]
    for one in heads:
        assert found[one.input[0]].op_type != "DequantizeLinear"


def readers_of(model: onnx.ModelProto, tensor: str) -> list[onnx.NodeProto]:
    return [one for one in model.graph.node if tensor in one.input]


def dequantized(model: onnx.ModelProto, quantize_node: onnx.NodeProto) -> list[str]:
    return [
        one.output[0]
        for one in model.graph.node
        if one.op_type == "DequantizeLinear" and one.input[0] == quantize_node.output[0]
    ]


def test_four_times_smaller() -> None:
    weights = {"w": weight(256, 3, 3, 3), "v": weight(64, 256, 3, 3, seed=1)}
    nodes = [node("Conv", ["pixels", "w"], "c"), node("Conv", ["c", "v"], "y")]
    model = network(nodes, weights)
    for kind in LARGEST:
        result = quantized(model, {"pixels": 255.0, "c": 100.0}, kind)
        assert 0.25 < result.ByteSize() / model.ByteSize() < 0.27


def test_convolutions_without_a_name() -> None:
    model = shared()
    for one in model.graph.node:
        one.name = ""
    names = [one.name for one in convolutions(model)]
    result = copy_of(model)
    quantize(result, "int8", SHARED_RANGES, names)
    onnx.checker.check_model(result, full_check=True)
    assert len(stored(result, TensorProto.INT8)) == 2


def test_helper_agrees_with_onnx_runtime() -> None:
    """The convolution these tests compare with, against ONNX Runtime's."""
    w = weight(4, 3, 3, 3)
    made = helper.make_node(
        "Conv", ["pixels", "w"], ["y"], "y", dilations=[2, 2], pads=[2] * 4, strides=[3, 3]
    )
    images = noise_images(1, 12, 11)
    expected = run(network([made], {"w": w}), images)["y"]
    got = convolve(planes_of(images), w, pad=2, stride=3, dilation=2)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-3)
