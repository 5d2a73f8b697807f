"""The networks of MogFace, for inference.

Attributes have the names of the published checkpoints' keys.
"""

from __future__ import annotations

from torch import Tensor, nn

from engine_build.models.mogface.head import CPM, PlainHead, SharedHead, SSHContext
from engine_build.models.mogface.lfpn import LFPN
from engine_build.networks.resnet import ResNet


class MogFace(nn.Module):
    """From normalized planes to the maps of six levels.

    Args:
        depth: Depth of the ResNet.
        head: Prediction head.
    """

    def __init__(self, depth: int, head: nn.Module) -> None:
        super().__init__()
        self.backbone = ResNet(depth)
        self.fpn = LFPN()
        self.pred_net = head

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map normalized RGB, float32 [N, 3, H, W], of any H and W, to logits and deltas of each level."""
        maps: list[Tensor] = self.pred_net(self.fpn(self.backbone(x)))
        return maps


def mogface() -> MogFace:
    """Return MogFace, ResNet-101."""
    return MogFace(101, SharedHead("conv_SSH", SSHContext()))


def mogface_e() -> MogFace:
    """Return MogFace-E, ResNet-152."""
    return MogFace(152, SharedHead("conv_CPM", CPM()))


def baseline() -> MogFace:
    """Return the network that Ali-AMS, SSE, HCAM and the authors' baseline share, ResNet-50."""
    return MogFace(50, PlainHead())
