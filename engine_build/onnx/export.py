"""Export of torch networks as contract models."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from engine_build.onnx import contract
from engine_build.onnx.graph import without_identities
from trt_mogface.spec import INPUT, DetectorSpec

if TYPE_CHECKING:
    import onnx

OPSET = 17
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
    import onnx

    example = torch.zeros(1, *TRACED_SIZE, 3, dtype=torch.uint8)
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
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(spec.outputs),
            dynamic_axes={INPUT: {0: "N", 1: "H", 2: "W"}, **{o: {0: "N", 1: "A"} for o in spec.outputs}},
        )
    model = onnx.load_from_string(buffer.getvalue())
    without_identities(model)
    contract.complete(model, spec)
    return model
