"""Other people's ONNX files as they differ from each other: changes that leave the detections as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Variant = Callable[[onnx.ModelProto], onnx.ModelProto]


def image(model: onnx.ModelProto) -> onnx.ValueInfoProto:
    """Return the input that is not a stored weight."""
    stored = {tensor.name for tensor in model.graph.initializer}
    found: onnx.ValueInfoProto
    (found,) = (value for value in model.graph.input if value.name not in stored)
    return found


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    return made


def renamed(model: onnx.ModelProto, names: dict[str, str]) -> onnx.ModelProto:
    """Return a model with other names of some tensors."""
    made = copied(model)
    for node in made.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*made.graph.input, *made.graph.output, *made.graph.initializer):
        value.name = names.get(value.name, value.name)
    del made.graph.value_info[:]
    return made


def outputs_numbered(model: onnx.ModelProto) -> onnx.ModelProto:
    """Number the outputs, as some exporters do."""
    return renamed(model, {value.name: f"{9537 + i}" for i, value in enumerate(model.graph.output)})


def input_called(name: str) -> Variant:
    return lambda model: renamed(model, {image(model).name: name})


def contract_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """Use the contract's own names for other things."""
    outputs = [value.name for value in model.graph.output]
    return renamed(
        model, {image(model).name: "images"} | dict(zip(outputs, ("deltas", "scores", "landmarks", "planes")))
    )


def sized(*size: int | str) -> Variant:
    """Give the input another size, of which numbers are fixed."""

    def change(model: onnx.ModelProto) -> onnx.ModelProto:
        made = copied(model)
        shape = image(made).type.tensor_type.shape
        del shape.dim[:]
        for each in size:
            shape.dim.add(**{"dim_value" if isinstance(each, int) else "dim_param": each})
        for value in made.graph.output:
            _unsize(value)
        del made.graph.value_info[:]
        return made

    return change


def _unsize(value: onnx.ValueInfoProto) -> None:
    for size in value.type.tensor_type.shape.dim:
        size.Clear()


def in_opset(version: int) -> Variant:
    return lambda model: onnx.version_converter.convert_version(model, version)


def weights_as_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """List all weights as inputs, as files of old exporters do."""
    made = copied(model)
    made.ir_version = min(made.ir_version, 4)
    listed = {value.name for value in made.graph.input}
    made.graph.input.extend(
        helper.make_tensor_value_info(each.name, each.data_type, each.dims)
        for each in made.graph.initializer
        if each.name not in listed
    )
    return made


def in_format_3(model: onnx.ModelProto) -> onnx.ModelProto:
    """Use the format of 2018, in which every weight is an input."""
    made = weights_as_inputs(model)
    made.ir_version = 3
    return made


