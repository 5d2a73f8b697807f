"""SCRFD (Guo et al. 2022): a backbone, a path aggregation pyramid, and one head for all levels.

Attributes have the names of the published checkpoints' keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDES = (8, 16, 32)
ANCHORS = 2
POINTS = 5


@dataclass(frozen=True)
class HeadConfig:
    """Differences between the heads.

    Attributes:
        channels: Channels of a pyramid level.
        width: Channels of the stacked convolutions.
        depth: Number of stacked convolutions.
        groups: Groups of a group normalization; None for batch normalization.
        depthwise: Whether the stacked convolutions are depthwise separable.
        is_shared: Whether all levels share their weights, beside a learned scale of each.
    """

    channels: int
    width: int
    depth: int
    groups: int | None = 16
    depthwise: bool = False
    is_shared: bool = True

    def norm(self, channels: int) -> tuple[str, nn.Module]:
        """Return name and module of a normalization."""
        if self.groups is None:
            return "bn", nn.BatchNorm2d(channels)
        return "gn", nn.GroupNorm(self.groups, channels)


class Convolution(nn.Module):
    """A convolution; with a normalization, also a ReLU."""

    def __init__(self, convolution: nn.Conv2d, norm: tuple[str, nn.Module] | None = None) -> None:
        super().__init__()
        self.conv = convolution
        self._norm = None if norm is None else norm[0]
        if norm is not None:
            self.add_module(*norm)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, h, w] to what the convolution gives."""
        x = self.conv(x)
        return x if self._norm is None else functional.relu(self.get_submodule(self._norm)(x))


class Separable(nn.Module):
    """A depthwise and a pointwise convolution, each with a normalization and a ReLU."""

    def __init__(self, channels: int, width: int, config: HeadConfig) -> None:
        super().__init__()
        depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.depthwise_conv = Convolution(depthwise, config.norm(channels))
        self.pointwise_conv = Convolution(nn.Conv2d(channels, width, 1, bias=False), config.norm(width))

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, channels, h, w] to [N, width, h, w]."""
        result: Tensor = self.pointwise_conv(self.depthwise_conv(x))
        return result


class PAFPN(nn.Module):
    """Path aggregation pyramid (Liu et al. 2018): from coarse to fine, and back, without normalization."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList(Convolution(nn.Conv2d(each, width, 1)) for each in channels)
        self.fpn_convs, self.downsample_convs, self.pafpn_convs = (
            nn.ModuleList(Convolution(nn.Conv2d(width, width, 3, stride, 1)) for _ in range(count))
            for stride, count in ((1, len(channels)), (2, len(channels) - 1), (1, len(channels) - 1))
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Map features at strides 8, 16 and 32 to as many levels of one width."""
        levels = [lateral(x) for lateral, x in zip(self.lateral_convs, features)]
        for lower, upper in reversed(list(pairwise(range(len(levels))))):
            levels[lower] = levels[lower] + _doubled(levels[upper], levels[lower])
        levels = [convolution(x) for convolution, x in zip(self.fpn_convs, levels)]
        for upper, down in enumerate(self.downsample_convs, start=1):
            levels[upper] = levels[upper] + down(levels[upper - 1])
        return [levels[0], *(convolution(x) for convolution, x in zip(self.pafpn_convs, levels[1:]))]


def _doubled(upper: Tensor, lower: Tensor) -> Tensor:
    """Double a map, and crop it to the map below it, at every size, so that tracing does not drop it."""
    return functional.interpolate(upper, scale_factor=2)[:, :, : lower.shape[2], : lower.shape[3]]


class Scale(nn.Module):
    """A learned factor."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        """Multiply."""
        return x * self.scale


class Head(nn.Module):
    """Stacked convolutions, and one for scores, distances and landmarks each."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        keys = ["0"] if config.is_shared else [str((stride, stride)) for stride in STRIDES]
        self._keys = keys * len(STRIDES) if config.is_shared else keys
        self.cls_stride_convs = nn.ModuleDict({key: _stack(config) for key in keys})
        self.stride_cls, self.stride_reg, self.stride_kps = (
            nn.ModuleDict({key: nn.Conv2d(config.width, values * ANCHORS, 3, padding=1) for key in keys})
            for values in (1, 4, 2 * POINTS)
        )
        self.scales = nn.ModuleList(Scale() for _ in STRIDES) if config.is_shared else None

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Return logits, distances and landmarks of each level."""
        maps = []
        for index, (key, level) in enumerate(zip(self._keys, levels)):
            x = self.cls_stride_convs[key](level)
            distances = self.stride_reg[key](x)
            if self.scales is not None:
                distances = self.scales[index](distances)
            maps += [self.stride_cls[key](x), distances, self.stride_kps[key](x)]
        return maps


def _stack(config: HeadConfig) -> nn.Sequential:
    sides = [config.channels] + [config.width] * config.depth
    if config.depthwise:
        return nn.Sequential(*(Separable(before, after, config) for before, after in pairwise(sides)))
    return nn.Sequential(
        *(
            Convolution(nn.Conv2d(before, after, 3, padding=1, bias=False), config.norm(after))
            for before, after in pairwise(sides)
        )
    )


class Scrfd(nn.Module):
    """From planes to the maps of three levels.

    Args:
        backbone: Backbone, from [N, 3, H, W] to features, the last three at strides 8, 16 and 32.
        channels: Channels of these features.
        config: Head.
    """

    def __init__(self, backbone: nn.Module, channels: Sequence[int], config: HeadConfig) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = PAFPN(channels, config.channels)
        self.bbox_head = Head(config)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map normalized RGB, float32 [N, 3, H, W], to logits, distances and landmarks of each level.

        Distances and landmarks are in strides.
        """
        features = self.backbone(x)[-len(STRIDES) :]
        maps: list[Tensor] = self.bbox_head(self.neck(features))
        return maps
