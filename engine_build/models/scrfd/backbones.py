"""The backbones of SCRFD and TinyMog."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional


def _normalized(channels: int, width: int, side: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, width, side, stride, side // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(width), nn.ReLU()]


class MobileNet(nn.Module):
    """MobileNetV1 with four stages.

    Args:
        stem: Channels of the two convolutions in front.
        widths: Channels of the stages.
        blocks: Number of depthwise separable blocks of each stage, the first of which halves the map.
    """

    def __init__(self, stem: tuple[int, int], widths: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Sequential(*_normalized(3, stem[0], 3, 2)), _separable(*stem, 1))
        self._stages = len(widths)
        channels = stem[1]
        for number, (width, count) in enumerate(zip(widths, blocks), start=1):
            rest = (_separable(width, width, 1) for _ in range(count - 1))
            self.add_module(f"layer{number}", nn.Sequential(_separable(channels, width, 2), *rest))
            channels = width

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map [N, 3, H, W] to features at strides 4, 8, 16 and 32."""
        return _features(self, self.stem(x), self._stages)


def _separable(channels: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        *_normalized(channels, channels, 3, stride, channels), *_normalized(channels, width, 1)
    )


class ResNet(nn.Module):
    """ResNet with a stem of three convolutions and average pooling in the shortcuts ("V1e").

    Args:
        stem: Channels of the stem.
        widths: Channels of the stages.
        blocks: Number of blocks of each stage, the first of which halves the map, except in the first stage.
    """

    def __init__(self, stem: int, widths: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        half = stem // 2
        layers = (_normalized(3, half, 3, 2), _normalized(half, half, 3), _normalized(half, stem, 3))
        self.stem = nn.Sequential(*(layer for each in layers for layer in each))
        self._stages = len(widths)
        channels = stem
        for number, (width, count) in enumerate(zip(widths, blocks), start=1):
            rest = (BasicBlock(width, width, 1) for _ in range(count - 1))
            first = BasicBlock(channels, width, 1 if number == 1 else 2)
            self.add_module(f"layer{number}", nn.Sequential(first, *rest))
            channels = width

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map [N, 3, H, W] to features at strides 4, 8, 16 and 32."""
        # The published pooling rounds down, and feeds multiples of 32, where both are the same.
        pooled = functional.max_pool2d(self.stem(x), 2, 2, ceil_mode=True)
        return _features(self, pooled, self._stages)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch normalization, and a shortcut around them."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or channels != width:
            pool = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
            convolution = nn.Conv2d(channels, width, 1, bias=False)
            self.downsample = nn.Sequential(
                *([pool] if stride != 1 else []), convolution, nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, channels, H, W] to [N, width, ceil(H / stride), ceil(W / stride)]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(x)) + shortcut)


def _features(network: nn.Module, x: Tensor, stages: int) -> list[Tensor]:
    features = []
    for number in range(1, stages + 1):
        x = network.get_submodule(f"layer{number}")(x)
        features.append(x)
    return features
