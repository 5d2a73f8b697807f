"""Equalization: brings the channels of an activation to similar ranges before they share one INT8 scale.

Between two convolutions with a positively homogeneous activation (ReLU, LeakyReLU, none) a channel can be
divided by any s > 0 in the first and multiplied by it in the second: the network computes the same.  Nagel
et al. 2019 ("Data-Free Quantization Through Weight Equalization and Bias Correction", equation 6) choose s by
the weights; Xiao et al. 2023 ("SmoothQuant", equation 4) by activations and weights,
s = max|X|^a / max|W|^(1-a), as here.  Weights have a scale for each output channel, so they take more of
the difference than activations, and those of a depthwise convolution take all of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine_build.onnx.graph import attribute, constants, readers
from engine_build.precision.quantize import convolutions

if TYPE_CHECKING:
    import onnx

MIGRATION = 0.75
"""Exponent a: the share of the difference between channels that goes into the weights."""

MAX_FACTOR = 1e3
"""Limit of a factor and of its inverse, so that nearly empty channels stay within FP16."""

HOMOGENEOUS = frozenset({"Relu", "LeakyRelu"})

Peaks = NDArray[np.float32]


class Link(NamedTuple):
    """A convolution whose output, after its activation, is read only by other convolutions."""

    source: onnx.NodeProto
    tensor: str
    readers: tuple[onnx.NodeProto, ...]

    def channels(self, model: onnx.ModelProto) -> int:
        """Return the number of channels."""
        return int(constants(model)[self.source.input[1]].dims[0])


def links(model: onnx.ModelProto) -> list[Link]:
    """Return the links whose channels can be rescaled: no other node shares their weights and biases."""
    read_by, stored = readers(model), constants(model)
    results = {value.name for value in model.graph.output}
    nodes = {node.name: node for node in convolutions(model)}
    found = []
    for source in nodes.values():
        passed = [source.output[0]]
        following = read_by.get(passed[-1], [])
        while len(following) == 1 and following[0].op_type in HOMOGENEOUS:
            passed.append(following[0].output[0])
            following = read_by.get(passed[-1], [])
        if not following or results.intersection(passed) or any(n.name not in nodes for n in following):
            continue
        touched = [*source.input[1:], *(node.input[1] for node in following)]
        alone = all(name in stored and len(read_by[name]) == 1 for name in touched)
        groups = [(attribute(node, "group", 1), stored[node.input[1]].dims[0]) for node in following]
        if alone and all(g in (1, n) for g, n in groups):
            found.append(Link(source, passed[-1], tuple(following)))
    return found


def factors(model: onnx.ModelProto, peaks: Mapping[str, Peaks]) -> dict[str, Peaks]:
    """Return the divisors of an FP32 model's links, float32 [C] by tensor; those of unused channels keep 1.

    ``peaks`` has the largest magnitude of each channel of each link's tensor, float32 [C].
    """
    found: dict[str, Peaks] = {}
    stored = constants(model)
    for link in links(model):
        reach = np.max([_reach(stored[node.input[1]], node) for node in link.readers], axis=0)
        depthwise = all(attribute(node, "group", 1) > 1 for node in link.readers)
        share = 1.0 if depthwise else MIGRATION
        peak = peaks[link.tensor].astype(np.float64)
        used = (peak > 0) & (reach > 0)
        log = np.zeros(len(peak))
        log[used] = share * np.log(peak[used]) - (1 - share) * np.log(reach[used])
        if used.any():
            log[used] -= log[used].mean()
        found[link.tensor] = np.clip(np.exp(log), 1 / MAX_FACTOR, MAX_FACTOR).astype(np.float32)
    return found


def equalize(model: onnx.ModelProto, divisors: Mapping[str, Sequence[float] | Peaks]) -> None:
    """Divide channels by the result of `factors` and multiply the weights that read them, in place."""
    from onnx import numpy_helper

    stored = constants(model)
    values: dict[str, NDArray[np.float32]] = {}

    def scale(name: str, by: NDArray[np.floating]) -> None:
        value = values[name] if name in values else numpy_helper.to_array(stored[name])
        values[name] = (value * by).astype(np.float32)

    for link in links(model):
        s = np.asarray(divisors[link.tensor], np.float32)
        scale(link.source.input[1], 1 / s.reshape(-1, 1, 1, 1))
        for bias in link.source.input[2:]:
            scale(bias, 1 / s)
        for node in link.readers:
            shape = (-1, 1, 1, 1) if attribute(node, "group", 1) > 1 else (1, -1, 1, 1)
            scale(node.input[1], s.reshape(shape))
    for name, value in values.items():
        stored[name].CopyFrom(numpy_helper.from_array(value, name))


def _reach(weight: onnx.TensorProto, node: onnx.NodeProto) -> NDArray[np.float32]:
    """Return the largest magnitude of the weights of each input channel."""
    from onnx import numpy_helper

    axes = (1, 2, 3) if attribute(node, "group", 1) > 1 else (0, 2, 3)
    reach: NDArray[np.float32] = np.abs(numpy_helper.to_array(weight)).max(axis=axes)
    return reach
