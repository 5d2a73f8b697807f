"""Mutations of another's ONNX file: changes that leave its faces as they are, and damage."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.fuzz.network import mutate_network
from tests.support import foreign_files as files
from tests.support.networks import weight
from trt_mogface.backends.onnxruntime import session
from trt_mogface.spec import DELTAS, INPUT

FAMILY = "yunet"
STRIDES = (8, 16, 32)
WIDTH = 4
SIZE = (1, 3, 96, 160)
VALUES = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
ELEMENTWISE = ("Relu", "Sigmoid", "Tanh", "Neg", "Exp", "Identity", "Abs", "Shape", "Transpose")
SIDES = (96, 128, 160, 192)
NAMES = ("x", "input.1", "images", "scores", "deltas", "0", "net.x", "x:0", "a" * 300, "é", "planes")


@cache
def network() -> bytes:
    """Return a file with the maps and outputs of the family, of one size."""
    node = helper.make_node
    nodes: list[onnx.NodeProto] = []
    stored = {"w0": weight(WIDTH, 3, 3, 3) / 400}
    halve: dict[str, Any] = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
    nodes += [node("Conv", ["image", "w0"], ["c0"], **halve), node("Relu", ["c0"], ["x0"])]
    for number in range(1, 5):
        stored[f"w{number}"] = weight(WIDTH, WIDTH, 3, 3) / 4
        pooled = number == 1
        source = f"x{number - 1}"
        if pooled:
            nodes.append(node("MaxPool", [source], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]))
        how: dict[str, Any] = {"pads": [1, 1, 1, 1]} if pooled else halve
        nodes.append(node("Conv", ["pooled" if pooled else source, f"w{number}"], [f"c{number}"], **how))
        nodes.append(node("Relu", [f"c{number}"], [f"x{number}"]))
    arrays: dict[str, NDArray[Any]] = {**stored}
    upper = "x4"
    for level, stride in reversed(list(enumerate(STRIDES))):
        name = f"x{level + 2}"
        if level < 2:
            arrays[f"size{level}"] = np.array([1, WIDTH, SIZE[2] // stride, SIZE[3] // stride])
            inputs = [upper, "", "", f"size{level}"]
            nodes += [
                node("Resize", inputs, [f"u{level}"], mode="nearest", nearest_mode="floor"),
                node("Add", [name, f"u{level}"], [f"p{level}"]),
            ]
            name = f"p{level}"
        upper = name
        for kind, values in VALUES.items():
            output = f"{kind}_{stride}"
            arrays |= {f"w_{output}": weight(values, WIDTH, 1, 1) / 4, f"b_{output}": weight(values) / 4}
            arrays[f"rows{values}"] = np.array([0, -1, values])
            last = f"rows_{output}" if values == 1 else output
            nodes += [
                node("Conv", [name, f"w_{output}", f"b_{output}"], [f"map_{output}"]),
                node("Transpose", [f"map_{output}"], [f"turned_{output}"], perm=[0, 2, 3, 1]),
                node("Reshape", [f"turned_{output}", f"rows{values}"], [last]),
            ]
            if values == 1:
                nodes.append(node("Sigmoid", [last], [output]))
    outputs = [
        helper.make_tensor_value_info(f"{kind}_{stride}", TensorProto.FLOAT, [1, None, values])
        for kind, values in VALUES.items()
        for stride in STRIDES
    ]
    graph = helper.make_graph(
        nodes,
        "another's",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, SIZE)],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def mutated(rng: Random) -> bytes:
    """Return a file with harmless changes, in two of three cases damaged too."""
    model = onnx.load_from_string(network())
    height, width = rng.choice(SIDES), rng.choice(SIDES)
    changes: list[files.Variant] = [
        files.outputs_numbered,
        files.outputs_reversed,
        files.input_called(rng.choice(NAMES)),
        files.weights_as_inputs,
        files.weights_in_constants,
        files.identities,
        files.biases_apart,
        files.scaled_heads,
        files.turned,
        files.channels_last,
        files.in_opset(rng.choice((13, 14, 16, 17, 18, 19, 21))),
    ]
    if rng.random() < 0.3:
        model = files.sized(1, 3, height, width)(files.upsampling_in_opset_9(model))
        changes.pop()
    for change in rng.sample(changes, rng.randrange(4)):
        model = change(model)
    kind = rng.randrange(3)
    if kind == 1:
        _change_a_node(rng, model)
    data = bytes(model.SerializeToString())
    return mutate_network(rng, data) if kind == 2 else data


def _change_a_node(rng: Random, model: onnx.ModelProto) -> None:
    """Change an attribute, an operator, an input or a stored number: the file stays one of ONNX."""
    node = rng.choice([each for each in model.graph.node if each.input])
    kind = rng.randrange(5)
    if kind == 0 and node.attribute:
        attribute = rng.choice(node.attribute)
        if attribute.ints:
            attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice((0, 1, 2, 3, -1))
        else:
            node.attribute.remove(attribute)
    elif kind == 1 and len(node.input) == 1:
        node.op_type = rng.choice(ELEMENTWISE)
        del node.attribute[:]
    elif kind == 2:
        names = [name for each in model.graph.node for name in each.input]
        node.input[rng.randrange(len(node.input))] = rng.choice(names)
    elif kind == 3:
        rest = [each for each in model.graph.node if each is not node]
        model.graph.output[rng.randrange(len(model.graph.output))].name = rng.choice(rest).output[0]
    elif stored := [each for each in model.graph.initializer if 0 not in each.dims]:
        tensor = rng.choice(stored)
        values = numpy_helper.to_array(tensor).copy()
        values.reshape(-1)[rng.randrange(values.size)] = rng.choice((0, 1, 2, -1, 3, 100))
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def has_boxes_of(path: Path, made: onnx.ModelProto) -> bool:
    """Return whether a contract model has the boxes of a file, if the outputs with them are found."""
    model = onnx.load(str(path))
    del model.graph.value_info[:]  # what a file states of types inside is not read, and may be wrong
    theirs = session(model.SerializeToString(), optimize=False)
    (given,) = theirs.get_inputs()
    if len(given.shape) != 4 or not all(isinstance(each, int) for each in given.shape):
        return True
    height, width = given.shape[1:3] if given.shape[3] == 3 else given.shape[2:]
    images = np.random.default_rng(0).integers(0, 256, (given.shape[0], height, width, 3), np.uint8)
    planes = images.astype(np.float32)
    planes = planes if given.shape[3] == 3 else np.ascontiguousarray(planes.transpose(0, 3, 1, 2))
    found = [np.squeeze(each) for each in theirs.run(None, {given.name: planes})]
    boxes = [each.ravel() for each in found if each.ndim == 2 and min(each.shape) == 4]
    (deltas,) = session(made.SerializeToString()).run([DELTAS], {INPUT: images})
    if sum(map(len, boxes)) != deltas.size:
        return True
    return np.allclose(np.sort(np.concatenate(boxes)), np.sort(deltas, axis=None), rtol=1e-3, atol=1e-3)
