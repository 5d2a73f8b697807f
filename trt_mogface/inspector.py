"""The layers of an engine, as TensorRT's engine inspector tells them.  Needs a GPU: a plan is read by one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trt_mogface.errors import EngineError
from trt_mogface.tensorrt import Flavour

TYPES = {"int8": "Int8", "fp8": "FP8", "fp16": "Half", "bf16": "BFloat16", "fp32": "Float"}
"""How the inspector names the type of a tensor, at the beginning or within a description of its layout."""


@dataclass(frozen=True)
class Layer:
    """A layer of an engine.

    Attributes:
        name: As TensorRT fused it from the network's layers.
        kind: E.g. ``CaskConvolution``.
        formats: Type and layout of its outputs, as TensorRT words them.
    """

    name: str
    kind: str
    formats: tuple[str, ...]


def deserialised(flavour: Flavour, plan: bytes, path: Path) -> Any:
    """The engine of a plan.

    Raises:
        EngineError: TensorRT refuses it.
    """
    trt = flavour.module
    runtime = trt.Runtime(trt.Logger(trt.Logger.INTERNAL_ERROR))
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise EngineError(f"{path}: {flavour.name} {flavour.version} cannot read this plan on this machine")
    return engine


def layers(flavour: Flavour, plan: bytes, path: Path) -> list[Layer]:
    """The layers of a plan.

    Raises:
        EngineError: TensorRT refuses it.
    """
    engine = deserialised(flavour, plan, path)
    inspector = engine.create_engine_inspector()
    told = inspector.get_engine_information(flavour.module.LayerInformationFormat.JSON)
    return [_layer(fields) for fields in json.loads(told)["Layers"]]


def check_has_type(found: list[Layer], precision: str, path: Path) -> None:
    """Refuse an engine in which no layer has the type that was asked for.

    Raises:
        EngineError: None has.
    """
    if not any(TYPES[precision] in text for layer in found for text in layer.formats):
        raise EngineError(f"{path}: {precision} was asked for, and no layer of the engine computes in it")


def _layer(fields: Any) -> Layer:
    if isinstance(fields, str):  # an engine built without details has names alone
        return Layer(fields, "", ())
    formats = tuple(str(output.get("Format/Datatype", "")) for output in fields.get("Outputs", []))
    return Layer(str(fields.get("Name", "")), str(fields.get("LayerType", "")), formats)
