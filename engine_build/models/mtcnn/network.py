"""P-Net, R-Net and O-Net in torch, with the keys of ModelScope's weights."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn


class Transposed(nn.Module):
    """Flattens maps column by column, the order in which the dense layers were trained."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return [N, C * W * H] for [N, C, H, W]."""
        return maps.transpose(2, 3).flatten(1)


class Stage(nn.Module):
    """One of the three networks: a chain of layers, and heads on it."""

    features: nn.Sequential


class PNet(Stage):
    """Proposal network: a score and offsets for every window of 12 x 12 pixels at a stride of 2."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(3, 10, 3),
                prelu1=nn.PReLU(10),
                pool1=nn.MaxPool2d(2, 2, ceil_mode=True),
                conv2=nn.Conv2d(10, 16, 3),
                prelu2=nn.PReLU(16),
                conv3=nn.Conv2d(16, 32, 3),
                prelu3=nn.PReLU(32),
            )
        )
        self.conv4_1 = nn.Conv2d(32, 2, 1)
        self.conv4_2 = nn.Conv2d(32, 4, 1)

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores [N, h, w] and offsets [N, 4, h, w] for normalized planes [N, 3, H, W]."""
        maps = self.features(planes)
        return probability(self.conv4_1(maps)), self.conv4_2(maps)


class RNet(Stage):
    """Refinement network: a score and offsets for crops of 24 x 24 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(3, 28, 3),
                prelu1=nn.PReLU(28),
                pool1=nn.MaxPool2d(3, 2, ceil_mode=True),
                conv2=nn.Conv2d(28, 48, 3),
                prelu2=nn.PReLU(48),
                pool2=nn.MaxPool2d(3, 2, ceil_mode=True),
                conv3=nn.Conv2d(48, 64, 2),
                prelu3=nn.PReLU(64),
                flatten=Transposed(),
                conv4=nn.Linear(576, 128),
                prelu4=nn.PReLU(128),
            )
        )
        self.conv5_1 = nn.Linear(128, 2)
        self.conv5_2 = nn.Linear(128, 4)

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores [N] and offsets [N, 4] for normalized planes [N, 3, 24, 24]."""
        features = self.features(planes)
        return probability(self.conv5_1(features)), self.conv5_2(features)


class ONet(Stage):
    """Output network: a score, offsets and landmarks for crops of 48 x 48 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(3, 32, 3),
                prelu1=nn.PReLU(32),
                pool1=nn.MaxPool2d(3, 2, ceil_mode=True),
                conv2=nn.Conv2d(32, 64, 3),
                prelu2=nn.PReLU(64),
                pool2=nn.MaxPool2d(3, 2, ceil_mode=True),
                conv3=nn.Conv2d(64, 64, 3),
                prelu3=nn.PReLU(64),
                pool3=nn.MaxPool2d(2, 2, ceil_mode=True),
                conv4=nn.Conv2d(64, 128, 2),
                prelu4=nn.PReLU(128),
                flatten=Transposed(),
                conv5=nn.Linear(1152, 256),
                prelu5=nn.PReLU(256),
            )
        )
        self.conv6_1 = nn.Linear(256, 2)
        self.conv6_2 = nn.Linear(256, 4)
        self.conv6_3 = nn.Linear(256, 10)

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores [N], offsets [N, 4] and landmarks [N, 10] for normalized planes [N, 3, 48, 48]."""
        features = self.features(planes)
        return probability(self.conv6_1(features)), self.conv6_2(features), self.conv6_3(features)


def probability(logits: Tensor) -> Tensor:
    """Return the softmax of column 1 of two, in the arithmetic of torch's: a sigmoid rounds differently."""
    return torch.reciprocal(1 + torch.exp(logits[:, 0] - logits[:, 1]))
