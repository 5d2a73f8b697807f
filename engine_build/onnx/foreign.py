"""Other people's ONNX files: checked, cut behind the convolutions of the head, and freed of fixed sizes.

What stands behind the head (reshapes, activations, decoding) differs from file to file, as do the names of
inputs and outputs; the head's convolutions do not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine_build.onnx import opset
from engine_build.onnx.graph import constants, readers, replace_nodes, without_dead_ends, without_identities
from trt_mogface.backends.onnxruntime import session
from trt_mogface.errors import ModelError

if TYPE_CHECKING:
    import onnx

CONVOLUTIONS = ("Conv", "ConvTranspose")
SUPPRESSION = "nms", "nonmaxsuppression"
PREFIX = "net."
CHANNELS = 3
PROBED_SIDE = 64
CLOSE = 1e-3
UPSAMPLING = ("Resize", "Upsample")


def cut(model: onnx.ModelProto, path: Path) -> tuple[onnx.ModelProto, list[str]]:
    """Cut another detector's model behind the convolutions of its head.

    Args:
        model: Model, which is changed.
        path: Its file, for messages.

    Returns:
        A model of the operator set `opset.EXPORTED` with the same single input, and the names of the head's
        maps, float32 [N, channels, rows, columns], in the order of its nodes.

    Raises:
        ModelError: If the model has several inputs, operators that are not ONNX's own, a non-maximum
            suppression inside, or an operator set that cannot be raised.
    """
    import onnx.compose

    _refuse(model, path)
    _store_constants(model)
    without_identities(model)
    model = onnx.compose.add_prefix(model, PREFIX)  # their names must not meet the contract's
    maps = _maps(model)
    if not maps:
        raise ModelError(f"{path}: no convolutions inside; not a face detector")
    _end_in(model, maps)
    model = opset.raised(model, opset.EXPORTED, "a contract file")
    _free_upsampling(model)
    _end_in(model, maps)
    return model, maps


def image_input(model: onnx.ModelProto) -> onnx.ValueInfoProto:
    """Return the only input that is not a stored weight.

    Raises:
        ModelError: If there are several, or none.
    """
    stored = constants(model)
    inputs: list[onnx.ValueInfoProto] = [value for value in model.graph.input if value.name not in stored]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise ModelError(f"model: must have one input, the image, not {names:.200}")
    return inputs[0]


def without_normalization(
    model: onnx.ModelProto, path: Path, mean: Sequence[float], std: Sequence[float]
) -> None:
    """Let a model begin at its first convolution, in place, without a normalization that is inside.

    Args:
        model: Model with a single input.
        path: Its file, for messages.
        mean, std: Normalization of the family, of each channel in the order of the network.

    Raises:
        ModelError: If anything stands in front of the first convolution but that normalization, of pixels
            0..255 or 0..1, in either order of the channels.
    """
    source = image_input(model)
    planes = _first_planes(model, source.name, path)
    if planes == source.name:
        return
    if not _normalizes(model, source, planes, mean, std):
        raise ModelError(
            f"{path}: prepares the image in a way that is not this family's; export the model without it"
        )
    _begin_with(model, planes)


def _refuse(model: onnx.ModelProto, path: Path) -> None:
    kinds = Counter(node.op_type for node in model.graph.node)
    for kind in kinds:
        if any(word in kind.lower() for word in SUPPRESSION):
            raise ModelError(
                f"{path}: has {kind} inside; export the model without its non-maximum suppression"
            )
    custom = sorted(
        {f"{node.domain}.{node.op_type}" for node in model.graph.node if node.domain not in opset.OWN_DOMAINS}
    )
    if custom or model.functions:
        names = ", ".join(custom) or "functions"
        raise ModelError(f"{path}: has custom operators ({names:.200}); export the model without them")
    try:
        image_input(model)
    except ModelError as error:
        raise ModelError(f"{path}: {error}".replace("model: ", "", 1)) from error


def _store_constants(model: onnx.ModelProto) -> None:
    """Make initializers of Constant nodes, and no inputs of initializers, in place."""
    from onnx import helper, numpy_helper

    graph = model.graph
    for node in [node for node in graph.node if node.op_type == "Constant"]:
        (value,) = node.attribute
        given: NDArray[Any] = np.asarray(helper.get_attribute_value(value))
        tensor = value.t if value.name == "value" else numpy_helper.from_array(given)
        stored = graph.initializer.add()
        stored.CopyFrom(tensor)
        stored.name = node.output[0]
        graph.node.remove(node)
    names = constants(model)
    inputs = [value for value in graph.input if value.name not in names]
    del graph.input[:]
    graph.input.extend(inputs)


def _maps(model: onnx.ModelProto) -> list[str]:
    """Return the outputs of the convolutions that no other convolution depends on, scaled if they are."""
    followed: set[str] = set()
    ends = []
    for node in reversed(model.graph.node):  # an ONNX graph is sorted
        behind = followed.intersection(node.output)
        if node.op_type in CONVOLUTIONS and not behind:
            ends.append(node.output[0])
        if node.op_type in CONVOLUTIONS or behind:
            followed.update(node.input)
    return [_scaled(model, name) for name in reversed(ends)]


def _scaled(model: onnx.ModelProto, tensor: str) -> str:
    """Follow a map through multiplications with a scalar, such as a learned scale of a level."""
    from onnx import numpy_helper

    stored, read_by = constants(model), readers(model)
    while True:
        following = read_by.get(tensor, [])
        if len(following) != 1 or following[0].op_type != "Mul":
            return tensor
        factors = [stored[name] for name in following[0].input if name in stored]
        if len(factors) != 1 or numpy_helper.to_array(factors[0]).size != 1:
            return tensor
        tensor = following[0].output[0]


def _end_in(model: onnx.ModelProto, tensors: list[str]) -> None:
    from onnx import TensorProto, helper

    del model.graph.output[:]
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in tensors
    )
    without_dead_ends(model)


def _free_upsampling(model: onnx.ModelProto) -> None:
    """Let each nearest-neighbor upsampling double its input, cut to the map that it is added to, in place.

    Exports fix the sizes, or compute them in ways that not every runtime follows.  The smaller map is the
    larger one halved with rounding up, so twice its size is always enough.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    stored: dict[str, NDArray[Any]] = {
        "upsampling.factors": np.array([1, 1, 2, 2], np.float32),
        "upsampling.start": np.array([0, 0], np.int64),
        "upsampling.axes": np.array([2, 3], np.int64),
    }
    nodes: list[onnx.NodeProto] = []
    upsampled: set[str] = set()
    for node in graph.node:
        if node.op_type in UPSAMPLING:
            node = _doubled(node)
            upsampled.add(node.output[0])
        for i, name in enumerate(node.input):
            partners = [other for other in node.input if other not in upsampled]
            if name in upsampled and partners:
                size, fitted = f"{name}_size", f"{name}_fitted"
                nodes.append(helper.make_node("Shape", [partners[0]], [size], size, start=2))
                ends = ["upsampling.start", size, "upsampling.axes"]
                nodes.append(helper.make_node("Slice", [name, *ends], [fitted], fitted))
                node.input[i] = fitted
        nodes.append(node)
    if upsampled:
        added = [numpy_helper.from_array(values, name) for name, values in stored.items()]
        replace_nodes(model, nodes, added)


