"""Types read back from a parsed network: what was asked for is not always what was understood."""

from __future__ import annotations

from typing import Any

from trt_mogface.errors import EngineError
from trt_mogface.machine.tensorrt import Flavor

NAMES = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16", "INT8": "int8", "FP8": "fp8"}


def convolution_types(network: Any, trt: Any) -> dict[str, str]:
    """The type each convolution computes in, by its layer's name, which is the ONNX node's.

    A convolution computes in INT8 or FP8 where both its picture and its weight come out of a dequantization
    of that type; otherwise in the type of its input.

    Args:
        network: ``INetworkDefinition``, strongly typed.
        trt: The flavor's module.
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
        # A weight that is no tensor is no input, and was not quantized.
        found[layer.name] = types.pop() if len(inputs) == 2 and len(types) == 1 else plain
    return found


def check_types(asked: dict[str, str], given: dict[str, str], flavor: Flavor) -> None:
    """Refuse a network whose convolutions are not of the types that were asked for.

    Args:
        asked: Type by convolution.
        given: As read back from the parsed network.
        flavor: For the message.

    Raises:
        EngineError: It names the first that differs.
    """
    wrong = [name for name, kind in asked.items() if given.get(name) != kind]
    if wrong:
        first = wrong[0]
        raise EngineError(
            f"{flavor.name} {flavor.version} computes {len(wrong)} of {len(asked)} convolutions in another "
            f"type than asked, such as {first!r}: {given.get(first, 'not there')}, not {asked[first]}"
        )
