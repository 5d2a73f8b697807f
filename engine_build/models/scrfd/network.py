"""The networks of SCRFD, TinyMog and DamoFD: a backbone, a path aggregation pyramid and one head.

Attributes have the names of the published checkpoints' keys.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDES = (8, 16, 32)
ANCHORS = 2
POINTS = 5


class Convolution(nn.Module):
    """A convolution, a normalization and a ReLU; only the convolution without `groups`.

    Args:
        channels, width: Input and output channels.
        side: Side of the kernel.
        stride: Stride.
        norm: ``bn``, ``gn`` or ``none``.
        groups: Groups of the normalization for ``gn``.
        depthwise: Whether each channel has a kernel of its own.
        active: Whether a ReLU follows.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        side: int,
        stride: int = 1,
        *,
        groups: int | None = None,
        norm: bool = False,
        depthwise: bool = False,
        active: bool = True,
    ) -> None:
        super().__init__()
