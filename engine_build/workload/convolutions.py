"""Multiply-adds: where the work of a network is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from engine_build.onnx.graph import constants
from engine_build.onnx.probe import shapes_by_running
from engine_build.precision.quantize import convolutions

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
    nodes = convolutions(model)
    shapes = shapes_by_running(model, [node.output[0] for node in nodes], (1, SIDE, SIDE, 3))
    stored = constants(model)
    # A weight is [K, C / group, h, w], so that its size times the map is the work, grouped or not.
    return {
        node.name: math.prod(stored[node.input[1]].dims) * math.prod(shapes[node.output[0]][2:])
        for node in nodes
    }
