"""Winograd's fast convolution for CPUs, as ONNX nodes: F(4x4, 3x3) of Lavin and Gray (CVPR 2016).

ONNX Runtime computes a 3x3 convolution directly, with 9 multiplications for an output and channel; this takes
36 for 16 outputs.  Libraries for GPUs choose such algorithms themselves, so engines are built without it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine_build.onnx.graph import constants

if TYPE_CHECKING:
    import onnx

DOMAIN, FUNCTION = "trt_mogface", "Winograd"
MIN_CHANNELS = 256
"""With fewer channels, the transforms cost as much as the products save."""

OF_TILE = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
OF_KERNEL = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
OF_PRODUCT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])
"""The matrices B transposed, G and A transposed of the paper's section 4."""

# x [N, C, H, W]; tile [36 C, 1, 6, 6]; kernels [36, K, C]; untile [16, 36]; bias [1, K, 1, 1].  A tile is
# 6x6 inputs for 4x4 outputs; h x w tiles cover the map, T of them in the batch; the rest is cut off.
BODY = """
<opset_import: ["" : 17], domain: "trt_mogface">
Winograd <channels, kernels_count> (x, tile, kernels, untile, bias) => (y) {
  zero = Constant <value_ints: ints = [0]> ()
  one = Constant <value_ints: ints = [1]> ()
  two = Constant <value_ints: ints = [2]> ()
  four = Constant <value_ints: ints = [4]> ()
  minus = Constant <value_ints: ints = [-1]> ()
  points = Constant <value_ints: ints = [36]> ()
  corner = Constant <value_ints: ints = [0, 0]> ()
  axes = Constant <value_ints: ints = [2, 3]> ()
  c = Constant <value_int: int = @channels> ()
  k = Constant <value_int: int = @kernels_count> ()
  c1 = Unsqueeze (c, zero)
  k1 = Unsqueeze (k, zero)
  tiles = Conv <group: int = @channels, pads = [1, 1, 4, 4], strides = [4, 4]> (x, tile)
  by_channel = Concat <axis = 0> (zero, c1, points, minus)
  tiles_c = Reshape (tiles, by_channel)
  tiles_p = Transpose <perm = [2, 1, 0, 3]> (tiles_c)
  by_point = Concat <axis = 0> (points, c1, minus)
  inputs = Reshape (tiles_p, by_point)
  products = MatMul (kernels, inputs)
  flat = Concat <axis = 0> (points, minus)
  products_p = Reshape (products, flat)
  outputs = MatMul (untile, products_p)
  tiles_shape = Shape (tiles)
  n = Slice (tiles_shape, zero, one)
  hw = Slice (tiles_shape, two, four)
  apart = Concat <axis = 0> (four, four, k1, n, hw)
  outputs_a = Reshape (outputs, apart)
  outputs_t = Transpose <perm = [3, 2, 4, 0, 5, 1]> (outputs_a)
  hw4 = Mul (hw, four)
  whole = Concat <axis = 0> (n, k1, hw4)
  padded = Reshape (outputs_t, whole)
  x_shape = Shape (x)
  size = Slice (x_shape, two, four)
  sum = Slice (padded, corner, size, axes)
  y = Add (sum, bias)
}
"""


def apply(model: onnx.ModelProto) -> None:
    """Compute wide 3x3 convolutions whose weights several nodes share by Winograd's algorithm, in place.

    Transformed weights are four times as large, which pays off for shared ones only.  Results differ from the
    direct convolution by float32 rounding, some 1e-5 of a map's largest value.
    """
    from onnx import helper, numpy_helper, parser

    weights = constants(model)
    uses = Counter(name for node in model.graph.node if node.op_type == "Conv" for name in node.input[1:2])
    made: dict[str, NDArray[np.float32]] = {}
    for node in model.graph.node:
        if not (_is_plain_3x3(node, weights) and uses[node.input[1]] > 1):
            continue
        weight, bias = (numpy_helper.to_array(weights[name]) for name in node.input[1:3])
        count, channels = weight.shape[:2]
        tile, kernels, untile = f"winograd.tile{channels}", f"{node.input[1]}.winograd", "winograd.untile"
        map_bias = f"{node.input[2]}.map"
        if kernels not in made:
            made[tile], made[kernels] = _tile(channels), _kernels(weight)
            made[untile] = np.kron(OF_PRODUCT, OF_PRODUCT).astype(np.float32)
            made[map_bias] = bias.reshape(1, count, 1, 1)
        node.op_type, node.domain = FUNCTION, DOMAIN
        node.input[1:] = [tile, kernels, untile, map_bias]
        sizes = {"channels": channels, "kernels_count": count}
        del node.attribute[:]
        node.attribute.extend(helper.make_attribute(key, value) for key, value in sizes.items())
    if made:
        model.functions.append(parser.parse_function(BODY))
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
        model.graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in made.items())


def _is_plain_3x3(node: onnx.NodeProto, weights: dict[str, onnx.TensorProto]) -> bool:
    if node.op_type != "Conv" or len(node.input) != 3 or not all(n in weights for n in node.input[1:]):
        return False
    shape = list(weights[node.input[1]].dims)
    settings = {a.name: list(a.ints) or a.i for a in node.attribute}
    return (
        shape[2:] == [3, 3]
        and min(shape[:2]) >= MIN_CHANNELS
        and settings.get("group", 1) == 1
        and settings.get("strides", [1, 1]) == [1, 1]
        and settings.get("dilations", [1, 1]) == [1, 1]
        and settings.get("pads") == [1, 1, 1, 1]
    )


def _tile(channels: int) -> NDArray[np.float32]:
    """Return the tile's transform as a convolution from a channel to 36 points, float32 [36 C, 1, 6, 6]."""
    points = np.einsum("ai,bj->abij", OF_TILE, OF_TILE).reshape(36, 1, 6, 6)
    return np.tile(points, (channels, 1, 1, 1)).astype(np.float32)


def _kernels(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Transform weights, float32 [K, C, 3, 3], to their 36 points, [36, K, C]."""
    points = np.einsum("ai,kcij,bj->abkc", OF_KERNEL, weight.astype(np.float64), OF_KERNEL, optimize=True)
    kernels: NDArray[np.float32] = points.reshape(36, *weight.shape[:2]).astype(np.float32)
    return kernels
