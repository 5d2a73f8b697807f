"""The maps in which the head of another's detector ends: those of its last convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine_build.onnx.graph import constants, readers, rename_tensor

if TYPE_CHECKING:
    import onnx

Values = NDArray[Any]

CONVOLUTIONS = ("Conv", "ConvTranspose")
ARITHMETIC = ("Add", "Sub", "Mul", "Div")
SMALLEST_STRIDE = 4


def head_maps(model: onnx.ModelProto) -> list[str]:
    """Return the outputs of the convolutions that no other convolution depends on.

    What scales or shifts their channels, such as a learned scale or a batch normalization, is folded into
    the convolutions, in place.
    """
    followed: set[str] = set()
    ends = []
    for node in reversed(model.graph.node):  # an ONNX graph is sorted
        behind = followed.intersection(node.output)
        if node.op_type in CONVOLUTIONS and not behind:
            ends.append(node)
        if node.op_type in CONVOLUTIONS or behind:
            followed.update(node.input)
    return [_fold(model, node) for node in reversed(ends)]


def _fold(model: onnx.ModelProto, convolution: onnx.NodeProto) -> str:
    """Fold the affine behind a convolution into it, in place; return the tensor that it then writes."""
    from onnx import numpy_helper

    stored, read_by = constants(model), readers(model)
    weights = [stored.get(name) for name in convolution.input[1:]]
    if convolution.op_type != "Conv" or not weights or any(each is None for each in weights):
        return str(convolution.output[0])
    weight, *biases = (numpy_helper.to_array(each) for each in weights if each is not None)
    channels = len(weight)
    factor, shift = np.ones(channels), biases[0].astype(float) if biases else np.zeros(channels)
    tensor = end = convolution.output[0]
    while len(following := read_by.get(end, [])) == 1:
        affine = _affine(
            following[0],
            end,
            channels,
            {name: numpy_helper.to_array(stored[name]) for name in following[0].input if name in stored},
        )
        if affine is None:
            break
        factor, shift = factor * affine[0], shift * affine[0] + affine[1]
        end = following[0].output[0]
    if end == tensor:
        return str(tensor)
    rows = (weight.T * factor).T.astype(weight.dtype)
    convolution.input[1:] = [f"{end}_folded_weight", f"{end}_folded_bias"]
    for name, values in zip(convolution.input[1:], (rows, shift.astype(weight.dtype))):
        model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
    for node in [node for node in model.graph.node if end in node.output]:
        model.graph.node.remove(node)
    rename_tensor(model, tensor, end)
    return str(end)


def _affine(
    node: onnx.NodeProto, tensor: str, channels: int, stored: dict[str, Values]
) -> tuple[Values, Values] | None:
    """Return factor and shift of each channel, [channels] each, that a node applies to a map, if it does."""
    if node.op_type == "BatchNormalization":
        if not stored.keys() >= set(node.input[1:]):
            return None
        scale, bias, mean, variance = (stored[name].astype(float) for name in node.input[1:])
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
        factor = scale / np.sqrt(variance + epsilon)
        return factor, bias - mean * factor
    if node.op_type not in ARITHMETIC or len(stored) != 1:
        return None
    (operand,) = stored.values()
    if operand.ndim > 4:
        return None
    values: Values = operand.reshape((1,) * (4 - operand.ndim) + operand.shape).astype(float)
    if values.shape[0] != 1 or values.shape[1] not in (1, channels) or values.shape[2:] != (1, 1):
        return None
    values, ones = np.broadcast_to(values.reshape(-1), channels), np.ones(channels)
    is_first = node.input[0] == tensor
    if node.op_type == "Add":
        return ones, values
    if node.op_type == "Sub":
        return (ones, -values) if is_first else (-ones, values)
    if node.op_type == "Div" and (not is_first or not values.all()):
        return None
    factor = 1 / values if node.op_type == "Div" else values
    return None if _is_stride(factor) else (factor, np.zeros(channels))


def _is_stride(factor: Values) -> bool:
    """Return whether a factor turns strides into pixels, which is decoding and no part of the network."""
    one = float(factor[0])
    return bool((factor == one).all()) and one >= SMALLEST_STRIDE and np.log2(one).is_integer()
