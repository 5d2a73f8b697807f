"""Statistics over streams of images, against the activations themselves."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engine_build.calibration import ranges
from engine_build.calibration.ranges import METHODS, channel_means, channel_peaks, tensor_ranges
from trt_mogface._onnxruntime import onnxruntime
from trt_mogface.errors import ModelError

Images = list[NDArray[np.uint8]]


def network(bias: float = 0.0, weight: float = 1.0) -> onnx.ModelProto:
    """Pixels to ``x``, a convolution of them ``y`` and its positive part ``z``; ``dead`` is always 0."""
    kernel = np.random.default_rng(0).normal(size=(5, 3, 3, 3)).astype(np.float32) * np.float32(weight)
    stored = [
        numpy_helper.from_array(kernel, "w"),
        numpy_helper.from_array(np.full(5, bias, np.float32), "b"),
        numpy_helper.from_array(np.array(128, np.float32), "half"),
        numpy_helper.from_array(np.array(0, np.float32), "none"),
    ]
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Sub", ["planes", "half"], ["x"]),
        helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["y"], ["z"]),
        helper.make_node("Mul", ["z", "none"], ["dead"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", "H", "W", 3])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 5, "H", "W"])],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def images(count: int, side: int = 24) -> Images:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (1, side + i, side, 3), np.uint8) for i in range(count)]


def activations(model: onnx.ModelProto, name: str, batches: Images) -> list[NDArray[np.float32]]:
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    whole.graph.output.append(helper.make_empty_tensor_value_info(name))
    session = onnxruntime().InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    return [session.run([name], {"images": batch})[0] for batch in batches]


def test_peaks_are_the_largest_magnitudes() -> None:
    model, batches = network(bias=-30), images(4)
    count, peaks = channel_peaks(model, ["x", "y", "z"], batches)
    assert count == 4
    for name, peak in peaks.items():
        seen = [np.abs(value).max(axis=(0, 2, 3)) for value in activations(model, name, batches)]
        np.testing.assert_array_equal(peak, np.max(seen, axis=0))


def test_nothing_seen_is_nothing_found() -> None:
    assert channel_peaks(network(), ["x"], []) == (0, {})


def test_an_infinite_activation_is_refused() -> None:
    with pytest.raises(ModelError, match=r"^y: not finite"):
        channel_peaks(network(weight=1e38), ["y"], images(2))


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999, 1.0])
def test_percentile_is_that_of_all_values(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    monkeypatch.setattr(ranges, "PERCENTILE", share)
    model, batches = network(), images(5)
    values = np.abs(np.concatenate([value.ravel() for value in activations(model, "y", batches)]))
    largest = float(values.max())
    found = tensor_ranges(model, {"y": largest}, "percentile", batches)["y"]
    step = largest / ranges.BINS
    expected = np.quantile(values, share, method="higher")
    assert expected - step <= found <= expected + step


def test_minmax_is_the_largest_and_reads_no_image() -> None:
    def none() -> Iterator[NDArray[np.uint8]]:
        raise AssertionError("an image was read")
        yield

    assert tensor_ranges(network(), {"y": 3.5}, "minmax", none()) == {"y": 3.5}


def test_entropy_keeps_within_what_was_seen() -> None:
    model, batches = network(), images(5)
    values = np.abs(np.concatenate([value.ravel() for value in activations(model, "y", batches)]))
    found = tensor_ranges(model, {"y": float(values.max())}, "entropy", batches)["y"]
    assert np.quantile(values, 0.9) < found <= values.max()


@pytest.mark.parametrize("method", METHODS)
def test_an_activation_that_is_always_zero(method: ranges.Method) -> None:
    assert tensor_ranges(network(), {"dead": 0.0}, method, images(2)) == {"dead": 0.0}


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_images_does_not_matter(method: ranges.Method) -> None:
    model, batches = network(), images(4)
    largest = {"y": float(channel_peaks(model, ["y"], batches)[1]["y"].max())}
    assert tensor_ranges(model, largest, method, batches) == tensor_ranges(
        model, largest, method, batches[::-1]
    )


def test_means_before_and_after_quantization() -> None:
    model, batches = network(bias=20), images(3)
    largest = 300.0
    before, after = channel_means(model, {"y": largest}, batches)["y"]
    step = np.float32(np.float16(largest / 127))
    values = activations(model, "y", batches)
    rounded = [np.clip(np.rint(value / step), -128, 127) * step for value in values]
    np.testing.assert_allclose(before, np.mean([v.mean(axis=(0, 2, 3)) for v in values], axis=0), rtol=1e-4)
    np.testing.assert_allclose(after, np.mean([v.mean(axis=(0, 2, 3)) for v in rounded], axis=0), rtol=1e-4)


def test_memory_does_not_grow_with_the_number_of_images() -> None:
    model = network()

    def many(count: int) -> Iterator[NDArray[np.uint8]]:
        rng = np.random.default_rng(2)
        return (rng.integers(0, 256, (1, 256, 256, 3), np.uint8) for _ in range(count))

    def grown(count: int) -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        tensor_ranges(model, {"x": 128.0, "y": 4000.0}, "percentile", many(count))
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    grown(5)
    assert grown(60) < 60_000  # kilobytes; the activations of sixty are 180,000
