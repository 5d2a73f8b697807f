"""The networks of the family by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from engine_build.models.scrfd.backbones import MobileNet, ResNet
from engine_build.models.scrfd.damofd import BACKBONES, MasterNet
from engine_build.models.scrfd.network import HeadConfig, Scrfd


def scrfd_500m() -> Scrfd:
    """Return SCRFD-0.5G, which TinyMog is too."""
    widths = (40, 72, 152, 288)
    config = HeadConfig(16, 64, 2, groups=None, depthwise=True, is_shared=False)
    return Scrfd(MobileNet((16, 16), widths, (2, 3, 2, 6)), widths[1:], config)


def scrfd_2_5g() -> Scrfd:
    """Return SCRFD-2.5G."""
    widths = (24, 48, 48, 80)
    return Scrfd(ResNet(24, widths, (3, 5, 3, 2)), widths[1:], HeadConfig(24, 64, 2))


def scrfd_10g() -> Scrfd:
    """Return SCRFD-10G."""
    widths = (56, 88, 88, 224)
    return Scrfd(ResNet(56, widths, (3, 4, 2, 3)), widths[1:], HeadConfig(56, 80, 3))


HEADS = {
    "0.5g": HeadConfig(16, 64, 2, depthwise=True),
    "2.5g": HeadConfig(24, 64, 2),
    "10g": HeadConfig(56, 80, 3),
    "34g": HeadConfig(128, 256, 2, groups=32),
}


def damofd(variant: str) -> Scrfd:
    """Return a variant of DamoFD."""
    blocks = BACKBONES[variant]
    return Scrfd(MasterNet(blocks), [block.width for block in blocks[-3:]], HEADS[variant])


NETWORKS: dict[str, Callable[[], Scrfd]] = {
    "tinymog": scrfd_500m,
    "scrfd-500m": scrfd_500m,
    "scrfd-2.5g": scrfd_2_5g,
    "scrfd-10g": scrfd_10g,
    **{f"damofd-{variant}": partial(damofd, variant) for variant in BACKBONES},
}
