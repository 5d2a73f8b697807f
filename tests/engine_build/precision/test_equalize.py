"""Equalization: the same network, with channels of like ranges where one scale covers them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import numpy_helper

from engine_build.onnx.graph import name_convolutions
from engine_build.precision.equalize import MAX_FACTOR, Peaks, equalize, factors, links
from engine_build.precision.prepare import normalized
from tests.engine_build.precision.test_casts import (
    Floats,
    copy_of,
    network,
    node,
    noise_images,
    onnx_constants,
    run,
    weight,
)
from tests.support.onnx_files import default_model


def peaks_of(model: onnx.ModelProto, images: NDArray[np.uint8]) -> dict[str, Peaks]:
    """Peaks of the channels of all that may be rescaled."""
    tensors = [link.tensor for link in links(model)]
    if not tensors:
        return {}
    values = run(model, images, tensors)
    return {name: np.abs(value).max(axis=(0, 2, 3)) for name, value in values.items()}


def equalized(model: onnx.ModelProto, images: NDArray[np.uint8]) -> tuple[onnx.ModelProto, dict[str, Peaks]]:
    result = copy_of(model)
    divisors = factors(model, peaks_of(model, images))
    equalize(result, divisors)
    return result, divisors


def assert_same(model: onnx.ModelProto, other: onnx.ModelProto, images: NDArray[np.uint8]) -> None:
    got = run(other, images)
    for name, value in run(model, images).items():
        largest = float(np.abs(value).max())
        np.testing.assert_allclose(got[name], value, rtol=1e-4, atol=1e-4 * largest)


def uneven(*shape: int, seed: int = 0) -> Floats:
    """A weight whose output channels differ by three orders of magnitude."""
    sizes = np.geomspace(1e-2, 10, shape[0], dtype=np.float32)
    sizes = np.random.default_rng(seed).permutation(sizes)
    return weight(*shape, seed=seed) * sizes.reshape(-1, 1, 1, 1)


def chain(activation: str, group: int = 1, source_group: int = 1) -> onnx.ModelProto:
    """Two convolutions with something between them."""
    weights = {
        "v": uneven(6, 3 // source_group, 3, 3),
        "b": weight(6, seed=1, size=3),
        "w": weight(6, 6 // group, 3, 3, seed=2),
        "c": weight(6, seed=3),
    }
    between = {
        "none": [],
        "Relu": [node("Relu", ["a"], "r")],
        "LeakyRelu": [node("LeakyRelu", ["a"], "r", alpha=0.1)],
        "both": [node("LeakyRelu", ["a"], "l", alpha=0.1), node("Relu", ["l"], "r")],
    }[activation]
    nodes = [
        node("Conv", ["pixels", "v", "b"], "a", pads=[1, 1, 1, 1], group=source_group),
        *between,
        node("Conv", ["r" if between else "a", "w", "c"], "y", group=group),
    ]
    return network(nodes, weights)


@pytest.mark.parametrize("activation", ["none", "Relu", "LeakyRelu", "both"])
@pytest.mark.parametrize("group", [1, 6])
@pytest.mark.parametrize("source_group", [1, 3])
def test_the_network_computes_the_same(activation: str, group: int, source_group: int) -> None:
    model = chain(activation, group, source_group)
    images = noise_images(2, 9, 8)
    result, divisors = equalized(model, images)
    assert list(divisors) == ["a" if activation == "none" else "r"]
    (divisor,) = divisors.values()
    assert divisor.shape == (6,)
    assert divisor.max() / divisor.min() > 10
    assert_same(model, result, images)
    assert_same(model, result, noise_images(1, 20, 5, seed=3))
    assert result.graph.node == model.graph.node
    changed = [
        name
        for name, tensor in onnx_constants(result).items()
        if tensor.raw_data != onnx_constants(model)[name].raw_data
    ]
    assert sorted(changed) == ["b", "v", "w"]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from(["none", "Relu", "LeakyRelu"]), min_size=2, max_size=4),
    st.lists(st.booleans(), min_size=4, max_size=4),
    st.integers(0, 99),
)
def test_random_chains_compute_the_same(activations: list[str], depthwise: list[bool], seed: int) -> None:
    """A middle weight is divided by its own factors and multiplied by those before it."""
    weights, nodes, x, channels = {}, [], "pixels", 3
    for i, activation in enumerate(activations):
        apart = depthwise[i]
        outputs = channels if apart else 3 + i
        weights[f"w{i}"] = uneven(outputs, 1 if apart else channels, 3, 3, seed=seed + i)
        weights[f"b{i}"] = weight(outputs, seed=seed + 10 * i)
        nodes.append(
            node(
                "Conv",
                [x, f"w{i}", f"b{i}"],
                f"c{i}",
                pads=[1, 1, 1, 1],
                group=channels if apart else 1,
            )
        )
        x, channels = f"c{i}", outputs
        if activation != "none":
            nodes.append(node(activation, [x], f"a{i}"))
            x = f"a{i}"
    nodes.append(node("Identity", [x], "y"))
    model = network(nodes, weights)
    images = noise_images(1, 6, 7, seed=seed)
    result, divisors = equalized(model, images)
    assert len(divisors) == len(activations) - 1
    assert_same(model, result, images)


def test_peaks_read_by_depthwise_convolutions_become_equal() -> None:
    for activation in ("none", "Relu", "LeakyRelu"):
        model = chain(activation, group=6)
        images = noise_images(2, 9, 8)
        before = peaks_of(model, images)
        result, _ = equalized(model, images)
        after = peaks_of(result, images)
        for name, peak in after.items():
            assert before[name].max() / before[name].min() > 10
            np.testing.assert_allclose(peak, peak[0], rtol=1e-5)
            # The geometric mean stays, so that nothing drifts.
            np.testing.assert_allclose(
                np.log(peak).mean(), np.log(before[name].astype(np.float64)).mean(), atol=1e-5
            )


def test_factors_by_their_formula() -> None:
    """SmoothQuant's s = max|X|^a / max|W|^(1-a), of geometric mean 1."""
    model = chain("Relu")
    peak = np.array([0.1, 2, 30, 4, 5, 600], np.float32)
    w = numpy_helper.to_array(onnx_constants(model)["w"])
    expected = np.empty(6)
    for channel in range(6):
        expected[channel] = peak[channel] ** 0.75 / np.abs(w[:, channel]).max() ** 0.25
    expected /= np.prod(expected) ** (1 / 6)
    np.testing.assert_allclose(factors(model, {"r": peak})["r"], expected, rtol=1e-5)


