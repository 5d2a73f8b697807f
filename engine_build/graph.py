"""Small surgery on ONNX graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


def without_identities(model: onnx.ModelProto) -> None:
    """Take out Identity nodes, in place: exporters put one between a shared weight and each further use."""
    graph = model.graph
    results = {value.name for value in graph.output}
    passed = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Identity" and node.output[0] not in results
    }
    for node in graph.node:
        node.input[:] = [_origin(name, passed) for name in node.input]
    kept = [node for node in graph.node if node.output[0] not in passed]
    del graph.node[:]
    graph.node.extend(kept)


def without_dead_ends(model: onnx.ModelProto) -> None:
    """Take out, in place, the nodes and initialisers that no output depends on."""
    graph = model.graph
    wanted = {value.name for value in graph.output}
    alive = []
    for node in reversed(graph.node):  # an ONNX graph is sorted: users come after their inputs
        if wanted.intersection(node.output):
            alive.append(node)
            wanted.update(node.input)
    kept = [tensor for tensor in graph.initializer if tensor.name in wanted]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(reversed(alive))
    graph.initializer.extend(kept)


def producer(model: onnx.ModelProto, tensor: str) -> onnx.NodeProto:
    """The node that computes a tensor.

    Raises:
        KeyError: No node does.
    """
    nodes: list[onnx.NodeProto] = [node for node in model.graph.node if tensor in node.output]
    if not nodes:
        raise KeyError(tensor)
    return nodes[0]


def rename_tensor(model: onnx.ModelProto, old: str, new: str) -> None:
    """Give a tensor another name wherever a node reads or writes it, in place."""
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def _origin(name: str, passed: dict[str, str]) -> str:
    while name in passed:
        name = passed[name]
    return name
