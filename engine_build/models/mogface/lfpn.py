"""The neck of MogFace: a low-level feature pyramid (PyramidBox, Tang et al. 2018) with two extra levels."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from engine_build.networks.resnet import CHANNELS

WIDTH = 256
"""Number of channels of every level."""


class TopDown(nn.Module):
    """Sum of a map, upsampled by two, and a lateral convolution of the map below it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.main_conv = nn.Conv2d(channels, WIDTH, 1)

    def forward(self, upper: Tensor, lower: Tensor) -> Tensor:
        """Map [N, 256, h, w] and [N, C, H, W], with H and W at most 2h and 2w, to [N, 256, H, W]."""
        lateral: Tensor = self.main_conv(lower)
        doubled = functional.interpolate(upper, scale_factor=2, mode="bilinear", align_corners=False)
        # Cropped at every size, although only odd ones need it: tracing would drop a condition, and the
        # exported file would be right only for multiples of 32.
        return lateral + doubled[:, :, : lateral.shape[2], : lateral.shape[3]]


class LFPN(nn.Module):
    """Six levels of 256 channels from C2 to C5."""

    def __init__(self) -> None:
        super().__init__()
        c2, c3, c4, c5 = CHANNELS
        self.c6 = _extra_level(c5, 512, 512)
        self.c7 = _extra_level(512, 128, 256)
        self.c5_lat = _conv3x3(c5)
        self.c6_lat = _conv3x3(512)
        self.c7_lat = _conv3x3(256)
        self.ff_c5_c4 = TopDown(c4)
        self.ff_c4_c3 = TopDown(c3)
        self.ff_c3_c2 = TopDown(c2)
        self.p2_lat = _conv3x3(WIDTH)
        self.p3_lat = _conv3x3(WIDTH)
        self.p4_lat = _conv3x3(WIDTH)

    def forward(self, features: tuple[Tensor, Tensor, Tensor, Tensor]) -> list[Tensor]:
        """Map C2 to C5 to the levels at strides 4, 8, 16, 32, 64, 128, each [N, 256, h, w]."""
        c2, c3, c4, c5 = features
        c6 = self.c6(c5)
        p5 = self.c5_lat(c5)
        p4 = self.ff_c5_c4(p5, c4)
        p3 = self.ff_c4_c3(p4, c3)
        p2 = self.ff_c3_c2(p3, c2)
        fine = [self.p2_lat(p2), self.p3_lat(p3), self.p4_lat(p4)]
        return [*fine, p5, self.c6_lat(c6), self.c7_lat(self.c7(c6))]


def _conv3x3(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, WIDTH, 3, padding=1)


def _extra_level(channels: int, middle: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, middle, 1),
        nn.BatchNorm2d(middle),
        nn.ReLU(),
        nn.Conv2d(middle, out, 3, 2, 1),
        nn.BatchNorm2d(out),
        nn.ReLU(),
    )