def test_several_readers_are_all_rescaled() -> None:
    weights = {
        "v": uneven(5, 3, 1, 1),
        "w": weight(4, 5, 1, 1, seed=1),
        "u": weight(5, 1, 3, 3, seed=2),
    }
    nodes = [
        node("Conv", ["pixels", "v"], "a"),
        node("Relu", ["a"], "r"),
        node("Conv", ["r", "w"], "y"),
        node("Conv", ["r", "u"], "z", group=5),
    ]
    model = network(nodes, weights, ("y", "z"))
    images = noise_images(2, 6, 5)
    result, divisors = equalized(model, images)
    assert list(divisors) == ["r"]
    assert_same(model, result, images)


Case = Callable[[], onnx.ModelProto]


def shared_weight() -> onnx.ModelProto:
    weights = {"v": uneven(3, 3, 1, 1), "w": weight(3, 3, 1, 1, seed=1)}
    nodes = [
        node("Conv", ["pixels", "v"], "a"),
        node("Conv", ["a", "w"], "b"),
        node("Conv", ["b", "w"], "y"),
    ]
    return network(nodes, weights)


def shared_source() -> onnx.ModelProto:
    weights = {"v": uneven(3, 3, 1, 1), "w": weight(3, 3, 1, 1), "u": weight(3, 3, 1, 1, seed=1)}
    nodes = [
        node("Conv", ["pixels", "v"], "a"),
        node("Conv", ["pixels", "v"], "b"),
        node("Conv", ["a", "w"], "y"),
        node("Conv", ["b", "u"], "z"),
    ]
    return network(nodes, weights, ("y", "z"))


