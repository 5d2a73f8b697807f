"""Networks that run at every N, H and W: other people's exports fix sizes, or work at some sizes only.

Every change here leaves the results at the exported size as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine_build.onnx.graph import constants, replace_nodes
from trt_mogface.errors import ModelError, first_line

if TYPE_CHECKING:
    import onnx

UPSAMPLING = ("Resize", "Upsample")
DOUBLING = [1, 1, 2, 2]
REPEATING = {
    ("asymmetric", "floor"),
    ("asymmetric", "round_prefer_floor"),
    ("half_pixel", "round_prefer_floor"),
    ("pytorch_half_pixel", "round_prefer_floor"),
}
"""Pairs of attributes with which a nearest-neighbor doubling repeats each cell."""

ELEMENTWISE = ("Relu", "LeakyRelu", "PRelu", "Clip", "Sigmoid", "BatchNormalization", "Cast", "Mul", "Add")
FACTORS, START, AXES, SPATIAL = "doubling", "spatial.start", "spatial.axes", (2, 3)

Shapes = dict[str, list[int]]


def free_sizes(model: onnx.ModelProto) -> None:
    """Let a network run at every batch, height and width, in place.

    Raises:
        ModelError: If it resizes in another way than by doubling.
    """
    shapes = _fixed_shapes(model)
    _free_pooling(model)
    _free_upsampling(model, shapes)
    _free_reshapes(model, shapes)


def _fixed_shapes(model: onnx.ModelProto) -> Shapes:
    """Return the shapes of tensors, as far as they are fixed."""
    import onnx

    try:
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
        raise ModelError(f"model: shapes cannot be inferred ({first_line(error)})") from error
    shapes = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.value_info)
    }
    return {name: shape for name, shape in shapes.items() if shape and all(shape)}


def _free_pooling(model: onnx.ModelProto) -> None:
    """Let a maximum over disjoint windows keep the last row and column of an odd size, in place.

    A convolution of the same stride keeps them too, and maps of both meet in the pyramid.
    """
    from onnx import helper

    for node in model.graph.node:
        if node.op_type != "MaxPool":
            continue
        given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        if given.get("strides") == given["kernel_shape"] and not any(given.get("pads", ())):
            kept = [each for each in node.attribute if each.name != "ceil_mode"]
            del node.attribute[:]
            node.attribute.extend([*kept, helper.make_attribute("ceil_mode", 1)])


def _free_upsampling(model: onnx.ModelProto, shapes: Shapes) -> None:
    """Let each upsampling double its input, cut to the map that it meets, in place.

    Exports fix the sizes, or compute them in ways that not every runtime follows.  The smaller map is the
    larger one halved with rounding up, so twice its size is always enough.
    """
    from onnx import numpy_helper

    stored = constants(model)
    nodes: list[onnx.NodeProto] = []
    doubled: set[str] = set()
    uncut: dict[str, str] = {}
    for node in model.graph.node:
        node.input[:] = [uncut.get(name, name) for name in node.input]
        if node.op_type in UPSAMPLING:
            node = _doubling(node, stored, shapes)
        inputs = [name for name in node.input if name in doubled]
        partners = [name for name in node.input if name and name not in doubled and name not in stored]
        if node.op_type in (*UPSAMPLING, "ConvTranspose"):
            doubled.update(node.output)
        elif inputs and _is_cut(node, stored):
            uncut[node.output[0]] = node.input[0]
            continue
        elif inputs and partners and node.op_type != "Shape":
            nodes += _cut_to(node, inputs, partners[0])
        elif inputs and node.op_type in (*ELEMENTWISE, "Conv"):
            doubled.update(node.output)
        nodes.append(node)
    added: dict[str, NDArray[Any]] = {
        FACTORS: np.array(DOUBLING, np.float32),
        START: np.zeros(2, np.int64),
        AXES: np.array(SPATIAL),
    }
    replace_nodes(model, nodes, [numpy_helper.from_array(values, name) for name, values in added.items()])


def _doubling(node: onnx.NodeProto, stored: dict[str, onnx.TensorProto], shapes: Shapes) -> onnx.NodeProto:
    """Return an upsampling by two, in the way of `node`."""
    from onnx import helper, numpy_helper

    given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    mode, coordinates, nearest = (
        given.get(name, default).decode(errors="replace")
        for name, default in (
            ("mode", b"nearest"),
            ("coordinate_transformation_mode", b"half_pixel"),
            ("nearest_mode", b"round_prefer_floor"),
        )
    )
    if mode not in ("nearest", "linear"):
        raise ModelError(f"model: resizes by {mode:.20} interpolation; only nearest and linear are supported")
    fixed = [numpy_helper.to_array(stored[name]).tolist() for name in node.input[2:3] if name in stored]
    before, after = shapes.get(node.input[0]), shapes.get(node.output[0])
    is_other = bool(fixed and fixed[0]) and {*fixed[0]} - {1} != {2}
    if is_other or (before and after and not _is_double(before, after)):
        raise ModelError(f"model: resizes {before or ''} by another factor than two")
    if mode == "nearest" and (coordinates, nearest) in REPEATING:
        coordinates, nearest = "asymmetric", "floor"  # which every runtime has
    attributes = {"mode": mode, "coordinate_transformation_mode": coordinates}
    if mode == "nearest":
        attributes["nearest_mode"] = nearest
    return helper.make_node("Resize", [node.input[0], "", FACTORS], node.output, node.name, **attributes)


def _is_double(before: list[int], after: list[int]) -> bool:
    return len(before) == 4 and after[:2] == before[:2] and [-(-n // 2) for n in after[2:]] == before[2:]


def _is_cut(node: onnx.NodeProto, stored: dict[str, onnx.TensorProto]) -> bool:
    """Return whether a node only cuts rows and columns off at the end of a map."""
    from onnx import numpy_helper

    if node.op_type != "Slice" or not 4 <= len(node.input) <= 5 or len(node.output) != 1:
        return False
    given = [stored.get(name) for name in (node.input[1], *node.input[3:])]
    if any(each is None for each in given):
        return False
    starts, axes, *steps = (numpy_helper.to_array(each) for each in given if each is not None)
    if starts.any() or any((step != 1).any() for step in steps):
        return False
    return set(axes.tolist()) <= {2, 3, -1, -2}


def _cut_to(node: onnx.NodeProto, inputs: list[str], partner: str) -> list[onnx.NodeProto]:
    """Return nodes that cut inputs of a node to the size of another; the node reads their results."""
    from onnx import helper

    size = f"{node.output[0]}_size"
    nodes = [helper.make_node("Shape", [partner], [size], size, start=SPATIAL[0])]
    for name in dict.fromkeys(inputs):
        fitted = f"{node.output[0]}_{name}_fitted"
        nodes.append(helper.make_node("Slice", [name, START, size, AXES], [fitted], fitted))
        node.input[:] = [fitted if each == name else each for each in node.input]
    return nodes


def _free_reshapes(model: onnx.ModelProto, shapes: Shapes) -> None:
    """Take fixed batches, heights and widths in targets of reshapes from their inputs, in place.

    Group normalizations and shuffled channels of an export at a fixed size have them.
    """
    from onnx import helper, numpy_helper

    stored = constants(model)
    written = {name: node for node in model.graph.node for name in node.output}
    nodes: list[onnx.NodeProto] = []
    added: list[onnx.TensorProto] = []
    for node in model.graph.node:
        before = shapes.get(node.input[0]) if node.op_type == "Reshape" else None
        if before is not None and node.input[1] in stored:
            target: list[int] = numpy_helper.to_array(stored[node.input[1]]).tolist()
            if target and target[0] == before[0]:
                target[0] = 0  # the batch
            like = _like(node.input[0], target[-2:], written, shapes) if len(target) > 3 else None
            name = f"{node.output[0]}_target"
            if like is not None:
                size, channels = f"{name}_size", f"{name}_channels"
                added.append(numpy_helper.from_array(np.array(target[:-2], np.int64), channels))
                nodes.append(helper.make_node("Shape", [like], [size], size, start=len(shapes[like]) - 2))
                nodes.append(helper.make_node("Concat", [channels, size], [name], name, axis=0))
            else:
                if len(target) > 1 and -1 not in target:
                    target[-1] = -1
                added.append(numpy_helper.from_array(np.array(target, np.int64), name))
            node.input[1] = name
        nodes.append(node)
    replace_nodes(model, nodes, added)


def _like(tensor: str, size: list[int], written: dict[str, onnx.NodeProto], shapes: Shapes) -> str | None:
    """Return the nearest tensor before a reshape that has the height and width of its target."""
    while tensor:
        shape = shapes.get(tensor, [])
        if len(shape) > 3 and shape[-2:] == size:
            return tensor
        node = written.get(tensor)
        tensor = node.input[0] if node is not None and node.input else ""
    return None
