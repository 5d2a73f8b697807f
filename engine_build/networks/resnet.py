"""ResNet (He et al. 2016) with bottlenecks, as torchvision has it: strides are in the 3x3 convolutions."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 4, 36, 3)}
"""Numbers of blocks of the four stages, by depth.

The authors of MogFace-E give ResNet-152 four blocks in its second stage; torchvision has eight.
"""

EXPANSION = 4
CHANNELS = tuple(width * EXPANSION for width in (64, 128, 256, 512))
"""Numbers of channels of C2 to C5."""


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution with batch normalization, and a shortcut around them."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        wide = width * EXPANSION
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, wide, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(wide)
        self.downsample = (
            nn.Sequential(nn.Conv2d(channels, wide, 1, stride, bias=False), nn.BatchNorm2d(wide))
            if stride != 1 or channels != wide
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, channels, H, W] to [N, 4 * width, ceil(H / stride), ceil(W / stride)]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.relu(self.bn2(self.conv2(x)))
        return functional.relu(self.bn3(self.conv3(x)) + shortcut)


class ResNet(nn.Module):
    """ResNet up to C5.

    Args:
        depth: Number of layers: 50, 101 or 152.
    """

    def __init__(self, depth: int) -> None:
        super().__init__()
        blocks = BLOCKS[depth]
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _stage(64, 64, blocks[0], stride=1)
        self.layer2 = _stage(CHANNELS[0], 128, blocks[1], stride=2)
        self.layer3 = _stage(CHANNELS[1], 256, blocks[2], stride=2)
        self.layer4 = _stage(CHANNELS[2], 512, blocks[3], stride=2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Map normalized RGB [N, 3, H, W] to C2, C3, C4 and C5, at strides 4, 8, 16 and 32."""
        x = functional.relu(self.bn1(self.conv1(x)))
        c2 = self.layer1(functional.max_pool2d(x, 3, 2, 1))
        c3 = self.layer2(c2)
        c4 = self.layer3(c3)
        return c2, c3, c4, self.layer4(c4)


def _stage(channels: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    first = Bottleneck(channels, width, stride)
    rest = (Bottleneck(width * EXPANSION, width, 1) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)
