"""INT8 and FP8: Q/DQ nodes where TensorRT fuses them into its convolutions.

NVIDIA's placement ("Working with Quantized Types" in the TensorRT documentation): the input and the weight of
a convolution, and the other input of a sum that follows it directly, so that convolution, sum and activation
become one kernel that reads and writes eight bits.  Outputs of heads are not quantized.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine_build.onnx.graph import constants, readers, replace_nodes

if TYPE_CHECKING:
    import onnx

Quantized = Literal["int8", "fp8"]

LARGEST = {"int8": 127.0, "fp8": 448.0}
"""Largest value of each type: symmetric INT8, and FP8 E4M3."""

SMALLEST_SCALE, LARGEST_SCALE = 2.0**-20, 65504.0
"""Limits of a scale, which is exact in FP16; only nearly empty channels or broken networks reach them."""


class Residual(NamedTuple):
    """Summands of a sum: the output of the convolution that it is fused with, and the other one."""

    fused: str
    skip: str


def convolutions(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Return the convolutions that can be quantized: those whose weight is an initializer."""
    weights = constants(model)
    return [node for node in model.graph.node if node.op_type == "Conv" and node.input[1] in weights]


def quantized_tensors(model: onnx.ModelProto) -> list[str]:
    """Return the activations that `quantize` may put Q/DQ nodes on, whose ranges calibration must find."""
    nodes = convolutions(model)
    found = dict.fromkeys(node.input[0] for node in nodes)
    found.update(dict.fromkeys(residual.skip for residual in _residuals(model).values()))
    return list(found)


def quantize(
    model: onnx.ModelProto, kind: Quantized, ranges: Mapping[str, float], nodes: Collection[str]
) -> None:
    """Put Q/DQ nodes into an FP32 graph, in place.

    Weights become INT8 or FP8 initializers with a scale for each output channel, stored once however many
    nodes share them; activations have one scale a tensor.

    Args:
        model: FP32, of an opset whose Q/DQ nodes take FP16 scales (`engine_build.precision.opset`).
        kind: Type of the quantized values.
        ranges: Largest magnitude to represent, by activation.
        nodes: Names of the convolutions to quantize.
    """
    _Quantizing(model, kind, ranges).run(set(nodes))


def scale_of(largest: NDArray[np.floating] | float, kind: Quantized) -> NDArray[np.float32]:
    """Return the step for magnitudes up to ``largest``, float32 but exact in FP16."""
    step = np.clip(np.asarray(largest) / LARGEST[kind], SMALLEST_SCALE, LARGEST_SCALE)
    return step.astype(np.float16).astype(np.float32)


def quantized_weight(
    weight: NDArray[np.float32], kind: Quantized
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a weight float32 [K, C, h, w] in steps, and the step of each output channel, float32 [K]."""
    scale = scale_of(np.abs(weight).max(axis=(1, 2, 3)), kind)
    return _limited(weight / scale.reshape(-1, 1, 1, 1), kind), scale


def _limited(steps: NDArray[np.float32], kind: Quantized) -> NDArray[np.float32]:
    limited: NDArray[np.float32] = np.clip(steps, -LARGEST[kind], LARGEST[kind])
    return np.rint(limited) if kind == "int8" else limited


class _Quantizing:
    def __init__(self, model: onnx.ModelProto, kind: Quantized, ranges: Mapping[str, float]) -> None:
        from onnx import TensorProto

        self.graph = model.graph
        self.model = model
        self.kind = kind
        self.type = TensorProto.INT8 if kind == "int8" else TensorProto.FLOAT8E4M3FN
        self.ranges = ranges
        self.weights = constants(model)
        self.nodes: list[onnx.NodeProto] = []
        self.stored: list[onnx.TensorProto] = []
        self.done: dict[str, str] = {}

    def run(self, names: set[str]) -> None:
        chosen = {node.output[0] for node in convolutions(self.model) if node.name in names}
        residuals = {out: r.skip for out, r in _residuals(self.model).items() if r.fused in chosen}
        for node in self.graph.node:
            if node.output[0] in chosen:
                node.input[0] = self._activation(node.input[0])
                node.input[1] = self._weight(node.input[1])
            elif node.output[0] in residuals:
                skip = residuals[node.output[0]]
                node.input[list(node.input).index(skip)] = self._activation(skip)
            self.nodes.append(node)
        replace_nodes(self.model, self.nodes, self.stored)

    def _activation(self, name: str) -> str:
        from onnx import helper

        if name not in self.done:
            constants = self._store_scale(name, scale_of(self.ranges[name], self.kind))
            quantized, self.done[name] = f"{name}.q", f"{name}.dq"
            self.nodes += [
                helper.make_node("QuantizeLinear", [name, *constants], [quantized], quantized),
                helper.make_node("DequantizeLinear", [quantized, *constants], [f"{name}.dq"], f"{name}.dq"),
            ]
        return self.done[name]

    def _weight(self, name: str) -> str:
        from onnx import helper, numpy_helper

        if name not in self.done:
            steps, scale = quantized_weight(numpy_helper.to_array(self.weights[name]), self.kind)
            constants = self._store_scale(name, scale)
            quantized, self.done[name] = f"{name}.q", f"{name}.dq"
            self.stored.append(self._tensor(quantized, steps))
            self.nodes.append(
                helper.make_node(
                    "DequantizeLinear", [quantized, *constants], [f"{name}.dq"], f"{name}.dq", axis=0
                )
            )
        return self.done[name]

    def _store_scale(self, name: str, scale: NDArray[np.float32]) -> tuple[str, str]:
        """Store a scale and its zero point."""
        from onnx import numpy_helper

        self.stored.append(numpy_helper.from_array(scale, f"{name}.scale"))
        self.stored.append(self._tensor(f"{name}.zero", np.zeros_like(scale)))
        return f"{name}.scale", f"{name}.zero"

    def _tensor(self, name: str, steps: NDArray[np.float32]) -> onnx.TensorProto:
        from onnx import helper

        value = steps.astype(helper.tensor_dtype_to_np_dtype(self.type))
        return helper.make_tensor(name, self.type, value.shape, value.tobytes(), raw=True)


def _residuals(model: onnx.ModelProto) -> dict[str, Residual]:
    """Return the sums that TensorRT fuses into a convolution, by their output.

    If both summands come from convolutions, the first is the fused one.
    """
    read_by, stored = readers(model), constants(model)
    from_convolutions = {node.output[0] for node in convolutions(model)}
    found = {}
    for node in model.graph.node:
        if node.op_type != "Add" or node.input[0] == node.input[1]:
            continue
        fused = [n for n in node.input if n in from_convolutions and len(read_by[n]) == 1]
        if fused:
            skip = next(name for name in node.input if name != fused[0])
            if skip not in stored:
                found[node.output[0]] = Residual(fused[0], skip)
    return found
