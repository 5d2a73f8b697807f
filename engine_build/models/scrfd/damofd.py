"""The searched backbones of DamoFD (Liu et al., ICLR 2023), of five blocks each.

Attributes have the names of the published checkpoints' keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from torch import Tensor, nn

EPSILON = 1e-3
"""Epsilon of the batch normalizations."""

Kind = Literal["plain", "residual", "bottleneck", "depthwise"]


class Block(NamedTuple):
    """A block of a backbone.

    Attributes:
        kind: Each repeat is a ``plain`` k x k convolution, one ``residual`` unit of two k x k convolutions,
            two ``bottleneck`` units of 1x1, k x k and 1x1, or two ``depthwise`` ones, whose k x k convolution
            is depthwise.
        side: Side k of the kernel.
        channels, width: Input and output channels.
        stride: Stride of the first unit.
        narrow: Channels between the convolutions, or between the two units of a ``depthwise`` repeat.
        repeats: Number of repeats.
    """

    kind: Kind
    side: int
    channels: int
    width: int
    stride: int
    narrow: int = 0
    repeats: int = 1


class Layer(nn.Module):
    """A layer under the key ``netblock``."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.netblock = layer

    def forward(self, x: Tensor) -> Tensor:
        """Run the layer."""
        result: Tensor = self.netblock(x)
        return result


class Stack(nn.Module):
    """Layers one after another, under the key ``module_list``."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.module_list = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        """Run the layers."""
        for layer in self.module_list:
            x = layer(x)
        return x


class Unit(Stack):
    """Layers with a shortcut around them.

    Args:
        layers: Layers, which do not end in an activation.
        channels, width: Input and output channels.
        stride: Stride of the layers.
        projects: Whether the shortcut has a convolution even where it changes nothing.
    """

    def __init__(
        self, layers: Sequence[nn.Module], channels: int, width: int, stride: int, *, projects: bool = False
    ) -> None:
        super().__init__(layers)
        self.proj = None
        if projects or stride > 1 or channels != width:
            convolution = nn.Conv2d(channels, width, 1, stride)
            self.proj = nn.Sequential(convolution, nn.BatchNorm2d(width, eps=EPSILON))

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, channels, H, W] to [N, width, ceil(H / stride), ceil(W / stride)]."""
        return super().forward(x) + (x if self.proj is None else self.proj(x))


def _convolutions(*given: tuple[int, int, int, int, int]) -> list[nn.Module]:
    """Return convolutions of (channels, width, side, stride, groups), with activations between them."""
    layers: list[nn.Module] = []
    for channels, width, side, stride, groups in given:
        convolution = nn.Conv2d(channels, width, side, stride, side // 2, groups=groups, bias=False)
        layers += [Layer(convolution), Layer(nn.BatchNorm2d(width, eps=EPSILON)), nn.ReLU()]
    return layers[:-1]


def _units(block: Block) -> Iterator[Unit]:
    side, narrow, width = block.side, block.narrow, block.width
    for repeat in range(block.repeats):
        channels, stride = (width, 1) if repeat else (block.channels, block.stride)
        first = not repeat
        if block.kind == "residual":
            layers = _convolutions((channels, narrow, side, stride, 1), (narrow, width, side, 1, 1))
            yield Unit(layers, channels, width, stride, projects=first)
            continue
        # The two units of a bottleneck are as wide as the block; of a depthwise repeat, the first is narrow.
        is_depthwise = block.kind == "depthwise"
        between = narrow if is_depthwise else width
        inner = width if is_depthwise else narrow
        yield Unit(
            _three(channels, narrow, between, side, stride, is_depthwise),
            channels,
            between,
            stride,
            projects=first,
        )
        yield Unit(_three(between, inner, width, side, 1, is_depthwise), between, width, 1)


def _three(
    channels: int, narrow: int, width: int, side: int, stride: int, is_depthwise: bool
) -> list[nn.Module]:
    groups = narrow if is_depthwise else 1
    return _convolutions(
        (channels, narrow, 1, 1, 1), (narrow, narrow, side, stride, groups), (narrow, width, 1, 1, 1)
    )


def _stack(block: Block) -> Stack:
    if block.kind == "plain":
        first = (block.channels, block.width, block.side, block.stride, 1)
        rest = [(block.width, block.width, block.side, 1, 1)] * (block.repeats - 1)
        return Stack([*_convolutions(first, *rest), nn.ReLU()])
    return Stack([layer for unit in _units(block) for layer in (unit, nn.ReLU())])


class MasterNet(nn.Module):
    """A searched backbone."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        super().__init__()
        self.module_list = nn.ModuleList(map(_stack, blocks))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map [N, 3, H, W] to the features of all blocks, at strides 2, 4, 8, 16 and 32."""
        features = []
        for block in self.module_list:
            x = block(x)
            features.append(x)
        return features


BACKBONES = {
    "0.5g": (
        Block("plain", 3, 3, 32, 2),
        Block("depthwise", 3, 32, 32, 2, 8, 1),
        Block("depthwise", 7, 32, 64, 2, 40, 1),
        Block("depthwise", 7, 64, 120, 2, 40, 2),
        Block("depthwise", 5, 120, 160, 2, 120, 1),
    ),
    "2.5g": (
        Block("plain", 3, 3, 24, 2, repeats=2),
        Block("residual", 3, 24, 32, 2, 24, 4),
        Block("residual", 3, 32, 56, 2, 16, 4),
        Block("residual", 5, 56, 88, 2, 8, 5),
        Block("bottleneck", 5, 88, 128, 2, 8, 4),
    ),
    "10g": (
        Block("plain", 3, 3, 56, 2, repeats=2),
        Block("bottleneck", 3, 56, 80, 2, 40, 5),
        Block("bottleneck", 5, 80, 112, 2, 32, 5),
        Block("bottleneck", 3, 112, 168, 2, 16, 4),
        Block("residual", 7, 168, 256, 2, 8, 1),
    ),
    "34g": (
        Block("plain", 3, 3, 56, 2, repeats=2),
        Block("bottleneck", 3, 56, 224, 2, 80, 5),
        Block("bottleneck", 3, 224, 488, 2, 40, 6),
        Block("bottleneck", 3, 488, 624, 2, 72, 4),
        Block("bottleneck", 7, 624, 816, 2, 24, 3),
    ),
}
"""Blocks by the name of the variant (repository ly19965/DamoFD)."""