def shared_bias() -> onnx.ModelProto:
    weights = {"v": uneven(3, 3, 1, 1), "w": weight(3, 3, 1, 1), "b": weight(3, seed=1)}
    nodes = [node("Conv", ["pixels", "v", "b"], "a"), node("Conv", ["a", "w", "b"], "y")]
    return network(nodes, weights)


def read_by_a_sum() -> onnx.ModelProto:
    weights = {"v": uneven(3, 3, 1, 1), "w": weight(3, 3, 1, 1)}
    nodes = [
        node("Conv", ["pixels", "v"], "a"),
        node("Relu", ["a"], "r"),
        node("Conv", ["r", "w"], "c"),
        node("Add", ["r", "c"], "y"),
    ]
    return network(nodes, weights)


def an_output() -> onnx.ModelProto:
    model = chain("Relu")
    return network(list(model.graph.node)[2:], arrays(model), ("y", "r"))


def an_output_without_activation() -> onnx.ModelProto:
    model = chain("none")
    return network(list(model.graph.node)[2:], arrays(model), ("y", "a"))


def read_before_its_activation() -> onnx.ModelProto:
    model = chain("Relu")
    nodes = [*list(model.graph.node)[2:], node("Sigmoid", ["a"], "z")]
    return network(nodes, arrays(model), ("y", "z"))


def another_activation() -> onnx.ModelProto:
    weights = {"v": uneven(3, 3, 1, 1), "w": weight(3, 3, 1, 1)}
    nodes = [
        node("Conv", ["pixels", "v"], "a"),
        node("Sigmoid", ["a"], "s"),
        node("Conv", ["s", "w"], "y"),
    ]
    return network(nodes, weights)


def grouped_reader() -> onnx.ModelProto:
    return chain("Relu", group=2)


def depthwise_of_two() -> onnx.ModelProto:
    """Two outputs for each input."""
    weights = {"v": uneven(3, 3, 1, 1), "w": weight(6, 1, 3, 3)}
    return network([node("Conv", ["pixels", "v"], "a"), node("Conv", ["a", "w"], "y", group=3)], weights)


def computed_weight() -> onnx.ModelProto:
    weights = {"v": uneven(3, 3, 1, 1), "w": weight(3, 3, 1, 1), "k": np.array(2, np.float32)}
    nodes = [
        node("Conv", ["pixels", "v"], "a"),
        node("Mul", ["w", "k"], "wk"),
        node("Conv", ["a", "wk"], "y"),
    ]
    return network(nodes, weights)


def arrays(model: onnx.ModelProto) -> dict[str, Floats]:
    return {name: numpy_helper.to_array(tensor) for name, tensor in onnx_constants(model).items()}


@pytest.mark.parametrize(
    "make",
    [
        shared_weight,
        shared_source,
        shared_bias,
        read_by_a_sum,
        an_output,
        an_output_without_activation,
        read_before_its_activation,
        another_activation,
        grouped_reader,
        depthwise_of_two,
        computed_weight,
    ],
)
def test_what_others_see_is_left_alone(make: Case) -> None:
    model = make()
    result, divisors = equalized(model, noise_images(1, 8, 8))
    assert divisors == {}
    assert result == model


def test_an_output_before_its_activation_is_left_alone() -> None:
    source = chain("Relu")
    model = network(list(source.graph.node)[2:], arrays(source), ("y", "a"))
    images = noise_images(1, 8, 8)
    result, _ = equalized(model, images)
    assert_same(model, result, images)