def _doubled(node: onnx.NodeProto) -> onnx.NodeProto:
    from onnx import helper

    mode = next((a.s for a in node.attribute if a.name == "mode"), b"nearest").decode(errors="replace")
    if mode != "nearest":
        raise ModelError(f"model: upsamples by {mode:.20}; only nearest is supported")
    return helper.make_node(
        "Resize",
        [node.input[0], "", "upsampling.factors"],
        node.output,
        node.name,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _first_planes(model: onnx.ModelProto, source: str, path: Path) -> str:
    """Return the tensor that the first convolutions read, in front of a padding of theirs."""
    reached, planes = {source}, set()
    written = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        inputs = reached.intersection(node.input)
        if not inputs:
            continue
        if node.op_type in CONVOLUTIONS:
            planes.update(inputs)
        else:
            reached.update(node.output)
    padded = {
        written[name].input[0] if name in written and written[name].op_type == "Pad" else name
        for name in planes
    }
    if len(padded) != 1:
        raise ModelError(f"{path}: the image is read by convolutions at {len(padded)} places; expected one")
    return padded.pop()


def _begin_with(model: onnx.ModelProto, planes: str) -> None:
    from onnx import TensorProto, helper

    del model.graph.input[:]
    model.graph.input.append(helper.make_tensor_value_info(planes, TensorProto.FLOAT, ["N", 3, "H", "W"]))
    kept = [node for node in model.graph.node if planes not in node.output]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    without_dead_ends(model)


def _normalizes(
    model: onnx.ModelProto,
    source: onnx.ValueInfoProto,
    planes: str,
    mean: Sequence[float],
    std: Sequence[float],
) -> bool:
    """Return whether `planes` is the normalized image, by running what stands in front of it."""
    import onnx

    front = onnx.ModelProto()
    front.CopyFrom(model)
    _end_in(front, [planes])
    kind = source.type.tensor_type
    fixed = [size.dim_value for size in kind.shape.dim]
    if len(fixed) != 4:
        return False
    is_nhwc = fixed[3] == CHANNELS and fixed[1] != CHANNELS
    height, width = (size or PROBED_SIDE for size in (fixed[1:3] if is_nhwc else fixed[2:]))
    pixels = np.random.default_rng(0).integers(0, 256, (fixed[0] or 1, CHANNELS, height, width))
    wanted = (pixels - np.reshape(mean, (1, 3, 1, 1))) / np.reshape(std, (1, 3, 1, 1))
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    try:
        running = session(front.SerializeToString())
        for order in (slice(None), slice(None, None, -1)):
            for divisor in (1, 255):
                given = pixels[:, order] / divisor
                given = (given.transpose(0, 2, 3, 1) if is_nhwc else given).astype(dtype)
                (found,) = running.run(None, {source.name: np.ascontiguousarray(given)})
                if (
                    found.shape == wanted.shape
                    and np.abs(found - wanted).max() < CLOSE * np.abs(wanted).max()
                ):
                    return True
    except Exception:  # noqa: BLE001 -- ONNX Runtime's exceptions share no public base class
        return False
    return False
