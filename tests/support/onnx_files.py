"""Small ONNX files: of the contract, nearly of it, and not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engine_build.onnx import contract, pixels
from tests.support.specs import Floats
from trt_mogface.models.cards import DEFAULT, embedded_file
from trt_mogface.spec import METADATA_KEY


def default_model() -> onnx.ModelProto:
    """The default model in the form that engines are built from."""
    model = contract.load(embedded_file(DEFAULT))
    pixels.cast_first(model)
    return model


def constant_network(
    path: Path,
    outputs: dict[str, Floats],
    *,
    spec: str | None = None,
    input_name: str = "images",
    input_type: int = TensorProto.UINT8,
    input_rank: int = 4,
) -> Path:
    """A network that answers ``outputs`` whatever it is shown; ``spec`` is its metadata, if any."""
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))
        for name, value in outputs.items()
    ]
    results = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in outputs.items()
    ]
    dimensions: list[str] = [f"d{axis}" for axis in range(input_rank)]
    pixels = helper.make_tensor_value_info(input_name, input_type, dimensions)
    graph = helper.make_graph(nodes, "made up", [pixels], results)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    if spec is not None:
        helper.set_model_props(model, {METADATA_KEY: spec})
    onnx.save(model, str(path))
    return path


def answers(anchors: int, *, landmarks: int = 0, batch: int = 1) -> dict[str, Floats]:
    """Outputs of the contract for some anchors, all zero."""
    outputs: dict[str, Floats] = {
        "scores": np.zeros((batch, anchors), np.float32),
        "deltas": np.zeros((batch, anchors, 4), np.float32),
    }
    if landmarks:
        outputs["landmarks"] = np.zeros((batch, anchors, 2 * landmarks), np.float32)
    return outputs
