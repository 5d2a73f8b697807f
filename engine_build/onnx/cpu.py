"""A contract model made faster for CPUs, at the price of size; ONNX Runtime alone gains from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine_build.onnx import pixels, winograd
from engine_build.onnx.graph import without_dead_ends

if TYPE_CHECKING:
    import onnx


def for_cpu(model: onnx.ModelProto) -> None:
    """Compute wide shared convolutions by Winograd's algorithm and pass over the picture less, in place.

    Results stay the same up to float32 rounding.  Not for FP16: the first convolution's weights get tiny.
    """
    pixels.transpose_first(model)
    _scale_into_first_convolution(model)
    winograd.apply(model)
    without_dead_ends(model)


def _scale_into_first_convolution(model: onnx.ModelProto) -> None:
    """Let the convolution's weights do what a multiplication of its input by constants did."""
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    scales = {node.output[0]: node for node in model.graph.node if node.op_type == "Mul"}
    for node in model.graph.node:
        if node.op_type != "Conv":
            continue
        scale = scales.get(node.input[0])
        if scale is None or scale.input[1] not in constants or node.input[1] not in constants:
            return
        factors = numpy_helper.to_array(constants[scale.input[1]])
        weight = constants[node.input[1]]
        if factors.shape != (1, weight.dims[1], 1, 1):
            return
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * factors, weight.name))
        node.input[0] = scale.input[0]
        return
