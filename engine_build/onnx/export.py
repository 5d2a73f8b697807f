"""Export of torch networks as contract models."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from engine_build.onnx import contract, opset
from engine_build.onnx.graph import without_identities
from trt_mogface.spec import INPUT, DetectorSpec

if TYPE_CHECKING:
    import onnx

PLANES = "normalized"
TRACED_SIZE = (65, 97)
"""Odd on purpose: a step that only odd sizes need must not be traced away."""


class OnPixels(nn.Module):
    """A network of normalized planes behind the contract's input.

    Args:
        network: Network of float32 [N, 3, H, W].
        mean, std: Mean and standard deviation of the three channels of a pixel, 0..255.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        scale = 1 / torch.tensor(std, dtype=torch.float64)
        self.register_buffer("mean", torch.tensor(mean).reshape(1, 3, 1, 1))
        self.register_buffer("scale", scale.float().reshape(1, 3, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map images, uint8 [N, H, W, 3], to the outputs of the network."""
        pixels = images.float().permute(0, 3, 1, 2)
        outputs: tuple[Tensor, ...] = self.network((pixels - self.mean) * self.scale)
        return outputs


def export(module: nn.Module, spec: DetectorSpec) -> onnx.ModelProto:
    """Return the contract model of a network, right at every N, H and W; shared weights are stored once.

    Args:
        module: Network in inference mode, from uint8 [N, H, W, 3], BGR, to the outputs of ``spec`` in order.
        spec: Spec of the network.
    """
    example = torch.zeros(1, *TRACED_SIZE, 3, dtype=torch.uint8)
    axes = {INPUT: {0: "N", 1: "H", 2: "W"}, **{name: {0: "N", 1: "A"} for name in spec.outputs}}
    model = _traced(module, example, INPUT, list(spec.outputs), axes)
    contract.complete(model, spec)
    return model


def export_maps(network: nn.Module) -> tuple[onnx.ModelProto, list[str]]:
    """Return the model of a network, right at every N, H and W, and the names of its outputs.

    Args:
        network: Network in inference mode, from normalized planes, float32 [N, 3, H, W], to a sequence of maps.
    """
    example = torch.zeros(1, 3, *TRACED_SIZE)
    with torch.no_grad():
        names = [f"map_{i}" for i in range(len(network(example)))]
    axes = {name: {0: "N", 2: "H", 3: "W"} for name in (PLANES, *names)}
    return _traced(network, example, PLANES, names, axes), names


def _traced(
    module: nn.Module, example: Tensor, source: str, results: Sequence[str], axes: Mapping[str, Mapping[int, str]]
) -> onnx.ModelProto:
    import onnx

    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # The tracing exporter takes a quarter of the time of the torch.export one (9 s against 39 s for
        # MogFace) and writes the same network; it warns of its age, and of shapes that stay dynamic.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (example,),
            cast(Any, buffer),  # typed as a path, documented as a path or a file
            dynamo=False,
            opset_version=opset.EXPORTED,
            input_names=[source],
            output_names=list(results),
            dynamic_axes=axes,
        )
    model = onnx.load_from_string(buffer.getvalue())
    without_identities(model)
    return model
