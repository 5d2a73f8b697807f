"""Fusion of operators into layers, and the maps that a layer has to read and write.

The rules assume every fusion that some runtime performs, so that the count is a lower bound:

- Products (`PRODUCTS`) and operators that gather values from all over a map (`MOVERS`) are layers.
- An elementwise operator is done by the layer before it, on its output; with several inputs by the latest of
  the layers before it, which has to read what the others wrote.
- A change of shape, layout or type (`VIEWS`) is free: the map is written as its reader wants it.
- A concatenation is in place: every layer before it writes its own part.
- Operators on the image before any layer are done by the first layer, which reads the image's bytes.
- A result that is computed twice from the same inputs (as in RetinaFace's context) is computed once.

A normalization could also collect its sums while the layer before it writes.  That is not assumed: it is a
layer that reads its map once and writes it once.  An operator in none of the lists, of whatever domain,
counts as elementwise, which keeps the count a lower bound.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine_build.workload.shapes import Tensors
from trt_mogface.spec import INPUT

if TYPE_CHECKING:
    import onnx

PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})

MOVERS = frozenset(
    (
        *("InstanceNormalization", "GroupNormalization", "LayerNormalization", "LpNormalization"),
        *("MeanVarianceNormalization", "MaxPool", "AveragePool", "LpPool", "GlobalMaxPool"),
        *("GlobalAveragePool", "GlobalLpPool", "Resize", "Upsample", "GridSample", "Softmax", "LogSoftmax"),
        *("Hardmax", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1"),
        *("ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare", "ArgMax", "ArgMin", "TopK"),
    )
)

VIEWS = frozenset(
    (
        *("Identity", "Dropout", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Split"),
        *("Gather", "Pad", "Expand", "Tile", "DepthToSpace", "SpaceToDepth", "Cast"),
        *("QuantizeLinear", "DequantizeLinear"),
    )
)

IMAGE = -1
"""Owner of the network's input."""


@dataclass(frozen=True)
class Piece:
    """A map in memory, unless it is fused away.

    Attributes:
        owner: Number of the layer that writes the map, or `IMAGE`.
        tensor: Tensor that the map is a piece of.
        part: Number of the piece, for a concatenation; else 0.
        elements: Number of elements.
    """

    owner: int
    tensor: str
    part: int
    elements: int


@dataclass
class Fused:
    """A layer with the operators fused into it.

    Attributes:
        node: Operator that begins the layer.
        names: Names of the layer's nodes and of the tensors they compute.
        stored: Stored tensors that the operator reads.
        edges: Tensors of other layers that this one reads.
    """

    node: onnx.NodeProto
    names: set[str] = field(default_factory=set)
    stored: set[str] = field(default_factory=set)
    edges: set[str] = field(default_factory=set)


