"""Layers of a built engine, read from TensorRT's log, so that no GPU has to read the plan back."""

from __future__ import annotations

import re
from collections.abc import Sequence

from trt_mogface.errors import EngineError
from trt_mogface.models.manifest import Layer

DESCRIBED = re.compile(
    r"^Name: (?P<name>.*?), LayerType: (?P<kind>[^,]*), Inputs: \[(?P<inputs>.*?)\], (?:Constants|Outputs): ",
    re.MULTILINE,
)
"""The builder's verbose description of a layer, with detailed profiling verbosity."""

TYPES = {"Float": "fp32", "Half": "fp16", "BFloat16": "bf16", "Int8": "int8", "FP8": "fp8"}


def layers_in(message: str) -> list[Layer]:
    """Return the layers that a message of the builder describes, one per line; most messages have none."""
    layers = []
    for found in DESCRIBED.finditer(message):
        first = re.search(r"Datatype: (\w+)", found["inputs"])
        kind = TYPES.get(first[1], first[1].lower()) if first else ""
        layers.append(Layer(found["name"], found["kind"], kind))
    return layers


def check_computes_in(layers: Sequence[Layer], precision: str) -> None:
    """Refuse an engine in which no layer reads the requested type, if it has layers."""
    if layers and all(layer.type != precision for layer in layers):
        have = ", ".join(sorted({layer.type for layer in layers if layer.type}))
        raise EngineError(f"{precision} was requested, but the layers of the engine compute in {have}")
