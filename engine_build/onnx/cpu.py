"""Speed-ups of a contract model for ONNX Runtime on CPUs, at the price of size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine_build.onnx import pixels, winograd
from engine_build.onnx.graph import constants, without_dead_ends

if TYPE_CHECKING:
    import onnx


def for_cpu(model: onnx.ModelProto) -> None:
    """Compute wide shared convolutions by Winograd's algorithm and read the image fewer times, in place.

    Results stay the same up to float32 rounding.  The model is unfit for FP16, because the weights of the
    first convolution become tiny.
    """
    pixels.transpose_first(model)
    _scale_into_first_convolution(model)
    winograd.apply(model)
    without_dead_ends(model)


def _scale_into_first_convolution(model: onnx.ModelProto) -> None:
    """Multiply the first convolution's weights by the constants that its input was multiplied by."""
    from onnx import numpy_helper

    stored = constants(model)
    scales = {node.output[0]: node for node in model.graph.node if node.op_type == "Mul"}
    for node in model.graph.node:
        if node.op_type != "Conv":
            continue
        scale = scales.get(node.input[0])
        if scale is None or scale.input[1] not in stored or node.input[1] not in stored:
            return
        factors = numpy_helper.to_array(stored[scale.input[1]])
        weight = stored[node.input[1]]
        if factors.shape != (1, weight.dims[1], 1, 1):
            return
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * factors, weight.name))
        node.input[0] = scale.input[0]
        return
