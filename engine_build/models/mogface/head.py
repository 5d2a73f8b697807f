"""The prediction heads of MogFace and its variants.

Each maps six levels, [N, 256, h, w] each, to logits [N, 1, h, w] and deltas [N, 4, h, w] of each level.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine_build.models.mogface.lfpn import WIDTH

GROUPS = 16
DEPTH = 4
LEVELS = 6


class SSHContext(nn.Module):
    """Three receptive fields side by side (SSH, Najibi et al. 2017), with dilated convolutions."""

    CHANNELS = 512

    def __init__(self) -> None:
        super().__init__()
        half, quarter = self.CHANNELS // 2, self.CHANNELS // 4
        self.conv1 = nn.Conv2d(WIDTH, half, 3, padding=1)
        self.conv2 = nn.Conv2d(WIDTH, quarter, 3, padding=2, dilation=2)
        self.conv2_1 = nn.Conv2d(quarter, quarter, 3, padding=1)
        self.conv2_2 = nn.Conv2d(quarter, quarter, 3, padding=2, dilation=2)
        self.conv2_2_1 = nn.Conv2d(quarter, quarter, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, 256, h, w] to [N, 512, h, w]."""
        near = functional.relu(self.conv1(x))
        x = functional.relu(self.conv2(x))
        middle = functional.relu(self.conv2_1(x))
        far = functional.relu(self.conv2_2_1(functional.relu(self.conv2_2(x))))
        return torch.cat([near, middle, far], dim=1)


class NormalizedConvolution(nn.Module):
    """A convolution with a bias, and batch normalization."""

    def __init__(self, channels: int, width: int, side: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, side, padding=side // 2)
        self.bn1 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, channels, h, w] to [N, width, h, w]."""
        result: Tensor = self.bn1(self.conv1(x))
        return result


class CPM(nn.Module):
    """Context-sensitive prediction module (PyramidBox, Tang et al. 2018): a residual block, then SSH."""

    CHANNELS = 256

    def __init__(self) -> None:
        super().__init__()
        self.branch1 = NormalizedConvolution(WIDTH, 512, 1)
        self.branch2a = NormalizedConvolution(WIDTH, 128, 1)
        self.branch2b = NormalizedConvolution(128, 128, 3)
        self.branch2c = NormalizedConvolution(128, 512, 1)
        self.ssh_1 = nn.Conv2d(512, 128, 3, padding=1)
        self.ssh_dimred = nn.Conv2d(512, 64, 3, padding=1)
        self.ssh_2 = nn.Conv2d(64, 64, 3, padding=1)
        self.ssh_3a = nn.Conv2d(64, 64, 3, padding=1)
        self.ssh_3b = nn.Conv2d(64, 64, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, 256, h, w] to the same shape."""
        inner = functional.relu(self.branch2b(functional.relu(self.branch2a(x))))
        x = functional.relu(self.branch2c(inner) + self.branch1(x))
        reduced = functional.relu(self.ssh_dimred(x))
        far = self.ssh_3b(functional.relu(self.ssh_3a(reduced)))
        return functional.relu(torch.cat([self.ssh_1(x), self.ssh_2(reduced), far], dim=1))


class DeepHead(nn.Module):
    """One convolution applied four times, each time with a group normalization of its own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        for step in range(1, DEPTH + 1):
            self.add_module(f"gn{step}", nn.GroupNorm(GROUPS, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, channels, h, w] to the same shape."""
        for step in range(1, DEPTH + 1):
            x = functional.relu(self.get_submodule(f"gn{step}")(self.conv1(x)))
        return x


class SharedHead(nn.Module):
    """Context, followed by a deep branch for the scores and one for the boxes; the same for all levels."""

    def __init__(self, context: str, module: SSHContext | CPM) -> None:
        super().__init__()
        self.add_module(context, module)
        self._context = context
        self.deep_cls_head = DeepHead(module.CHANNELS)
        self.deep_loc_head = DeepHead(module.CHANNELS)
        self.pred_cls = nn.Conv2d(module.CHANNELS, 1, 3, padding=1)
        self.pred_loc = nn.Conv2d(module.CHANNELS, 4, 3, padding=1)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Return logits and deltas of each level."""
        maps = []
        for level in levels:
            x = self.get_submodule(self._context)(level)
            maps += [self.pred_cls(self.deep_cls_head(x)), self.pred_loc(self.deep_loc_head(x))]
        return maps


class PlainHead(nn.Module):
    """A convolution for the scores of each level, and one for its boxes."""

    def __init__(self) -> None:
        super().__init__()
        self.pred_cls = nn.ModuleList(nn.Conv2d(WIDTH, 1, 3, padding=1) for _ in range(LEVELS))
        self.pred_loc = nn.ModuleList(nn.Conv2d(WIDTH, 4, 3, padding=1) for _ in range(LEVELS))

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Return logits and deltas of each level."""
        heads = zip(self.pred_cls, self.pred_loc, levels)
        return [head(level) for classify, locate, level in heads for head in (classify, locate)]
