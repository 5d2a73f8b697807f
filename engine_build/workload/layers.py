"""The work of each layer of a network: operations, and bytes from and to memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from engine_build.onnx import contract
from engine_build.onnx.graph import attribute
from engine_build.precision import Precision
from engine_build.workload.fusing import PICTURE, PRODUCTS, Fusing, Piece
from engine_build.workload.shapes import Tensors, tensors
from trt_mogface._optional import require
from trt_mogface.backends.onnxruntime import read_spec
from trt_mogface.errors import ModelError, UsageError

if TYPE_CHECKING:
    import onnx

BYTES: dict[Precision, int] = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1, "fp8": 1}
"""Bytes an element of weights and maps.  INT8 and FP8 engines keep maps that no convolution reads in FP16,
which is not counted, so that the bound stays one."""

PICTURE_BYTES, RESULT_BYTES = 1, 4
"""The contract's input is uint8 and its outputs are float32, whatever is between them."""


@dataclass(frozen=True)
class Layer:
    """The least work of a layer at one input size, batch and precision.

    Attributes:
        name: Of its node in the file, or ``Kind:output`` where that has none or shares it.
        kind: The node's operator.
        operations: Two for each multiply-add of a direct computation, padding included; 0 where the layer is
            no product but moves data.
        read_bytes: Weights once, and the maps of the whole batch.
        written_bytes: What other layers or the caller read.
        names: Names of the nodes in it and of the tensors they compute; profilers use either.
    """

    name: str
    kind: str
    operations: int
    read_bytes: int
    written_bytes: int
    names: frozenset[str] = frozenset()

    @property
    def bytes_moved(self) -> int:
        """Read and written."""
        return self.read_bytes + self.written_bytes

    @property
    def intensity(self) -> float:
        """Operations a byte."""
        return self.operations / self.bytes_moved if self.bytes_moved else math.inf


def layers_of(path: Path, *, batch: int, height: int, width: int, precision: Precision) -> list[Layer]:
    """The layers of a contract ONNX file, in its order; `fusing` says what makes a layer.

    Args:
        path: Of any precision: what it computes is counted as if in ``precision``.
        batch: Pictures at once.
        height, width: Of the network's input, in pixels.
        precision: Of weights and maps.

    Raises:
        ModelError: Not a contract file, nothing in it to count, or a size it cannot take.
        UsageError: An impossible batch, size or precision.
        MissingExtraError: onnx is not installed.
    """
    if min(batch, height, width) < 1:
        raise UsageError(f"batch {batch} of {width}x{height}: use at least one picture of one pixel")
    if precision not in BYTES:
        raise UsageError(f"no such precision: {precision} ({', '.join(get_args(Precision))})")
    model = load(path)
    try:
        known = tensors(model, (batch, height, width, 3))
        found = Fusing(model.graph, known)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    if not any(fused.node.op_type in PRODUCTS for fused in found.layers):
        raise ModelError(f"{path}: no convolution or matrix product in it to count")
    return _counted(found, known, BYTES[precision])


def load(path: Path) -> onnx.ModelProto:
    """A contract file's model, flat, and with a name of its own for every node.

    Functions of the file, such as those of Winograd convolutions, become the nodes they stand for.

    Raises:
        ModelError: Not a contract file.
        MissingExtraError: onnx is not installed.
    """
    require("onnx", extra="bench")
    read_spec(path)
    model = contract.load(path)
    if model.functions:
        from onnx.inliner import inline_local_functions

        model = inline_local_functions(model)
    taken: set[str] = set()
    for node in model.graph.node:
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}:{node.output[0]}"
        taken.add(node.name)
    return model


def _counted(found: Fusing, known: Tensors, size: int) -> list[Layer]:
    def bytes_of(piece: Piece, elements: int) -> int:
        if piece.owner == PICTURE:
            return elements * PICTURE_BYTES
        return elements * (RESULT_BYTES if piece in found.results else size)

    written = found.written()
    counted = []
    for number, fused in enumerate(found.layers):
        is_product = fused.node.op_type in PRODUCTS
        weights = sum(map(known.elements, fused.stored)) if is_product else 0
        maps = sum(bytes_of(piece, elements) for piece, elements in found.read(number).items())
        counted.append(
            Layer(
                name=fused.node.name,
                kind=fused.node.op_type,
                operations=2 * multiply_adds(fused.node, known) if is_product else 0,
                read_bytes=weights * size + maps,
                written_bytes=sum(bytes_of(piece, piece.elements) for piece in written[number]),
                names=frozenset(fused.names),
            )
        )
    return counted


def multiply_adds(node: onnx.NodeProto, known: Tensors) -> int:
    """Multiply-adds of one of `PRODUCTS`, computed directly.

    Args:
        node: Of the graph.
        known: Its tensors.
    """
    first, second = (known.shapes[name] for name in node.input[:2])
    if node.op_type == "Conv":  # weight [K, C / group, *kernel]: so many products make each output
        return known.elements(node.output[0]) * math.prod(second[1:])
    if node.op_type == "ConvTranspose":  # weight [C, K / group, *kernel]: each input goes into so many
        return math.prod(first) * math.prod(second[1:])
    inner = first[0] if node.op_type == "Gemm" and attribute(node, "transA", 0) else first[-1]
    return known.elements(node.output[0]) * inner
