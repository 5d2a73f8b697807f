"""Export of torch networks."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from engine_build.onnx import opset
from engine_build.onnx.graph import without_identities

if TYPE_CHECKING:
    import onnx

PLANES = "normalized"
TRACED_SIZE = (65, 97)
"""Odd on purpose: a step that only odd sizes need must not be traced away."""


def export(network: nn.Module, names: Sequence[str]) -> onnx.ModelProto:
    """Return the model of a network, right at every N, H and W.

    Shared weights are stored once.

    Args:
        network: Network in inference mode, from normalized planes, float32 [N, 3, H, W], to a sequence of
            maps, float32 [N, C, h, w].
        names: Name of each map.
    """
    import onnx

    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # The tracing exporter takes a quarter of the time of the torch.export one (9 s against 39 s for
        # MogFace) and writes the same network; it warns of its age, and of shapes that stay dynamic.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, *TRACED_SIZE),),
            cast(Any, buffer),  # typed as a path, documented as a path or a file
            dynamo=False,
            opset_version=opset.EXPORTED,
            input_names=[PLANES],
            output_names=list(names),
            dynamic_axes={name: {0: "N", 2: "H", 3: "W"} for name in (PLANES, *names)},
        )
    model = onnx.load_from_string(buffer.getvalue())
    without_identities(model)
    return model


def output_shapes(network: nn.Module, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the shapes of a network's outputs for an input of a shape, without computing them."""
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    with torch.no_grad():
        shapes = {name: tensor.to("meta") for name, tensor in state.items()}
        outputs = torch.func.functional_call(network, shapes, torch.zeros(shape, device="meta"))
    return [tuple(output.shape) for output in outputs]
