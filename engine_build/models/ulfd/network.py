"""The networks of ULFD.  Attributes have the names of the published checkpoints' keys."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Variant = Literal["slim", "rfb"]

BLOCKS = (
    (16, 32, 1),
    (32, 32, 2),
    (32, 32, 1),
    (32, 64, 2),
    (64, 64, 1),
    (64, 64, 1),
    (64, 64, 1),
    (64, 128, 2),
    (128, 128, 1),
    (128, 128, 1),
    (128, 256, 2),
    (256, 256, 1),
)
"""Input channels, output channels and stride of the depthwise separable blocks."""

RECEPTIVE_FIELD = 7
"""Layer that RFB replaces by a receptive field block."""

TAPS = (7, 10, 12)
"""Last layers of the backbone in front of the heads at strides 8, 16 and 32."""

CHANNELS = (64, 128, 256, 256)
ANCHORS = (3, 2, 2, 3)


def _convolution(channels: int, width: int, stride: int, groups: int = 1) -> list[nn.Module]:
    side = 3 if groups == channels or channels == 3 else 1
    return [
        nn.Conv2d(channels, width, side, stride, side // 2, groups=groups, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    ]


def _separable_block(channels: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        *_convolution(channels, channels, stride, channels), *_convolution(channels, width, 1)
    )


def _separable(channels: int, width: int, stride: int = 1) -> nn.Sequential:
    depthwise = nn.Conv2d(channels, channels, 3, stride, 1, groups=channels)
    return nn.Sequential(depthwise, nn.ReLU(), nn.Conv2d(channels, width, 1))


class BasicConv(nn.Module):
    """A convolution with batch normalization."""

    def __init__(
        self, channels: int, width: int, side: int, dilation: int = 1, *, active: bool = True
    ) -> None:
        super().__init__()
        padding = dilation * (side // 2)
        self.conv = nn.Conv2d(channels, width, side, padding=padding, dilation=dilation, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, channels, h, w] to [N, width, h, w]."""
        x = self.bn(self.conv(x))
        return functional.relu(x) if self.active else x


class BasicRFB(nn.Module):
    """Receptive field block (Liu et al. 2018): three dilations side by side, beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = channels // 8
        wide = 2 * narrow
        between = narrow // 2 * 3
        self.branch0 = self._branch(channels, (narrow, wide), 2)
        self.branch1 = self._branch(channels, (narrow, wide), 3)
        self.branch2 = self._branch(channels, (narrow, between, wide), 5)
        self.ConvLinear = BasicConv(3 * wide, channels, 1, active=False)
        self.shortcut = BasicConv(channels, channels, 1, active=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, channels, h, w] to the same shape."""
        branches = torch.cat([self.branch0(x), self.branch1(x), self.branch2(x)], dim=1)
        return functional.relu(self.ConvLinear(branches) + self.shortcut(x))

    @staticmethod
    def _branch(channels: int, widths: Sequence[int], dilation: int) -> nn.Sequential:
        layers = [BasicConv(channels, widths[0], 1, active=False)]
        layers += [BasicConv(before, after, 3) for before, after in pairwise(widths)]
        return nn.Sequential(*layers, BasicConv(widths[-1], widths[-1], 3, dilation, active=False))


class Ulfd(nn.Module):
    """Ultra-Light-Fast-Generic-Face-Detector: a narrow MobileNetV1 with SSD's heads."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        first = nn.Sequential(*_convolution(3, 16, 2))
        layers: list[nn.Module] = [first, *(_separable_block(*block) for block in BLOCKS)]
        if variant == "rfb":
            layers[RECEPTIVE_FIELD] = BasicRFB(64)
        self.base_net = nn.Sequential(*layers)
        extra = nn.Sequential(nn.Conv2d(256, 64, 1), nn.ReLU(), _separable(64, 256, 2), nn.ReLU())
        self.extras = nn.ModuleList([extra])
        self.classification_headers = self._heads(2)
        self.regression_headers = self._heads(4)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map normalized RGB, float32 [N, 3, H, W], to logits and deltas of each of four levels."""
        features = []
        for index, layer in enumerate(self.base_net):
            x = layer(x)
            if index in TAPS:
                features.append(x)
        features.append(self.extras[0](x))
        heads = zip(self.classification_headers, self.regression_headers, features)
        return [head(x) for classify, regress, x in heads for head in (classify, regress)]

    @staticmethod
    def _heads(values: int) -> nn.ModuleList:
        widths = [values * anchors for anchors in ANCHORS]
        fine = [_separable(channels, width) for channels, width in zip(CHANNELS[:-1], widths)]
        return nn.ModuleList([*fine, nn.Conv2d(CHANNELS[-1], widths[-1], 3, padding=1)])
