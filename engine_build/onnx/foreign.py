"""Other people's ONNX files: read, checked, and cut behind the convolutions of the head.

What stands behind the head (reshapes, activations, decoding) differs from file to file, as do the names of
inputs and outputs; the head's convolutions do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine_build.onnx import contract, opset
from engine_build.onnx.graph import constants, without_dead_ends, without_identities
from engine_build.onnx.head_maps import head_maps
from engine_build.onnx.sizes import free_sizes
from trt_mogface.backends.onnxruntime import session
from trt_mogface.errors import ModelError, first_line
from trt_mogface.models.manifest import is_engine
from trt_mogface.spec import METADATA_KEY

if TYPE_CHECKING:
    import onnx

SUPPRESSION = "nms", "nonmaxsuppression"
INTEGER = ("QuantizeLinear", "DequantizeLinear", "QLinear", "ConvInteger", "MatMulInteger")
CONTROL_FLOW = ("If", "Loop", "Scan")
IR_VERSION = 8
"""That of the operator set of exported models: initializers need not be inputs."""

ZIP_AND_PICKLE = (b"PK\x03\x04", b"\x80\x02", b"\x80\x04", b"\x80\x05")
CHECKPOINTS = (".pt", ".pth", ".pth.tar", ".ckpt", ".safetensors")


def load(path: Path) -> onnx.ModelProto:
    """Read another's ONNX file.

    Raises:
        ModelError: If the file is damaged, a contract file already, an engine or a checkpoint.
    """
    if is_engine(path):
        raise ModelError(f"{path}: an engine, not an ONNX file; pass the file that it was built from")
    if _is_checkpoint(path):
        raise ModelError(
            f"{path}: a checkpoint, not an ONNX file; use `trt-mogface export --model NAME --weights FILE`"
        )
    model = contract.load(path)
    if any(entry.key == METADATA_KEY for entry in model.metadata_props):
        raise ModelError(f"{path}: already a contract file ({model.graph.name:.100}); use it as it is")
    return model


def _is_checkpoint(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return path.name.lower().endswith(CHECKPOINTS) or file.read(4).startswith(ZIP_AND_PICKLE)
    except OSError:
        return False  # reading it as ONNX says what is wrong


def with_own_operators(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """Return a model of ONNX's own operators and one input, with its functions in place of their calls.

    Args:
        model: Model, which may be changed.
        path: Its file, for messages.

    Raises:
        ModelError: If the model has several inputs, operators that are not ONNX's own, a non-maximum
            suppression or integer arithmetic inside, or does not run.
    """
    from onnx import TensorProto

    _refuse(model, path)
    model = _inlined(model, path)
    image_input(model, path)
    try:
        _to_float32(model, TensorProto.BFLOAT16, TensorProto.DOUBLE)  # ONNX Runtime runs neither on a CPU
        session(model.SerializeToString(), optimize=False)
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        raise ModelError(f"{path}: does not run ({first_line(error)})") from error
    return model


def cut(model: onnx.ModelProto, path: Path) -> tuple[onnx.ModelProto, list[str]]:
    """Cut another detector's model behind the convolutions of its head, and free it of fixed sizes.

    Args:
        model: Model from `with_own_operators`, which is changed.
        path: Its file, for messages.

    Returns:
        A model of the operator set `opset.EXPORTED` with the same single input, and the names of the head's
        maps, float32 [N, channels, rows, columns], in the order of its nodes; see `theirs`.

    Raises:
        ModelError: If there are no convolutions, or branches in front of them, or the operator set cannot be
            raised.
    """
    from onnx import TensorProto

    _store_constants(model)
    _to_float32(model, TensorProto.FLOAT16)
    without_identities(model)
    without_dead_ends(model)
    _rename(model)
    maps = head_maps(model)
    if not maps:
        raise ModelError(f"{path}: no convolutions inside; not a face detector")
    end_in(model, maps)
    inside = {node.op_type for node in model.graph.node}
    if branching := inside.intersection(CONTROL_FLOW):
        raise ModelError(f"{path}: has control flow ({min(branching)}) inside; export the model without it")
    try:
        model.ir_version = max(model.ir_version, IR_VERSION)
        model = opset.raised(model, opset.EXPORTED, "a contract file")
        free_sizes(model)
    except ModelError as error:
        raise ModelError(f"{path}: {error}".replace("model: ", "", 1)) from error
    end_in(model, maps)
    return model, maps


def image_input(model: onnx.ModelProto, name: str | Path = "model") -> onnx.ValueInfoProto:
    """Return the only input that is not a stored weight; ``name`` is the subject of error messages.

    Raises:
        ModelError: If there are several, or none.
    """
    stored = constants(model)
    inputs: list[onnx.ValueInfoProto] = [value for value in model.graph.input if value.name not in stored]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise ModelError(f"{name}: must have one input, the image, not {names:.200}")
    return inputs[0]


def end_in(model: onnx.ModelProto, tensors: list[str]) -> None:
    """Let a model end in some of its tensors, in place, without the nodes behind them."""
    from onnx import TensorProto, helper

    del model.graph.output[:]
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in tensors
    )
    without_dead_ends(model)


def _refuse(model: onnx.ModelProto, path: Path) -> None:
    constant_nodes = [node for node in model.graph.node if node.op_type == "Constant"]
    if any(len(node.attribute) != 1 or node.attribute[0].ref_attr_name for node in constant_nodes):
        raise ModelError(f"{path}: has a Constant without a value; export it again")
    kinds = [node.op_type for node in _nodes(model)]
    for kind in kinds:
        if any(word in kind.lower() for word in SUPPRESSION):
            raise ModelError(
                f"{path}: has {kind:.100} inside; export the model without its non-maximum suppression"
            )
        if kind.startswith(INTEGER):
            raise ModelError(f"{path}: quantized to integers ({kind}); adapt the float file")
    functions = {function.domain for function in model.functions}
    custom = {
        f"{node.domain}.{node.op_type}"
        for node in _nodes(model)
        if node.domain not in {*opset.OWN_DOMAINS, *functions}
    }
    if custom:
        names = ", ".join(sorted(custom))
        raise ModelError(f"{path}: has custom operators ({names:.200}); export the model without them")
    if not any(entry.domain in opset.OWN_DOMAINS for entry in model.opset_import):
        raise ModelError(f"{path}: names no operator set of ONNX; export it again")


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Yield the nodes of the graph, of its functions, and of the graphs inside of nodes."""
    left: list[Any] = [model.graph, *model.functions]
    while left:
        for node in left.pop().node:
            yield node
            for attribute in node.attribute:
                left += [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]


