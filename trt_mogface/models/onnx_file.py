"""Metadata, inputs, outputs and nodes of an ONNX file, read without its weights and without the package onnx.

A small reader of the protobuf wire format, because ONNX Runtime answers only once it has loaded all weights.
Field numbers are those of onnx.proto3.
"""

from __future__ import annotations

import mmap
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from trt_mogface.errors import ModelError

T = TypeVar("T")

MAX_FIELDS = 1 << 20
"""Number of fields beyond which a file is a mistake or an attack: a network has some thousands of nodes."""


class Tensor(NamedTuple):
    """Element type, a number of ``TensorProto.DataType``, and number of dimensions of an input or output."""

    type: int
    rank: int


class Node(NamedTuple):
    """Node of a graph: operator, names of inputs and outputs, and the type it names if it has one.

    The type, a number of ``TensorProto.DataType``, is that of a ``Constant`` or that of a ``Cast``'s result.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    type: int | None


@dataclass(frozen=True)
class OnnxFile:
    """The interface of an ONNX file: texts of its metadata by key, inputs and outputs by name."""

    metadata: dict[str, str]
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


def read_onnx(path: Path) -> OnnxFile:
    """Read the interface of an ONNX file, which is untrusted input; nodes and weights are not checked.

    Raises:
        ModelError: If the file is missing or not ONNX.
    """
    return _read(path, _Reader.model)


def read_nodes(path: Path) -> tuple[list[Node], dict[str, int]]:
    """Return the nodes of an ONNX file's graph, and the types of its initializers by name.

    Raises:
        ModelError: If the file is missing or not ONNX.
    """
    return _read(path, _Reader.nodes)


def _read(path: Path, part: Callable[[_Reader], T]) -> T:
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return part(_Reader(data))
    except (OSError, ValueError, TypeError, AttributeError, IndexError) as error:  # empty; wrong wire types
        raise ModelError(f"{path}: not an ONNX model ({error!s:.80}); export or copy it again") from error


def _last(numbers: list[int]) -> int:
    """Return the value of a field that may be missing or repeated."""
    return numbers[-1] if numbers else 0


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._budget = data, MAX_FIELDS

    def model(self) -> OnnxFile:
        model = self._fields(range(len(self._data)))
        entries = [self._fields(entry) for entry in model[14]]
        graphs = [self._fields(graph) for graph in model[7]]
        if not graphs:
            raise ValueError("it has no graph")
        return OnnxFile(
            {self._text(entry[1]): self._text(entry[2]) for entry in entries},
            *(dict(self._value(value) for graph in graphs for value in graph[field]) for field in (11, 12)),
        )

    def nodes(self) -> tuple[list[Node], dict[str, int]]:
        graphs = [self._fields(graph) for graph in self._fields(range(len(self._data)))[7]]
        tensors = [self._fields(tensor) for graph in graphs for tensor in graph[5]]
        nodes = [self._node(node) for graph in graphs for node in graph[1]]
        return nodes, {self._text(tensor[8]): _last(tensor[2]) for tensor in tensors}

    def _node(self, span: range) -> Node:
        fields = self._fields(span)
        inputs, outputs = (tuple(self._text([name]) for name in fields[field]) for field in (1, 2))
        kind, named = self._text(fields[4]), None
        if kind in ("Constant", "Cast"):
            for attribute in map(self._fields, fields[5]):
                name = self._text(attribute[1])
                if name == "value":
                    named = _last(self._fields(attribute[5][-1])[2])
                elif name == "to":
                    named = _last(attribute[3])
        return Node(kind, inputs, outputs, named)

    def _value(self, span: range) -> tuple[str, Tensor]:
        """Return the name and tensor type of a ValueInfoProto."""
        value = self._fields(span)
        tensors = [self._fields(tensor) for kind in value[2] for tensor in self._fields(kind)[1]]
        types = [number for tensor in tensors for number in tensor[1]]
        rank = sum(len(self._fields(shape)[1]) for tensor in tensors for shape in tensor[2])
        return self._text(value[1]), Tensor(_last(types), rank)

    def _text(self, spans: list[Any]) -> str:
        return self._data[spans[-1].start : spans[-1].stop].decode() if spans else ""

    def _fields(self, span: range) -> dict[int, list[Any]]:
        """Return the values of a message by field number: integers, or the spans of texts and messages."""
        fields: dict[int, list[Any]] = defaultdict(list)
        at, end = span.start, span.stop
        while at < end:
            self._budget -= 1
            if self._budget < 0:
                raise ValueError("too many fields")
            key, at = self._varint(at)
            if key & 7 == 0:
                value, at = self._varint(at)
                fields[key >> 3].append(value)
                continue
            size = {1: 8, 5: 4}.get(key & 7)
            if key & 7 == 2:
                size, at = self._varint(at)
                fields[key >> 3].append(range(at, at + size))
            elif size is None:
                raise ValueError(f"unknown wire type {key & 7}")
            at += size
        if at > end:
            raise ValueError("truncated")
        return fields

    def _varint(self, at: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 64, 7):
            byte = self._data[at]  # IndexError beyond the end
            value |= (byte & 0x7F) << shift
            at += 1
            if byte < 0x80:
                return value, at
        raise ValueError("a number longer than ten bytes")
