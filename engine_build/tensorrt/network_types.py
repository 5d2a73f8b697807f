"""Data types read back from a parsed network, since TensorRT may understand others than requested."""

from __future__ import annotations

from typing import Any

from trt_mogface.errors import EngineError
from trt_mogface.machine.tensorrt import Flavor

NAMES = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16", "INT8": "int8", "FP8": "fp8"}


def convolution_types(network: Any, trt: Any) -> dict[str, str]:
    """Return the type that each convolution computes in, by its layer's name, which is the ONNX node's.

    A convolution computes in INT8 or FP8 if both its input and its weight are dequantized from that type,
    otherwise in the type of its input.  ``network`` is a strongly typed ``INetworkDefinition``.
    """
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    made_by = {layer.get_output(i).name: layer for layer in layers for i in range(layer.num_outputs)}

    def type_of(tensor: Any) -> str:
        layer = made_by.get(tensor.name)
        if layer is not None and layer.type == trt.LayerType.DEQUANTIZE:
            tensor = layer.get_input(0)
        kind = str(tensor.dtype.name)
        return NAMES.get(kind, kind.lower())

    found = {}
    for layer in layers:
        if layer.type != trt.LayerType.CONVOLUTION:
            continue
        inputs = [layer.get_input(i) for i in range(min(layer.num_inputs, 2))]
        types = {type_of(tensor) for tensor in inputs if tensor is not None}
        plain = NAMES.get(inputs[0].dtype.name, "?")
        # A weight that is not a tensor is not an input, and was not quantized.
        found[layer.name] = types.pop() if len(inputs) == 2 and len(types) == 1 else plain
    return found


def check_types(requested: dict[str, str], parsed: dict[str, str], flavor: Flavor) -> None:
    """Refuse a network whose convolutions have other types, see `convolution_types`, than requested."""
    wrong = [name for name, kind in requested.items() if parsed.get(name) != kind]
    if wrong:
        first = wrong[0]
        raise EngineError(
            f"{flavor.name} {flavor.version} computes {len(wrong)} of {len(requested)} convolutions in types "
            f"other than requested, e.g. {first!r}: {parsed.get(first, 'not there')}, not {requested[first]}"
        )