def _inlined(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """Return the model with the bodies of its functions in place of their calls."""
    from onnx import inliner

    own = {(function.domain, function.name) for function in model.functions}
    if any((node.domain, node.op_type) in own for function in model.functions for node in function.node):
        raise ModelError(f"{path}: has functions within functions; export the model without them")
    if own:
        model = inliner.inline_local_functions(model)
    for entry in [entry for entry in model.opset_import if entry.domain not in opset.OWN_DOMAINS]:
        model.opset_import.remove(entry)
    return model


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


def theirs(name: str) -> str:
    """Return the name in a model from `cut` of a tensor of the file.

    None of the contract's names, nor one of them with a suffix, is one.
    """
    return f"net[{name}]"


def _rename(model: onnx.ModelProto) -> None:
    """Name tensors and nodes as `theirs`, in place."""
    graph = model.graph
    for node in graph.node:
        node.input[:] = [name and theirs(name) for name in node.input]
        node.output[:] = [name and theirs(name) for name in node.output]
        node.name = node.name and theirs(node.name)
    for each in (*graph.input, *graph.output, *graph.initializer):
        each.name = theirs(each.name)
    del graph.value_info[:]


def _to_float32(model: onnx.ModelProto, *others: int) -> None:
    """Compute in float32, in place, what a file computes in other floating-point types."""
    from onnx import TensorProto, numpy_helper

    graph = model.graph
    tensors = [*graph.initializer]
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype") and attribute.i in others:
                attribute.i = TensorProto.FLOAT
            if attribute.HasField("t"):
                tensors.append(attribute.t)
    for tensor in tensors:
        values = numpy_helper.to_array(tensor)  # which fails of a damaged one
        if tensor.data_type in others:
            values = values.astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for value in graph.input:
        if value.type.tensor_type.elem_type in others:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    del graph.value_info[:]
