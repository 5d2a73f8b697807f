"""Work of each layer of a network: operations, and bytes from and to memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine_build.onnx import contract
from engine_build.precision import PRECISIONS, Precision
from engine_build.workload.convolutions import multiply_adds
from engine_build.workload.fusing import IMAGE, PRODUCTS, Fusing, Piece
from engine_build.workload.shapes import Tensors, tensors
from trt_mogface._optional import require
from trt_mogface.backends.onnxruntime import read_spec
from trt_mogface.errors import ArgumentError, ModelError

if TYPE_CHECKING:
    import onnx

BYTES: dict[Precision, int] = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1, "fp8": 1}
"""Bytes per element of weights and maps.  INT8 and FP8 engines keep maps that no convolution reads in FP16,
which is not counted, so that the result stays a lower bound."""

IMAGE_BYTES, RESULT_BYTES = 1, 4
"""Bytes per element of the contract's input, uint8, and of its outputs, float32."""


@dataclass(frozen=True)
class Layer:
    """Least work of a layer at one input size, batch and precision.

    Attributes:
        name: Name of the node, or ``Kind:output`` if it has none or shares it.
        kind: Operator of the node.
        operations: Two for each multiply-add of a direct computation, padding included; 0 for a layer that
            moves data.
        read_bytes: Bytes read: weights once, and the maps of the whole batch.
        written_bytes: Bytes written: maps that other layers or the caller read.
        names: Names of the fused nodes and of the tensors they compute; profilers use either.
    """

    name: str
    kind: str
    operations: int
    read_bytes: int
    written_bytes: int
    names: frozenset[str] = frozenset()

    @property
    def bytes_moved(self) -> int:
        """Bytes read and written."""
        return self.read_bytes + self.written_bytes

    @property
    def intensity(self) -> float:
        """Operations per byte."""
        return self.operations / self.bytes_moved if self.bytes_moved else math.inf


def layers_of(path: Path, *, batch: int, height: int, width: int, precision: Precision) -> list[Layer]:
    """Return the layers of a contract ONNX file; `engine_build.workload.fusing` defines a layer.

    The file may be of any precision; it is counted as if in ``precision``.

    Raises:
        ModelError: If the file is not a contract file, has no products, or does not accept the size.
        ArgumentError: If batch, size or precision is impossible.
        MissingExtraError: If onnx is not installed.
    """
    for name, value in (("batch", batch), ("height", height), ("width", width)):
        if value < 1:
            raise ArgumentError(name, "must be at least 1", value)
    if precision not in BYTES:
        raise ArgumentError(
            "precision", f"unknown precision (choose from {', '.join(PRECISIONS)})", precision
        )
    model = load(path)
    try:
        known = tensors(model, (batch, height, width, 3))
        found = Fusing(model.graph, known)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    if not any(fused.node.op_type in PRODUCTS for fused in found.layers):
        raise ModelError(f"{path}: no convolution or matrix product to count")
    return _counted(found, known, BYTES[precision])


def load(path: Path) -> onnx.ModelProto:
    """Read a contract file's model, with functions inlined and a unique name for every node."""
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
        if piece.owner == IMAGE:
            return elements * IMAGE_BYTES
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
                written_bytes=sum(
                    bytes_of(piece, piece.elements) for piece in written if piece.owner == number
                ),
                names=frozenset(fused.names),
            )
        )
    return counted
