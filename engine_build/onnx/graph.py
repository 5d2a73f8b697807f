"""Queries and small changes of ONNX graphs."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trt_mogface.errors import ModelError, first_line

if TYPE_CHECKING:
    import onnx


def without_identities(model: onnx.ModelProto) -> None:
    """Remove Identity nodes, in place; exporters put one between a shared weight and each further use."""
    graph = model.graph
    results = {value.name for value in graph.output}
    passed = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Identity" and node.output[0] not in results
    }
    for old, new in passed.items():  # sorted: an origin that is itself passed on was replaced before
        passed[old] = passed.get(new, new)
    for node in graph.node:
        node.input[:] = [passed.get(name, name) for name in node.input]
    kept = [node for node in graph.node if node.output[0] not in passed]
    del graph.node[:]
    graph.node.extend(kept)


def without_dead_ends(model: onnx.ModelProto) -> None:
    """Remove the nodes and initializers that no output depends on, in place."""
    graph = model.graph
    wanted = {value.name for value in graph.output}
    alive = []
    for node in reversed(graph.node):  # an ONNX graph is sorted: readers follow what they read
        if wanted.intersection(node.output):
            alive.append(node)
            wanted.update(node.input)
    kept = [tensor for tensor in graph.initializer if tensor.name in wanted]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(reversed(alive))
    graph.initializer.extend(kept)


def producer(model: onnx.ModelProto, tensor: str) -> onnx.NodeProto:
    """Return the node that computes a tensor.

    Raises:
        KeyError: If no node does.
    """
    nodes: list[onnx.NodeProto] = [node for node in model.graph.node if tensor in node.output]
    if not nodes:
        raise KeyError(tensor)
    return nodes[0]


def rename_tensor(model: onnx.ModelProto, old: str, new: str) -> None:
    """Rename a tensor wherever a node reads or writes it, in place."""
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def add_node(model: onnx.ModelProto, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
    """Append a node with one output, which is also its name, in place; return the output."""
    from onnx import helper

    model.graph.node.append(helper.make_node(kind, inputs, [output], output, **attributes))
    return output


def add_constant(model: onnx.ModelProto, name: str, value: Any) -> str:
    """Store a constant unless there is one of this name, in place; return the name."""
    from onnx import numpy_helper

    if name not in constants(model):
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return name


def replace_nodes(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], stored: Sequence[onnx.TensorProto] = ()
) -> None:
    """Replace the nodes of a graph, in place; add initializers, and remove those that are no longer read."""
    graph = model.graph
    copies = [copy.deepcopy(node) for node in nodes]  # a node does not outlive its removal from the list
    used = {name for node in copies for name in node.input}
    for i in reversed(range(len(graph.initializer))):
        if graph.initializer[i].name not in used:
            del graph.initializer[i]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(copies)
    graph.initializer.extend(stored)


def float_tensors(model: onnx.ModelProto) -> set[str]:
    """Return the names of all FP32 tensors: inputs, initializers and results of nodes."""
    import onnx

    try:
        typed = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    except (onnx.shape_inference.InferenceError, ValueError) as error:
        raise ModelError(f"model: types of tensors cannot be inferred ({first_line(error)})") from error
    values = [*typed.input, *typed.output, *typed.value_info]
    names = {value.name for value in values if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    return names | {t.name for t in typed.initializer if t.data_type == onnx.TensorProto.FLOAT}


def name_convolutions(model: onnx.ModelProto) -> None:
    """Give each convolution without a name, or with the name of another node, a unique one, in place."""
    taken: set[str] = set()
    for node in model.graph.node:
        if node.op_type == "Conv" and (not node.name or node.name in taken):
            node.name = f"Conv:{node.output[0]}"
        taken.add(node.name)


def constants(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """Return the initializers by name."""
    return {tensor.name: tensor for tensor in model.graph.initializer}


def attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    """Return an integer attribute of a node."""
    return next((a.i for a in node.attribute if a.name == name), default)


def readers(model: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    """Return the nodes that read each tensor."""
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            found.setdefault(name, []).append(node)
    return found
