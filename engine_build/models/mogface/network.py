"""The network of MogFace, for inference.

Attributes have the names of the published checkpoint's keys.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine_build.models.mogface.head import Head
from engine_build.models.mogface.lfpn import LFPN
from engine_build.models.mogface.resnet import ResNet101
from engine_build.models.mogface.spec import EXTRA_DIVISOR, MEAN, STD
from engine_build.onnx.export import OnPixels


class MogFace(nn.Module):
    """From normalized planes to scores and deltas."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = ResNet101()
        self.fpn = LFPN()
        self.pred_net = Head()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map normalized RGB, float32 [N, 3, H, W], of any H and W, to scores and deltas.

        Scores are float32 [N, A] within 0..1, deltas float32 [N, A, 4], level by level, row by row.
        """
        levels = [self.pred_net(level) for level in self.fpn(self.backbone(x))]
        scores, deltas = zip(*levels)
        return torch.cat(scores, dim=1), torch.cat(deltas, dim=1)


def on_pixels(network: MogFace) -> OnPixels:
    """Put a network behind the contract's input, and change it in place to read blue, green, red.

    Turning its first convolution is exact and saves reversing the image.
    """
    first = network.backbone.conv1
    first.weight = nn.Parameter(first.weight.detach().flip(1))
    return OnPixels(network, MEAN, [value * EXTRA_DIVISOR for value in STD]).eval()
