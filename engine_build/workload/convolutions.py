"""Multiply-adds of convolutions and matrix products."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from engine_build.onnx.graph import attribute
from engine_build.workload.shapes import Tensors, tensors

if TYPE_CHECKING:
    import onnx

SIDE = 128
"""Side of the image that is counted on; shares hold for any image whose sides are multiples of it."""


def work_by_convolution(model: onnx.ModelProto, side: int = SIDE) -> dict[str, int]:
    """Count the multiply-adds of each convolution, by name, for a square image.

    The model may be in any precision; only convolutions with constant weights count.
    """
    known = tensors(model, (1, side, side, 3))
    nodes = (node for node in model.graph.node if node.op_type == "Conv" and node.input[1] in known.stored)
    return {node.name: multiply_adds(node, known) for node in nodes}


def multiply_adds(node: onnx.NodeProto, known: Tensors) -> int:
    """Count the multiply-adds of one of `engine_build.workload.fusing.PRODUCTS`, computed directly."""
    first, second = (known.shapes[name] for name in node.input[:2])
    if node.op_type == "Conv":  # weight [K, C / group, *kernel]: products of each output
        return known.elements(node.output[0]) * math.prod(second[1:])
    if node.op_type == "ConvTranspose":  # weight [C, K / group, *kernel]: outputs that each input adds to
        return math.prod(first) * math.prod(second[1:])
    inner = first[0] if node.op_type == "Gemm" and attribute(node, "transA", 0) else first[-1]
    return known.elements(node.output[0]) * inner
