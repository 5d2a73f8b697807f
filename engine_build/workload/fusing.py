"""Which operators become one layer, and which maps a layer has to read and write.

The rules take every fusion for granted that some runtime does, so that what is counted is the least:

- Products (`PRODUCTS`) and operators that gather numbers from all over a map (`MOVERS`) are layers.
- What works element by element is done by the layer before it, on the way out; with several inputs by the
  latest of the layers before it, which has to read what the others wrote.
- What changes the shape, layout or type alone (`VIEWS`) is free: the map is written as its reader wants it.
- A concatenation is in place: every layer before it writes its own part.
- What is done to the picture before any layer is done by the first layer, which reads the picture's bytes.
- What is computed twice from the same inputs (RetinaFace's context does so) is computed once.

A normalization could go further and collect its sums while the layer before it writes; that is not assumed:
it is a layer that reads its map once and writes it once.  An operator in none of the lists, of whatever
domain, is taken to work element by element, which keeps the bound a bound.
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

PICTURE = -1
"""The owner of the network's input."""


@dataclass(frozen=True)
class Piece:
    """A map in memory, or what would be one if nobody fused it away.

    Attributes:
        owner: Number of the layer that writes it, or `PICTURE`.
        tensor: The tensor it first was.
        part: Its number where the tensor has several pieces, being a concatenation.
        elements: Its size.
    """

    owner: int
    tensor: str
    part: int
    elements: int


@dataclass
class Fused:
    """A layer with all that is done in it.

    Attributes:
        node: The operator that makes it a layer.
        names: Names of its nodes and of what they compute.
        stored: Stored tensors that its operator reads.
        edges: Tensors it reads that come from elsewhere.
    """

    node: onnx.NodeProto
    names: set[str] = field(default_factory=set)
    stored: set[str] = field(default_factory=set)
    edges: set[str] = field(default_factory=set)


class Fusing:
    """A graph as layers.

    Args:
        graph: Sorted, as ONNX asks for.
        known: Its tensors.

    Attributes:
        layers: In order.
        results: The pieces that the graph's outputs consist of.
    """

    def __init__(self, graph: onnx.GraphProto, known: Tensors) -> None:
        self._known = known
        self._pieces: dict[str, tuple[Piece, ...]] = {
            INPUT: (Piece(PICTURE, INPUT, 0, known.elements(INPUT)),)
        }
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
        self.results = {
            piece
            for value in graph.output
            if value.name in self._pieces
            for piece in self._pieces[value.name]
        }

    def read(self, number: int) -> dict[Piece, int]:
        """The pieces a layer reads from memory, with the elements it needs of each, once."""
        needed: dict[Piece, int] = {}
        for edge in self.layers[number].edges:
            pieces = [piece for piece in self._pieces[edge] if piece.owner != number]
            whole = sum(piece.elements for piece in self._pieces[edge])
            wanted = min(whole, self._known.elements(edge))  # less than the whole after a slice
            for piece in pieces:
                needed[piece] = needed.get(piece, 0) + piece.elements * wanted // max(whole, 1)
        return {piece: min(elements, piece.elements) for piece, elements in needed.items()}

    def written(self) -> dict[int, set[Piece]]:
        """The pieces each layer writes to memory: those that others read, and the network's outputs."""
        wanted = self.results.union(*(self.read(number) for number in range(len(self.layers))))
        return {
            number: {piece for piece in wanted if piece.owner == number} for number in range(len(self.layers))
        }

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
        """A node that computes what another one did: its outputs are that one's."""
        for out, first in zip(node.output, same.output):
            self._first[out] = self._first.get(first, first)
            self._pieces[out] = self._pieces[first]
        self._note(node, self._pieces[same.output[0]])

    def _of(self, name: str) -> tuple[Piece, ...]:
        return self._pieces.get(name, ())

    def _begin(self, node: onnx.NodeProto, data: list[str]) -> None:
        """A new layer."""
        number = len(self.layers)
        stored = {name for name in node.input if name in self._known.stored}
        self.layers.append(Fused(node, stored=stored, edges=set(data)))
        if self._before and any(piece.owner == PICTURE for name in data for piece in self._pieces[name]):
            self.layers[number].names |= self._before
            self._before = set()
        self._own(node, number)

    def _rework(self, node: onnx.NodeProto, name: str) -> None:
        """One input: every layer before it does its part of the work."""
        pieces = self._pieces[name]
        whole = max(sum(piece.elements for piece in pieces), 1)
        for out in filter(None, node.output):
            size = self._known.elements(out)  # another one after a slice
            self._pieces[out] = tuple(
                piece
                if piece.owner == PICTURE
                else Piece(piece.owner, out, part, piece.elements * size // whole)
                for part, piece in enumerate(pieces)
            )
        self._note(node, pieces)

    def _combine(self, node: onnx.NodeProto, data: list[str]) -> None:
        """Several inputs: the latest layer before them does the work."""
        latest = max(piece.owner for name in data for piece in self._pieces[name])
        if latest == PICTURE:
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
        """Remember whose work a node is, where it is that of one layer."""
        owners = {piece.owner for piece in pieces}
        names = {name for name in (node.name, *node.output) if name}
        if owners == {PICTURE}:
            self._before |= names
        elif len(owners) == 1:
            self.layers[owners.pop()].names |= names
