"""The first nodes of a contract model, from the pixels of `images` to normalized planes.

TensorRT moves no bytes: its transpose takes floats, so contract files cast first.  A CPU moves bytes with a
quarter of the traffic, so files for CPUs transpose first.  Both orders compute the same.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine_build.onnx import contract
from engine_build.onnx.graph import constants, readers, rename_tensor
from trt_mogface.errors import ModelError
from trt_mogface.spec import INPUT

if TYPE_CHECKING:
    import onnx

CHANNELS = 3
OTHER = {"Cast": "Transpose", "Transpose": "Cast"}


def normalize(
    model: onnx.ModelProto, tensor: str, mean: Sequence[float], std: Sequence[float] = (1.0, 1.0, 1.0)
) -> None:
    """Put the contract's input in front of a network, in place.

    Args:
        model: Model whose network reads float32 [N, 3, H, W], in the order blue, green, red.
        tensor: Name of the network's input: pixels minus `mean`, divided by `std`.
        mean, std: Mean and standard deviation of blue, green and red, 0..255.
    """
    from onnx import TensorProto, helper, numpy_helper

    scale = [1 / value for value in std]
    steps = [("Sub", "mean", mean, any(mean)), ("Mul", "scale", scale, any(value != 1 for value in std))]
    steps = [step for step in steps if step[-1]]
    nodes = [
        helper.make_node("Cast", [INPUT], ["pixels"], "pixels", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["planes"], "planes", perm=[0, 3, 1, 2]),
    ]
    for kind, name, values, _ in steps:
        stored = np.array(values, np.float32).reshape(1, 3, 1, 1)
        model.graph.initializer.append(numpy_helper.from_array(stored, name))
        before = nodes[-1].output[0]
        nodes.append(helper.make_node(kind, [before, name], [f"{before}_{kind}"], f"normalize_{kind}"))
    nodes[-1].output[0] = tensor
    for index, node in enumerate(nodes):
        model.graph.node.insert(index, node)


def exchange_red_and_blue(model: onnx.ModelProto, tensor: str) -> None:
    """Let a network read its input's channels in reverse order, in place.

    The weights of its first convolutions are reversed, which is exact and saves reversing the image.

    Args:
        model: Model.
        tensor: Name of the network's input, float32 [N, 3, H, W].

    Raises:
        ModelError: If anything but a padding, or a convolution with three input channels, reads the input.
    """
    from onnx import numpy_helper

    stored = constants(model)
    for node in readers(model).get(tensor, []):
        if node.op_type == "Pad":
            exchange_red_and_blue(model, node.output[0])
            continue
        weight = stored.get(node.input[1]) if node.op_type == "Conv" else None
        values = None if weight is None else numpy_helper.to_array(weight)
        if values is None or values.shape[1] != CHANNELS:
            raise ModelError(
                f"model: {node.op_type} reads the image; only a convolution of three channels may"
            )
        node.input[1] = f"{node.input[1]}_bgr"
        turned = np.ascontiguousarray(values[:, ::-1])
        model.graph.initializer.append(numpy_helper.from_array(turned, node.input[1]))


def cast_first(model: onnx.ModelProto) -> None:
    """Cast, then transpose, in place, as TensorRT requires."""
    _begin_with(model, "Cast")


def transpose_first(model: onnx.ModelProto) -> None:
    """Transpose, then cast, in place, which is faster on a CPU."""
    _begin_with(model, "Transpose")


def float_planes(model: onnx.ModelProto) -> None:
    """Let a contract model read float32 [N, 3, H, W], in place, for runtimes such as DeepStream's nvinfer.

    The values stay BGR, 0..255, and the outputs stay identical.
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
    nodes = _first_two(model)
    if [node.op_type for node in nodes] != [OTHER[kind], kind]:
        return
    first, second = nodes
    kept = [value for value in model.graph.value_info if value.name != first.output[0]]  # its type changes
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)
    for node, other in ((first, copy.deepcopy(second)), (second, copy.deepcopy(first))):
        node.op_type, node.name = other.op_type, other.name
        del node.attribute[:]
        node.attribute.extend(other.attribute)