def weights_in_constants(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store all weights in Constant nodes."""
    made = copied(model)
    names = {tensor.name for tensor in made.graph.initializer}
    nodes = [
        helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in made.graph.initializer
    ]
    nodes += list(made.graph.node)
    inputs = [value for value in made.graph.input if value.name not in names]
    del made.graph.initializer[:], made.graph.node[:], made.graph.input[:]
    made.graph.node.extend(nodes)
    made.graph.input.extend(inputs)
    return made


def identities(model: onnx.ModelProto) -> onnx.ModelProto:
    """Put an Identity behind every convolution and in front of its weights."""
    made = copied(model)
    nodes = []
    for node in model.graph.node:
        node = _copy(node)
        if node.op_type == "Conv":
            weight, output = node.input[1], node.output[0]
            nodes.append(helper.make_node("Identity", [weight], [f"{output}_w"]))
            node.input[1], node.output[0] = f"{output}_w", f"{output}_raw"
            nodes += [node, helper.make_node("Identity", [f"{output}_raw"], [output])]
        else:
            nodes.append(node)
    del made.graph.node[:], made.graph.value_info[:]
    made.graph.node.extend(nodes)
    return made


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    made = onnx.NodeProto()
    made.CopyFrom(node)
    return made


def preceded(
    nodes: Callable[[str, str], Sequence[onnx.NodeProto]],
    stored: dict[str, NDArray[Any]] | None = None,
    dtype: int = TensorProto.FLOAT,
    nhwc: bool = False,
) -> Variant:
    """Put nodes in front of a network: `nodes` gets the names of the new and the old input."""

    def change(model: onnx.ModelProto) -> onnx.ModelProto:
        made = copied(model)
        value = image(made)
        old, new = value.name, "picture"
        value.name = new
        value.type.tensor_type.elem_type = dtype
        if nhwc:
            size = [(each.dim_value or each.dim_param) for each in value.type.tensor_type.shape.dim]
            value.CopyFrom(helper.make_tensor_value_info(new, dtype, [size[i] for i in (0, 2, 3, 1)]))
        before = list(made.graph.node)
        del made.graph.node[:]
        made.graph.node.extend([*nodes(new, old), *before])
        made.graph.initializer.extend(
            numpy_helper.from_array(np.asarray(array), name) for name, array in (stored or {}).items()
        )
        return made

    return change


def channels_last(model: onnx.ModelProto) -> onnx.ModelProto:
    return preceded(
        lambda new, old: [helper.make_node("Transpose", [new], [old], perm=[0, 3, 1, 2])], nhwc=True
    )(model)


def normalizing(
    mean: Sequence[float],
    std: Sequence[float],
    divisor: float = 1,
    *,
    swapped: bool = False,
    byte: bool = False,
) -> Variant:
    """Put a normalization of pixels inside, 0..255 / divisor, of bytes or channels in reverse order too."""

    def nodes(new: str, old: str) -> list[onnx.NodeProto]:
        made = []
        if byte:
            made.append(helper.make_node("Cast", [new], ["front.float"], to=TensorProto.FLOAT))
            new = "front.float"
        if swapped:
            made.append(helper.make_node("Gather", [new, "front.order"], ["front.swapped"], axis=1))
            new = "front.swapped"
        return [
            *made,
            helper.make_node("Sub", [new, "front.mean"], ["front.centered"]),
            helper.make_node("Div", ["front.centered", "front.std"], [old]),
        ]

    shape = (1, 3, 1, 1)
    stored: dict[str, NDArray[Any]] = {
        "front.mean": np.array(mean, np.float32).reshape(shape) / np.float32(divisor),
        "front.std": np.array(std, np.float32).reshape(shape) / np.float32(divisor),
    }
    if swapped:
        stored["front.order"] = np.array([2, 1, 0])
    return preceded(nodes, stored, TensorProto.UINT8 if byte else TensorProto.FLOAT)


def followed(nodes: Callable[[str, str], Sequence[onnx.NodeProto]]) -> Variant:
    """Put nodes behind each output; `nodes` gets the names of the old and the new output."""

    def change(model: onnx.ModelProto) -> onnx.ModelProto:
        outputs = [value.name for value in model.graph.output]
        made = renamed(model, {name: f"{name}.before" for name in outputs})
        for value, name in zip(made.graph.output, outputs):
            made.graph.node.extend(nodes(f"{name}.before", name))
            value.name = name
            _unsize(value)
        return made

    return change


turned = followed(
    lambda old, new: [
        helper.make_node("Identity", [old], [f"{new}.same"]),
        helper.make_node("Transpose", [f"{new}.same"], [new]),
    ]
)
"""Outputs with their axes in reverse order."""


def without_landmarks(model: onnx.ModelProto) -> onnx.ModelProto:
    """Leave out the outputs of landmarks, which are the last ones."""
    made = copied(model)
    del made.graph.output[len(made.graph.output) * 2 // 3 :]
    return _without_unread(made)


def color_convolution(mean: Sequence[float], std: Sequence[float]) -> Variant:
    """Normalize, and exchange red and blue, in a convolution of its own."""
    weight = np.zeros((3, 3, 1, 1), np.float32)
    weight[(0, 1, 2), (2, 1, 0), 0, 0] = 1 / np.array(std)
    stored = {"front.w": weight, "front.b": -(np.array(mean) / np.array(std)).astype(np.float32)}
    return preceded(lambda new, old: [helper.make_node("Conv", [new, "front.w", "front.b"], [old])], stored)


def outputs_reversed(model: onnx.ModelProto) -> onnx.ModelProto:
    """List the outputs in reverse order."""
    made = copied(model)
    outputs = list(made.graph.output)[::-1]
    del made.graph.output[:]
    made.graph.output.extend(outputs)
    return made


def only_maps(model: onnx.ModelProto) -> onnx.ModelProto:
    """End in the last convolutions, without what stands behind them."""
    made = copied(model)
    followed_by: dict[str, list[onnx.NodeProto]] = {}
    for node in made.graph.node:
        for name in node.input:
            followed_by.setdefault(name, []).append(node)

    def leads_to_convolution(name: str) -> bool:
        return any(
            node.op_type in ("Conv", "ConvTranspose") or leads_to_convolution(node.output[0])
            for node in followed_by.get(name, ())
        )

    ends = [
        n.output[0] for n in made.graph.node if n.op_type == "Conv" and not leads_to_convolution(n.output[0])
    ]
    del made.graph.output[:], made.graph.value_info[:]
    made.graph.output.extend(
        helper.make_tensor_value_info(each, TensorProto.FLOAT, [None] * 4) for each in ends
    )
    return _without_unread(made)


def biases_apart(model: onnx.ModelProto) -> onnx.ModelProto:
    """Add the biases of convolutions in nodes of their own."""
    made = copied(model)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    nodes = []
    for node in model.graph.node:
        node = _copy(node)
        if node.op_type == "Conv" and len(node.input) == 3 and node.input[2] in stored:
            output, bias = node.output[0], node.input.pop()
            node.output[0] = f"{output}_unbiased"
            shift = numpy_helper.from_array(stored[bias].reshape(1, -1, 1, 1), f"{output}_shift")
            made.graph.initializer.append(shift)
            nodes += [node, helper.make_node("Add", [node.output[0], shift.name], [output])]
        else:
            nodes.append(node)
    del made.graph.node[:], made.graph.value_info[:]
    made.graph.node.extend(nodes)
    return made


def scaled_heads(model: onnx.ModelProto) -> onnx.ModelProto:
    """Halve the weights of convolutions and normalize their results, or double them, behind."""
    made = copied(model)
    stored = {tensor.name: tensor for tensor in made.graph.initializer}
    nodes = []
    for number, node in enumerate(model.graph.node):
        node = _copy(node)
        if node.op_type == "Conv" and all(name in stored for name in node.input[1:]):
            output = node.output[0]
            channels = stored[node.input[1]].dims[0]
            for i, name in enumerate(node.input[1:], start=1):
                half = numpy_helper.to_array(stored[name]) / np.float32(2)
                node.input[i] = f"{output}_half{i}"
                made.graph.initializer.append(numpy_helper.from_array(half, node.input[i]))
            node.output[0] = f"{output}_half"
            if number % 2:
                two = numpy_helper.from_array(np.float32(2), f"{output}_two")
                made.graph.initializer.append(two)
                nodes += [node, helper.make_node("Mul", [two.name, node.output[0]], [output])]
            else:
                values = {"scale": 2, "bias": 0, "mean": 0, "variance": 1}
                names = [f"{output}_{each}" for each in values]
                made.graph.initializer.extend(
                    numpy_helper.from_array(np.full(channels, value, np.float32), name)
                    for name, value in zip(names, values.values())
                )
                normalize = helper.make_node(
                    "BatchNormalization", [node.output[0], *names], [output], epsilon=0.0
                )
                nodes += [node, normalize]
        else:
            nodes.append(node)
    del made.graph.node[:], made.graph.value_info[:]
    made.graph.node.extend(nodes)
    return made


def in_type(dtype: int) -> Variant:
    """Compute in another floating-point type; the input stays float32."""
    kind = helper.tensor_dtype_to_np_dtype(dtype)

    def change(model: onnx.ModelProto) -> onnx.ModelProto:
        outputs = [value.name for value in model.graph.output]
        made = renamed(model, {name: f"{name}.narrow" for name in outputs})
        tensors = list(made.graph.initializer)
        for node in made.graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    tensors.append(attribute.t)
                if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT:
                    attribute.i = dtype
        resizing = {
            n for node in made.graph.node if node.op_type in ("Resize", "Upsample") for n in node.input[1:]
        }
        written = {name: node for node in made.graph.node for name in node.output}
        for tensor in tensors:
            in_resize = tensor.name in resizing or any(
                tensor in [a.t for a in written[n].attribute] for n in resizing if n in written
            )
            if tensor.data_type == TensorProto.FLOAT and not in_resize:
                tensor.CopyFrom(
                    numpy_helper.from_array(numpy_helper.to_array(tensor).astype(kind), tensor.name)
                )
        for value, name in zip(made.graph.output, outputs):
            value.name = name
            made.graph.node.append(helper.make_node("Cast", [f"{name}.narrow"], [name], to=TensorProto.FLOAT))
        for value in made.graph.input:
            if value.type.tensor_type.elem_type == TensorProto.FLOAT:
                value.type.tensor_type.elem_type = dtype
        return preceded(lambda new, old: [helper.make_node("Cast", [new], [old], to=dtype)])(made)

    return change


def upsampling_in_opset_9(model: onnx.ModelProto) -> onnx.ModelProto:
    """Upsample by fixed factors, as in operator set 9."""
    made = copied(model)
    made.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "two"))
    for node in made.graph.node:
        if node.op_type == "Resize":
            replacement = helper.make_node("Upsample", [node.input[0], "two"], node.output, node.name)
            node.CopyFrom(replacement)
    made.opset_import[0].version = 9
    return _without_unread(made)


def _without_unread(model: onnx.ModelProto) -> onnx.ModelProto:
    wanted, kept = {value.name for value in model.graph.output}, []
    for node in reversed(model.graph.node):
        if wanted.intersection(node.output):
            kept.append(_copy(node))
            wanted.update(node.input)
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(reversed(kept))
    return model