class Fusing:
    """A graph as layers; its nodes are sorted, as ONNX requires.

    Attributes:
        layers: Layers in the order of the graph.
        results: Pieces that the graph's outputs consist of.
    """

    def __init__(self, graph: onnx.GraphProto, known: Tensors) -> None:
        self._known = known
        self._pieces: dict[str, tuple[Piece, ...]] = {INPUT: (Piece(IMAGE, INPUT, 0, known.elements(INPUT)),)}
        self._before: set[str] = set()
        self._first: dict[str, str] = {}
        self.layers: list[Fused] = []
        seen: dict[tuple[object, ...], onnx.NodeProto] = {}
        for node in graph.node:
            if node.output[0] in known.stored:  # weights on their way, and arithmetic on shapes
                continue
            inputs = tuple(self._first.get(name, name) for name in node.input)
            data = [name for name in dict.fromkeys(inputs) if name in self._pieces]
            settings = sorted(entry.SerializeToString(deterministic=True) for entry in node.attribute)
            same = seen.setdefault((node.domain, node.op_type, inputs, *settings), node)
            if same is not node and len(same.output) == len(node.output):
                self._repeat(node, same)
            else:
                self._add(node, data)
        self.results = {piece for value in graph.output for piece in self._of(value.name)}

    def read(self, number: int) -> dict[Piece, int]:
        """Return the pieces that a layer reads from memory, with the number of elements it needs of each."""
        needed: dict[Piece, int] = {}
        for edge in self.layers[number].edges:
            whole = sum(piece.elements for piece in self._pieces[edge])
            wanted = min(whole, self._known.elements(edge))  # less than the whole after a slice
            for piece in self._pieces[edge]:
                if piece.owner != number:
                    needed[piece] = needed.get(piece, 0) + piece.elements * wanted // max(whole, 1)
        return {piece: min(elements, piece.elements) for piece, elements in needed.items()}

    def written(self) -> set[Piece]:
        """Return the pieces that are written to memory: for other layers, and the network's outputs."""
        return self.results.union(*(self.read(number) for number in range(len(self.layers))))

    def _add(self, node: onnx.NodeProto, data: list[str]) -> None:
        if node.op_type in PRODUCTS | MOVERS:
            self._begin(node, data)
        elif node.op_type == "Concat":
            names = (self._first.get(name, name) for name in node.input)
            self._pieces[node.output[0]] = tuple(piece for name in names for piece in self._of(name))
        elif node.op_type in VIEWS:
            for out in node.output:
                self._pieces[out] = self._pieces[data[0]]
            self._note(node, self._pieces[data[0]])
        elif len(data) == 1:
            self._rework(node, data[0])
        else:
            self._combine(node, data)

    def _repeat(self, node: onnx.NodeProto, same: onnx.NodeProto) -> None:
        """Give a node that repeats another one's computation that one's outputs."""
        for out, first in zip(node.output, same.output):
            self._first[out] = self._first.get(first, first)
            self._pieces[out] = self._pieces[first]
        self._note(node, self._pieces[same.output[0]])

    def _of(self, name: str) -> tuple[Piece, ...]:
        return self._pieces.get(name, ())

    def _begin(self, node: onnx.NodeProto, data: list[str]) -> None:
        """Begin a layer."""
        number = len(self.layers)
        stored = {name for name in node.input if name in self._known.stored}
        self.layers.append(Fused(node, stored=stored, edges=set(data)))
        if self._before and any(piece.owner == IMAGE for name in data for piece in self._pieces[name]):
            self.layers[number].names |= self._before
            self._before = set()
        self._own(node, number)

    def _rework(self, node: onnx.NodeProto, name: str) -> None:
        """Fuse a node with one input into every layer that writes a part of the input."""
        pieces = self._pieces[name]
        whole = max(sum(piece.elements for piece in pieces), 1)
        for out in filter(None, node.output):
            size = self._known.elements(out)  # differs after a slice
            self._pieces[out] = tuple(
                piece
                if piece.owner == IMAGE
                else Piece(piece.owner, out, part, piece.elements * size // whole)
                for part, piece in enumerate(pieces)
            )
        self._note(node, pieces)

    def _combine(self, node: onnx.NodeProto, data: list[str]) -> None:
        """Fuse a node with several inputs into the latest layer that writes one of them."""
        latest = max(piece.owner for name in data for piece in self._pieces[name])
        if latest == IMAGE:
            pieces = tuple({piece: None for name in data for piece in self._pieces[name]})
            self._pieces.update(dict.fromkeys(node.output, pieces))
            self._note(node, pieces)
            return
        self.layers[latest].edges.update(
            name for name in data if any(piece.owner != latest for piece in self._pieces[name])
        )
        self._own(node, latest)

    def _own(self, node: onnx.NodeProto, number: int) -> None:
        for out in filter(None, node.output):
            self._pieces[out] = (Piece(number, out, 0, self._known.elements(out)),)
        self._note(node, self._pieces[node.output[0]])

    def _note(self, node: onnx.NodeProto, pieces: tuple[Piece, ...]) -> None:
        """Note a node as part of its layer, if it belongs to one only."""
        owners = {piece.owner for piece in pieces}
        names = {name for name in (node.name, *node.output) if name}
        if owners == {IMAGE}:
            self._before |= names
        elif len(owners) == 1:
            self.layers[owners.pop()].names |= names
