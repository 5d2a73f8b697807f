"""The networks of RetinaFace (Deng et al. 2020), as in the repository biubug6/Pytorch_Retinaface.

Attributes have the names of its checkpoints' keys.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine_build.networks.resnet import CHANNELS, ResNet

ANCHORS = 2
LEVELS = 3
POINTS = 5
LEAK = 0.1
"""Slope of the narrow network's activations on negative values; the others have none."""

MOBILE_CHANNELS = (64, 128, 256)
MOBILE_STAGES = (
    ((8, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)),
    ((64, 128, 2), *((128, 128, 1),) * 5),
    ((128, 256, 2), (256, 256, 1)),
)
"""Input channels, output channels and stride of the depthwise separable blocks of each stage."""


def _normalized(channels: int, width: int, side: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, width, side, stride, side // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(width)]


def _convolution(channels: int, width: int, side: int, leak: float, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(*_normalized(channels, width, side, stride), nn.LeakyReLU(leak))


def _separable(channels: int, width: int, stride: int, leak: float) -> nn.Sequential:
    depthwise = _normalized(channels, channels, 3, stride, channels)
    pointwise = _normalized(channels, width, 1)
    return nn.Sequential(*depthwise, nn.LeakyReLU(leak), *pointwise, nn.LeakyReLU(leak))


class MobileNet(nn.Module):
    """MobileNetV1 of a quarter of the width."""

    def __init__(self, leak: float) -> None:
        super().__init__()
        first = _convolution(3, 8, 3, leak, 2)
        for number, blocks in enumerate(MOBILE_STAGES, start=1):
            layers = [_separable(*block, leak) for block in blocks]
            self.add_module(f"stage{number}", nn.Sequential(*([first] if number == 1 else []), *layers))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map [N, 3, H, W] to features at strides 8, 16 and 32."""
        features = []
        for number in range(1, LEVELS + 1):
            x = self.get_submodule(f"stage{number}")(x)
            features.append(x)
        return features


class FPN(nn.Module):
    """Feature pyramid of one width, from the coarsest level to the finest."""

    def __init__(self, channels: Sequence[int], width: int, leak: float) -> None:
        super().__init__()
        for number, each in enumerate(channels, start=1):
            self.add_module(f"output{number}", _convolution(each, width, 1, leak))
        self.merge1 = _convolution(width, width, 3, leak)
        self.merge2 = _convolution(width, width, 3, leak)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Map features at strides 8, 16 and 32 to as many levels of one width."""
        numbered = enumerate(features, start=1)
        fine, middle, coarse = (self.get_submodule(f"output{number}")(x) for number, x in numbered)
        middle = self.merge2(middle + _doubled(coarse, middle))
        fine = self.merge1(fine + _doubled(middle, fine))
        return [fine, middle, coarse]


def _doubled(upper: Tensor, lower: Tensor) -> Tensor:
    """Double a map, and crop it to the map below it, at every size, so that tracing does not drop it."""
    return functional.interpolate(upper, scale_factor=2)[:, :, : lower.shape[2], : lower.shape[3]]


class SSH(nn.Module):
    """Three receptive fields side by side (SSH, Najibi et al. 2017)."""

    def __init__(self, width: int, leak: float) -> None:
        super().__init__()
        half, quarter = width // 2, width // 4
        self.conv3X3 = nn.Sequential(*_normalized(width, half, 3))
        self.conv5X5_1 = _convolution(width, quarter, 3, leak)
        self.conv5X5_2 = nn.Sequential(*_normalized(quarter, quarter, 3))
        self.conv7X7_2 = _convolution(quarter, quarter, 3, leak)
        self.conv7x7_3 = nn.Sequential(*_normalized(quarter, quarter, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, width, h, w] to the same shape."""
        near = self.conv3X3(x)
        x = self.conv5X5_1(x)
        return functional.relu(torch.cat([near, self.conv5X5_2(x), self.conv7x7_3(self.conv7X7_2(x))], dim=1))


class Head(nn.Module):
    """A 1x1 convolution."""

    def __init__(self, width: int, values: int) -> None:
        super().__init__()
        self.conv1x1 = nn.Conv2d(width, values * ANCHORS, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, width, h, w] to [N, values of all anchors, h, w]."""
        result: Tensor = self.conv1x1(x)
        return result


class RetinaFace(nn.Module):
    """From planes to the maps of three levels.

    Args:
        body: Backbone, from [N, 3, H, W] to features, the last three at strides 8, 16 and 32.
        channels: Channels of these features.
        width: Channels of a level.
        leak: Slope of the activations behind the backbone on negative values.
    """

    def __init__(self, body: nn.Module, channels: Sequence[int], width: int, leak: float) -> None:
        super().__init__()
        self.body = body
        self.fpn = FPN(channels, width, leak)
        for number in range(1, LEVELS + 1):
            self.add_module(f"ssh{number}", SSH(width, leak))
        self.ClassHead, self.BboxHead, self.LandmarkHead = (
            nn.ModuleList(Head(width, values) for _ in range(LEVELS)) for values in (2, 4, 2 * POINTS)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map BGR minus its mean, float32 [N, 3, H, W], to logits, deltas and landmarks of each level."""
        maps = []
        for index, level in enumerate(self.fpn(self.body(x)[-LEVELS:])):
            level = self.get_submodule(f"ssh{index + 1}")(level)
            maps += [heads[index](level) for heads in (self.ClassHead, self.BboxHead, self.LandmarkHead)]
        return maps


def mobilenet(leak: float = LEAK) -> RetinaFace:
    """Return the network on MobileNet-0.25."""
    return RetinaFace(MobileNet(leak), MOBILE_CHANNELS, 64, leak)


def mobilenet_1mb() -> RetinaFace:
    """Return the same network with plain activations, as in biubug6/Face-Detector-1MB-with-landmark."""
    return mobilenet(leak=0.0)


def resnet50() -> RetinaFace:
    """Return the network on ResNet-50."""
    return RetinaFace(ResNet(50), CHANNELS[1:], 256, leak=0.0)