def test_a_bias_that_is_computed_does_no_harm() -> None:
    source = chain("Relu")
    nodes = [
        node("Mul", ["b", "two"], "bb"),
        node("Conv", ["pixels", "v", "bb"], "a", pads=[1, 1, 1, 1]),
        *list(source.graph.node)[3:],
    ]
    model = network(nodes, {**arrays(source), "two": np.array(2, np.float32)})
    images = noise_images(1, 8, 8)
    result, _ = equalized(model, images)
    assert_same(model, result, images)


def test_nodes_without_names() -> None:
    model = read_by_a_sum()
    for one in model.graph.node:
        one.name = ""
    name_convolutions(model)
    images = noise_images(1, 8, 8)
    result, divisors = equalized(model, images)
    assert divisors == {}
    assert result == model


def test_unused_channels_keep_one() -> None:
    model = chain("Relu")
    w = arrays(model)["w"].copy()
    w[:, 2] = 0
    onnx_constants(model)["w"].CopyFrom(numpy_helper.from_array(w, "w"))
    peak = np.array([0, 2, 30, 4, 5, 0.1], np.float32)  # the first never fires, the third is never read
    found = factors(model, {"r": peak})["r"]
    assert found[0] == found[2] == 1
    assert np.all(found[[1, 3, 4, 5]] != 1)
    nothing = factors(model, {"r": np.zeros(6, np.float32)})["r"]
    np.testing.assert_array_equal(nothing, np.ones(6))
    result = copy_of(model)
    equalize(result, {"r": found})
    assert_same(model, result, noise_images(1, 8, 8))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.one_of(st.just(0.0), st.floats(2.0**-126, 2.0**127, width=32)), min_size=6, max_size=6),
    st.sampled_from([1, 6]),
)
def test_factors_are_limited(peaks: list[float], group: int) -> None:
    model = chain("Relu", group)
    found = factors(model, {"r": np.array(peaks, np.float32)})["r"]
    assert found.dtype == np.float32
    assert np.all((found >= np.float32(1 / MAX_FACTOR)) & (found <= np.float32(MAX_FACTOR)))
    assert MAX_FACTOR == 1e3
    np.testing.assert_array_equal(found[np.array(peaks) == 0], 1)


def test_factors_as_a_calibration_file_has_them() -> None:
    """As lists of Python floats."""
    model = chain("LeakyRelu")
    images = noise_images(1, 8, 8)
    result, divisors = equalized(model, images)
    other = copy_of(model)
    equalize(other, {name: [float(value) for value in values] for name, values in divisors.items()})
    assert other.SerializeToString(deterministic=True) == result.SerializeToString(deterministic=True)


def test_the_default_model_computes_the_same() -> None:
    model = normalized(default_model(), "int8")
    images = noise_images(1, 96, 128)
    result, divisors = equalized(model, images)
    assert len(divisors) > 20
    for divisor in divisors.values():
        assert np.all((divisor >= np.float32(1e-3)) & (divisor <= np.float32(1e3)))
    assert_same(model, result, images)
    assert_same(model, result, noise_images(2, 65, 40, seed=1))
    assert result != model
    # Tensors that only a depthwise convolution reads have equal peaks, up to the limits and unused channels.
    before, after = peaks_of(model, images), peaks_of(result, images)
    checked = 0
    for link in links(model):
        groups = [a.i for reader in link.readers for a in reader.attribute if a.name == "group"]
        divisor = divisors[link.tensor]
        used = (before[link.tensor] > 0) & (divisor > 1.01e-3) & (divisor < 0.99e3) & (divisor != 1)
        if all(group > 1 for group in groups) and used.any():
            peak = after[link.tensor][used]
            np.testing.assert_allclose(peak, peak[0], rtol=1e-3)
            checked += 1
    assert checked > 5
