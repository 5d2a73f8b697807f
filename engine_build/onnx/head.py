"""The end of a one-stage detector: from the maps of its head to the contract's outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine_build.onnx import contract
from engine_build.onnx.graph import add_constant, add_node, constants, producer, without_dead_ends
from trt_mogface.errors import ModelError
from trt_mogface.spec import DELTAS, LANDMARKS, SCORES, DetectorSpec

if TYPE_CHECKING:
    import onnx

Change = Callable[[NDArray[Any]], NDArray[Any]]

Activation = Literal["sigmoid", "softmax"]

FACE = 1
"""Channel of two class scores that stands for a face."""


@dataclass(frozen=True)
class LevelMaps:
    """Tensors in which the head ends at one pyramid level; each is float32 [N, channels, rows, columns].

    Channels count anchor by anchor, and the values of an anchor side by side.

    Attributes:
        scores: Logits.  For ``sigmoid``, one channel an anchor; the scores of several maps are multiplied.
            For ``softmax``, two channels an anchor, the second of which stands for a face.
        deltas: Four channels an anchor.
        landmarks: Two channels a point and anchor; None if the model has none.
    """

    scores: tuple[str, ...]
    deltas: str
    landmarks: str | None = None


def end_in_contract(
    model: onnx.ModelProto, spec: DetectorSpec, levels: Sequence[LevelMaps], activation: Activation
) -> None:
    """Turn the maps of each level into the contract's outputs, in place; other outputs are removed.

    Each output is one concatenation of its levels, as `engine_build.onnx.pyramid` requires.
    """
    if len(levels) != len(spec.levels):
        raise ModelError(f"{spec.name}: has {len(spec.levels)} pyramid levels, not {len(levels)}")
    parts = {
        SCORES: [_scores(model, maps.scores, activation) for maps in levels],
        DELTAS: [_rows(model, maps.deltas, 4) for maps in levels],
    }
    if spec.landmarks:
        parts[LANDMARKS] = [_rows(model, str(maps.landmarks), 2 * spec.landmarks) for maps in levels]
    for name, inputs in parts.items():
        add_node(model, "Concat", inputs, name, axis=1)
    contract.complete(model, spec)
    without_dead_ends(model)


def scale_channels(model: onnx.ModelProto, tensor: str, factors: Sequence[float]) -> None:
    """Multiply the channels of a map by factors, inside the convolution that computes it, in place.

    A multiplication by a scalar may stand behind the convolution.
    """
    node = producer(model, tensor)
    while node.op_type == "Mul":
        node = next(producer(model, name) for name in node.input if name not in constants(model))
    _change_weights(model, node, tensor, lambda rows: (rows.T * np.array(factors, rows.dtype)).T)


def with_channels(model: onnx.ModelProto, tensor: str, channels: Sequence[int]) -> str:
    """Return a map with some channels of another, in any order and any number of times.

    A convolution of its own computes it: TensorRT-RTX fails on a Gather of channels behind a convolution.
    """
    import onnx

    name = f"{tensor}_{'_'.join(map(str, channels))}"
    node = onnx.NodeProto()
    node.CopyFrom(producer(model, tensor))
    node.name = node.output[0] = name
    _change_weights(model, node, name, lambda rows: rows[list(channels)])
    model.graph.node.append(node)
    return name


def _change_weights(model: onnx.ModelProto, node: onnx.NodeProto, prefix: str, change: Change) -> None:
    """Give a convolution changed weights and bias; others may share the old ones, which stay."""
    from onnx import numpy_helper

    if node.op_type != "Conv":
        raise ModelError(f"{prefix}: computed by {node.op_type}, not by a convolution")
    stored = constants(model)
    for i, name in enumerate(node.input[1:], start=1):
        values = np.ascontiguousarray(change(numpy_helper.to_array(stored[name])))
        node.input[i] = f"{prefix}_{('weight', 'bias')[i - 1]}"
        model.graph.initializer.append(numpy_helper.from_array(values, node.input[i]))


def _rows(model: onnx.ModelProto, tensor: str, *values: int) -> str:
    """Return a map [N, anchors * values, h, w] as [N, h * w * anchors, values]; without `values`, flat."""
    target = add_constant(model, f"rows_{'_'.join(map(str, values))}", np.array([0, -1, *values], np.int64))
    cells = add_node(model, "Transpose", [tensor], f"{tensor}_cells", perm=[0, 2, 3, 1])
    return add_node(model, "Reshape", [cells, target], f"{tensor}_rows")


def _scores(model: onnx.ModelProto, maps: Sequence[str], activation: Activation) -> str:
    """Return the scores of one level, [N, anchors of the level]."""
    if activation == "softmax":
        (logits,) = maps
        classes = add_node(model, "Softmax", [_rows(model, logits, 2)], f"{logits}_classes", axis=-1)
        face = add_constant(model, "face", np.array(FACE, np.int64))
        return add_node(model, "Gather", [classes, face], f"{logits}_scores", axis=2)
    product, *others = (add_node(model, "Sigmoid", [_rows(model, each)], f"{each}_scores") for each in maps)
    for other in others:
        product = add_node(model, "Mul", [product, other], f"{product}_product")
    return product
