"""MogFace from torch to a contract ONNX file."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any, cast

import torch

from engine_build.models.mogface.network import MogFace, MogFaceOnPixels
from engine_build.onnx import contract
from engine_build.onnx.graph import without_identities
from trt_mogface.spec import DELTAS, INPUT, SCORES, DetectorSpec

if TYPE_CHECKING:
    import onnx

OPSET = 17
TRACED_SIZE = (65, 97)
"""Odd on purpose: a step that only odd sizes need must not be traced away."""


def export_mogface(network: MogFace, spec: DetectorSpec) -> onnx.ModelProto:
    """The network behind the contract's input and outputs, right at every N, H and W.

    Args:
        network: With its weights, in inference mode.
        spec: See `engine_build.models.mogface.spec`.

    Returns:
        A model whose head weights are stored once, although six levels use them four times each.
    """
    import onnx

    example = torch.zeros(1, *TRACED_SIZE, 3, dtype=torch.uint8)
    dynamic = {INPUT: {0: "N", 1: "H", 2: "W"}, SCORES: {0: "N", 1: "A"}, DELTAS: {0: "N", 1: "A"}}
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # The tracing exporter takes a quarter of the time of the torch.export one (9 s against 39 s here)
        # and writes the same network; it warns of its age, and of shapes that this network keeps dynamic.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            MogFaceOnPixels(network).eval(),
            (example,),
            cast(Any, buffer),  # typed as a path alone, documented as a file too
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[SCORES, DELTAS],
            dynamic_axes=dynamic,
        )
    model = onnx.load_from_string(buffer.getvalue())
    without_identities(model)
    contract.complete(model, spec)
    return model
