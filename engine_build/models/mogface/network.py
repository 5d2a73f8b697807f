"""MogFace (Liu et al., CVPR 2022) as ModelScope publishes it, for inference.

Attribute names follow the published checkpoint, so that its keys are this module's keys.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine_build.models.mogface.head import Head
from engine_build.models.mogface.lfpn import LFPN
from engine_build.models.mogface.resnet import ResNet101
from engine_build.models.mogface.spec import EXTRA_DIVISOR, MEAN, STD


class MogFace(nn.Module):
    """Normalized pictures to scores and deltas."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = ResNet101()
        self.fpn = LFPN()
        self.pred_net = Head()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Normalized RGB, float32 [N, 3, H, W] of any H and W.

        Returns:
            Scores float32 [N, A] within 0..1 and deltas float32 [N, A, 4], level by level, row by row.
        """
        levels = [self.pred_net(level) for level in self.fpn(self.backbone(x))]
        scores, deltas = zip(*levels)
        return torch.cat(scores, dim=1), torch.cat(deltas, dim=1)


class MogFaceOnPixels(nn.Module):
    """`MogFace` behind the contract's input: the normalization is part of the network.

    Takes the network over: its first convolution is turned to read blue, green, red, which is exact and
    saves reversing the picture.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, network: MogFace) -> None:
        super().__init__()
        first = network.backbone.conv1
        first.weight = nn.Parameter(first.weight.detach().flip(1))
        self.network = network
        std = torch.tensor(STD, dtype=torch.float64) * EXTRA_DIVISOR
        self.register_buffer("mean", torch.tensor(MEAN).reshape(1, 3, 1, 1))
        self.register_buffer("scale", (1 / std).float().reshape(1, 3, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 [N, H, W, 3], BGR, to what `MogFace` returns."""
        pixels = images.float().permute(0, 3, 1, 2)
        scores, deltas = self.network((pixels - self.mean) * self.scale)
        return scores, deltas
