"""Correction of biases for the mean error of quantization.

Rounding and clipping move the mean of a convolution's output.  Nagel et al. 2019 ("Data-Free
Quantization Through Weight Equalization and Bias Correction", section 4.2) subtract that shift from the bias.
Here each convolution is corrected only for its own error, from the means of its input before and after
quantization, so that one correction does not depend on another; borders, where padding takes part, are
neglected.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine_build.onnx.graph import attribute, constants
from engine_build.precision.quantize import convolutions, quantized_weight

if TYPE_CHECKING:
    import onnx

Means = Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
"""Mean of each channel before and after quantization, float64 [C] by name of the activation."""


def corrections(model: onnx.ModelProto, means: Means) -> dict[str, NDArray[np.float64]]:
    """Return the addition to the bias of each convolution, float64 [K] by its name.

    The model is FP32 and equalized; ``means`` has all inputs of convolutions, for INT8.
    """
    from onnx import numpy_helper

    stored = constants(model)
    found = {}
    for node in convolutions(model):
        if len(node.input) < 3:
            continue
        before, after = means[node.input[0]]
        weight = numpy_helper.to_array(stored[node.input[1]])
        steps, scale = quantized_weight(weight, "int8")
        rounded = steps.astype(np.float64) * scale.reshape(-1, 1, 1, 1)
        found[node.name] = _of_means(weight, before, node) - _of_means(rounded, after, node)
    return found


def most_correction(model: onnx.ModelProto, largest: Mapping[str, float]) -> dict[str, NDArray[np.float64]]:
    """Return limits of the magnitudes of `corrections`, whatever the images: float64 [K] by convolution.

    The model is FP32 and equalized; ``largest`` has the largest magnitude of each input of a convolution.
    """
    from onnx import numpy_helper

    stored = constants(model)
    found = {}
    for node in convolutions(model):
        if len(node.input) < 3:
            continue
        weight = numpy_helper.to_array(stored[node.input[1]])
        steps, scale = quantized_weight(weight, "int8")
        rounded = np.abs(steps).sum(axis=(1, 2, 3), dtype=np.float64) * scale
        exact = np.abs(weight).sum(axis=(1, 2, 3), dtype=np.float64)
        found[node.name] = largest[node.input[0]] * (exact + rounded)
    return found


def correct_biases(
    model: onnx.ModelProto, additions: Mapping[str, Sequence[float]], nodes: Collection[str]
) -> None:
    """Correct the biases of the convolutions of these names by the result of `corrections`, in place.

    A bias that several of them share is corrected by the mean of their corrections.
    """
    from onnx import numpy_helper

    stored = constants(model)
    by_bias = defaultdict(list)
    for node in convolutions(model):
        if node.name in nodes and node.name in additions and node.input[2] in stored:
            by_bias[node.input[2]].append(np.asarray(additions[node.name]))
    for name, shares in by_bias.items():
        value = numpy_helper.to_array(stored[name]) + np.mean(shares, axis=0)
        stored[name].CopyFrom(numpy_helper.from_array(value.astype(np.float32), name))


def _of_means(
    weight: NDArray[np.floating], means: NDArray[np.float64], node: onnx.NodeProto
) -> NDArray[np.float64]:
    """Return a convolution's output for an input that equals its mean everywhere."""
    groups = attribute(node, "group", 1)
    per_group = means.reshape(groups, 1, -1)
    sums = weight.astype(np.float64).sum(axis=(2, 3)).reshape(groups, -1, weight.shape[1])
    result: NDArray[np.float64] = (sums * per_group).sum(axis=2).ravel()
    return result
