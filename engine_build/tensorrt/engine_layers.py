"""Layers of a built engine, read from TensorRT's log, so that no GPU has to read the plan back."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from trt_mogface.errors import EngineError
from trt_mogface.models.manifest import UNVERIFIED, Layer

DESCRIBED = re.compile(
    r"^Name: (?P<name>.*?), LayerType: (?P<kind>[^,]*), "
    r"Inputs: \[(?P<inputs>.*?)\], (?:Constants|Outputs): (?P<rest>.*)",
    re.MULTILINE,
)
"""The builder's verbose description of a layer, with detailed profiling verbosity."""

TYPES = {
    **dict.fromkeys(("fp32", "float", "float32"), "fp32"),
    **dict.fromkeys(("fp16", "half", "float16"), "fp16"),
    **dict.fromkeys(("bf16", "bfloat16"), "bf16"),
    **{name: name for name in ("fp8", "fp4", "int64", "int32", "int8", "int4", "uint8", "bool")},
}
"""TensorRT's names of data types in lower case: releases before 10.0 and after it use different ones."""

VALUE = re.compile(r"Datatype: ([^,}\]]*)")
"""A word such as Half, or a sentence such as Channel major FP16 format where channel % 8 == 0."""

# A convolution's weights have a type even where those of its tensors depend on the shapes.
WEIGHTS = re.compile(r'Weights: \{"Type": "([^"]*)"')

log = logging.getLogger("trt_mogface")


def layers_in(message: str) -> list[Layer]:
    """Return the layers that a message of the builder describes, one per line; most messages have none."""
    layers = []
    for found in DESCRIBED.finditer(message):
        tensor = VALUE.search(found["inputs"])
        weights = WEIGHTS.search(found["rest"]) if tensor else None
        known = (data_type(each[1]) for each in (tensor, weights) if each)
        kind = next(filter(None, known), UNVERIFIED) if tensor else ""
        layers.append(Layer(found["name"], found["kind"], kind))
    return layers


def data_type(description: str) -> str | None:
    """Return the data type that TensorRT's description of a tensor names; None if it does not name one."""
    words = re.findall(r"[a-z0-9]+", description.lower())
    found = {TYPES[word] for word in words if word in TYPES}
    return found.pop() if len(found) == 1 else None


def check_computes_in(layers: Sequence[Layer], precision: str) -> None:
    """Refuse an engine in which no layer reads the requested type, if the types of its layers are known.

    TensorRT 10 describes no types of tensors whose shapes are dynamic.  The build goes on with a warning if
    layers are unverified and none is known to read the type.

    Raises:
        EngineError: If all types are known and `precision` is not one of them.
    """
    types = {layer.type for layer in layers if layer.type}
    if not types or precision in types:
        return
    if UNVERIFIED not in types:
        have = ", ".join(sorted(types))
        raise EngineError(f"{precision} was requested, but the layers of the engine compute in {have}")
    count = sum(layer.type == UNVERIFIED for layer in layers)
    problem = f"TensorRT does not describe the types of {count} of {len(layers)} layers"
    log.warning("%s is unverified: %s; use fixed shapes to see them", precision, problem)
