"""The prediction head of MogFace, with one set of weights for all six levels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine_build.models.mogface.lfpn import WIDTH

DEEP = 512
GROUPS = 16
DEPTH = 4


class SSHContext(nn.Module):
    """Three receptive fields side by side (SSH, Najibi et al. 2017), with dilated convolutions."""

    def __init__(self) -> None:
        super().__init__()
        half, quarter = DEEP // 2, DEEP // 4
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


class DeepHead(nn.Module):
    """One convolution applied four times, each time with a group normalization of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(DEEP, DEEP, 3, padding=1)
        for step in range(1, DEPTH + 1):
            self.add_module(f"gn{step}", nn.GroupNorm(GROUPS, DEEP))

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, 512, h, w] to the same shape."""
        for step in range(1, DEPTH + 1):
            x = functional.relu(self.get_submodule(f"gn{step}")(self.conv1(x)))
        return x


class Head(nn.Module):
    """Context, followed by a deep branch for the scores and one for the boxes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_SSH = SSHContext()
        self.deep_cls_head = DeepHead()
        self.deep_loc_head = DeepHead()
        self.pred_cls = nn.Conv2d(DEEP, 1, 3, padding=1)
        self.pred_loc = nn.Conv2d(DEEP, 4, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map a level [N, 256, h, w] to scores [N, h * w] within 0..1 and deltas [N, h * w, 4]."""
        x = self.conv_SSH(x)
        scores = torch.sigmoid(self.pred_cls(self.deep_cls_head(x)))
        deltas = self.pred_loc(self.deep_loc_head(x))
        return scores.flatten(1), deltas.flatten(2).transpose(1, 2)
