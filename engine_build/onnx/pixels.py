"""The first two nodes of a contract model: pixels to floats, and NHWC to NCHW, in the order a runtime wants.

TensorRT moves no bytes: its transpose takes floats, so contract files cast first.  A CPU moves bytes in a
quarter of the traffic, so files for CPUs transpose first.  Both orders compute the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine_build.onnx.graph import readers
from trt_mogface.spec import INPUT

if TYPE_CHECKING:
    import onnx

OTHER = {"Cast": "Transpose", "Transpose": "Cast"}


def cast_first(model: onnx.ModelProto) -> None:
    """Cast, then transpose, in place: what TensorRT asks for."""
    _begin_with(model, "Cast")


def transpose_first(model: onnx.ModelProto) -> None:
    """Transpose, then cast, in place: what is faster on a CPU."""
    _begin_with(model, "Transpose")


def _begin_with(model: onnx.ModelProto, kind: str) -> None:
    """Let the two nodes change places where the first is of the other kind."""
    import onnx

    read_by = readers(model)
    beginning = read_by.get(INPUT, [])
    following = read_by.get(beginning[0].output[0], []) if len(beginning) == 1 else []
    if [node.op_type for node in (*beginning, *following)] != [OTHER[kind], kind]:
        return
    (first,), (second,) = beginning, following
    kept = [value for value in model.graph.value_info if value.name != first.output[0]]  # its type changes
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)
    was = onnx.NodeProto()
    was.CopyFrom(first)
    for node, other in ((first, second), (second, was)):
        node.op_type, node.name = other.op_type, other.name
        del node.attribute[:]
        node.attribute.extend(other.attribute)
