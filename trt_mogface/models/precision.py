"""Precisions of a network, and the one that an ONNX file computes in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from trt_mogface.models.onnx_file import Node, read_nodes

Precision = Literal["fp32", "fp16", "bf16", "int8", "fp8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

TYPES: dict[int, Precision] = {
    **dict.fromkeys((1, 11), "fp32"),
    **dict.fromkeys((2, 3), "int8"),
    10: "fp16",
    16: "bf16",
    **dict.fromkeys((17, 18, 19, 20), "fp8"),
}
"""Precision by number of ``TensorProto.DataType``."""

WEIGHT = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1, "ConvInteger": 1, "QLinearConv": 3}
"""Operators with weights, and the position of the weight among the inputs."""

MOVES = frozenset({"Identity", "DequantizeLinear", "Reshape", "Transpose", "Squeeze", "Unsqueeze"})
"""Operators behind which a weight counts in the type in front of them."""


LOWEST_FIRST: tuple[Precision, ...] = ("fp8", "int8", "bf16", "fp16", "fp32")


def read_precision(path: Path) -> Precision:
    """Return the lowest precision in which an ONNX file computes a product; FP32 if it has none.

    Raises:
        ModelError: If the file is missing or not ONNX.
    """
    found = read_precisions(path).values()
    return next((each for each in LOWEST_FIRST if each in found), "fp32")


def read_precisions(path: Path) -> dict[str, Precision]:
    """Return the precision of each convolution or other product of an ONNX file by the name of its output.

    It is the type of the weight, of a dequantized one in front of the ``DequantizeLinear``.  Products of two
    activations are left out.

    Raises:
        ModelError: If the file is missing or not ONNX.
    """
    return _precisions(*read_nodes(path))


def _precisions(nodes: Sequence[Node], stored: Mapping[str, int]) -> dict[str, Precision]:
    types = dict(stored)
    found: dict[str, Precision] = {}
    for node in nodes:
        if not node.outputs:
            continue
        if node.kind in WEIGHT and WEIGHT[node.kind] < len(node.inputs):
            kind = TYPES.get(types.get(node.inputs[WEIGHT[node.kind]], 0))
            if kind is not None:
                found[node.outputs[0]] = kind
        elif node.type is not None:  # a constant, or a cast
            types[node.outputs[0]] = node.type
        elif node.kind == "QuantizeLinear":  # UINT8 without a zero point
            types[node.outputs[0]] = types.get(node.inputs[2], 0) if len(node.inputs) > 2 else 2
        elif node.kind in MOVES and node.inputs and node.inputs[0] in types:
            types[node.outputs[0]] = types[node.inputs[0]]
    return found
