"""The first nodes of a contract model, from the pixels of `images` to normalized planes.

TensorRT moves no bytes: its transpose takes floats, so contract files cast first.  A CPU moves bytes with a
quarter of the traffic, so files for CPUs transpose first.  Both orders compute the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine_build.onnx import contract
from engine_build.onnx.graph import readers, rename_tensor
from trt_mogface.errors import ModelError
from trt_mogface.spec import INPUT

if TYPE_CHECKING:
    import onnx

OTHER = {"Cast": "Transpose", "Transpose": "Cast"}


def subtract_mean(model: onnx.ModelProto, tensor: str, mean: Sequence[float]) -> None:
    """Put the contract's input in front of a network, in place.

    Args:
        model: Network whose input is ``tensor``, float32 [N, 3, H, W].
        tensor: Name of the planes minus their mean.
        mean: Mean of blue, green and red.
    """
    from onnx import TensorProto, helper, numpy_helper

    values = np.array(mean, np.float32).reshape(1, 3, 1, 1)
    model.graph.initializer.append(numpy_helper.from_array(values, "mean"))
    nodes = [
        helper.make_node("Cast", [INPUT], ["pixels"], "pixels", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["planes"], "planes", perm=[0, 3, 1, 2]),
        helper.make_node("Sub", ["planes", "mean"], [tensor], "normalize"),
    ]
    body = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes + body)


def cast_first(model: onnx.ModelProto) -> None:
    """Cast, then transpose, in place, as TensorRT requires."""
    _begin_with(model, "Cast")


def transpose_first(model: onnx.ModelProto) -> None:
    """Transpose, then cast, in place, which is faster on a CPU."""
    _begin_with(model, "Transpose")


def float_planes(model: onnx.ModelProto) -> None:
    """Let a contract model read float32 [N, 3, H, W], in place, for runtimes such as DeepStream's nvinfer.

    The values stay BGR, 0..255, and the outputs stay identical.

    Raises:
        ModelError: If the model does not begin with a cast and a transpose.
    """
    spec = contract.spec_of(model)
    if spec.input.layout == "nchw-float32":
        return
    nodes = _first_two(model)
    if sorted(node.op_type for node in nodes) != sorted(OTHER):
        raise ModelError(f"{spec.name}: does not begin with a cast and a transpose; export it again")
    planes = nodes[1].output[0]
    for node in nodes:
        model.graph.node.remove(node)
    rename_tensor(model, planes, INPUT)
    layout = dataclasses.replace(spec.input, layout="nchw-float32")
    contract.complete(model, dataclasses.replace(spec, input=layout))


def _first_two(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Return the only reader of the pixels, followed by the readers of its output."""
    read_by = readers(model)
    beginning = read_by.get(INPUT, [])
    return [*beginning, *read_by.get(beginning[0].output[0], [])] if len(beginning) == 1 else []


def _begin_with(model: onnx.ModelProto, kind: str) -> None:
    """Exchange the first two nodes if they are a node of the other kind and one of this kind."""
    import onnx

    nodes = _first_two(model)
    if [node.op_type for node in nodes] != [OTHER[kind], kind]:
        return
    first, second = nodes
    kept = [value for value in model.graph.value_info if value.name != first.output[0]]  # its type changes
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)
    was = onnx.NodeProto()
    was.CopyFrom(first)
    for node, other in ((first, second), (second, was)):
        node.op_type, node.name = other.op_type, other.name
        del node.attribute[:]
        node.attribute.extend(other.attribute)
