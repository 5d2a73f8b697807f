"""Multiply-adds: where the work of a network is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from engine_build.onnx.graph import constants
from engine_build.precision.quantize import convolutions
from trt_mogface.backends.onnxruntime import session
from trt_mogface.spec import INPUT

if TYPE_CHECKING:
    import onnx

SIDE = 128
"""The picture that is counted on; shares are those of any picture whose sides are multiples of it."""


def multiply_adds(model: onnx.ModelProto) -> dict[str, int]:
    """Multiply-adds of each convolution, by its name, on a `SIDE` x `SIDE` picture.

    The network is run once and tells the sizes of its maps, whatever decides them.

    Args:
        model: FP32.
    """
    from onnx import helper

    nodes = convolutions(model)
    watched = type(model)()
    watched.CopyFrom(model)
    sizes = [f"workload.shape{i}" for i in range(len(nodes))]
    watched.graph.node.extend(
        helper.make_node("Shape", [node.output[0]], [size]) for node, size in zip(nodes, sizes)
    )
    del watched.graph.output[:]
    watched.graph.output.extend(helper.make_empty_tensor_value_info(size) for size in sizes)
    running = session(watched.SerializeToString(), optimize=False)
    shapes = running.run(sizes, {INPUT: np.zeros((1, SIDE, SIDE, 3), np.uint8)})
    stored = constants(model)
    # A weight is [K, C / group, h, w], so that its size times the map is the work, grouped or not.
    return {
        node.name: math.prod(stored[node.input[1]].dims) * int(shape[2] * shape[3])
        for node, shape in zip(nodes, shapes)
    }
