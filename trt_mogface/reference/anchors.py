"""Anchor boxes of a network input size, in the order of the network's outputs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trt_mogface.spec import BoxCoding, DetectorSpec, Level

CACHED_SIZES = 16


@lru_cache(maxsize=CACHED_SIZES)
def anchors(spec: DetectorSpec, height: int, width: int) -> NDArray[np.float32]:
    """Return the anchors for a network input of ``height`` x ``width`` pixels.

    Returns:
        Read-only float32 [A, 4]: center x, center y, width, height, in pixels of the network input;
        level by level, row by row, side by side.  The most recent sizes are cached.

    Source: ``MogPriorBox`` of the published MogFace code, the prior boxes of SSD detectors, and the priors of
    Ultra-Light-Fast-Generic-Face-Detector (`BoxCoding.spread`).
    """
    table = np.concatenate([_level(spec.coding, level, height, width) for level in spec.levels])
    table.flags.writeable = False
    return table


def _level(coding: BoxCoding, level: Level, height: int, width: int) -> NDArray[np.float32]:
    rows, columns = level.grid(height, width)
    table = np.empty((rows, columns, len(level.sides), 4), np.float32)
    for index, side in enumerate(level.sides):
        table[:, :, index, 0], table[:, :, index, 2] = _axis(coding, level.stride, side, columns, width)
        y, h = _axis(coding, level.stride, side, rows, height)
        table[:, :, index, 1], table[:, :, index, 3] = y[:, None], h[:, None]
    return table.reshape(-1, 4)


def _axis(
    coding: BoxCoding, stride: int, side: float, cells: int, extent: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return centers and sizes along one axis of ``extent`` pixels."""
    center = np.arange(cells) + coding.center
    if coding.spread:
        center, side = center * extent / cells, min(side, extent)
    else:
        center = center * stride
    if not coding.inclusive:
        return center.astype(np.float32), np.full(cells, side, np.float32)
    # MogFace was trained on anchors that went through float32 corners, which moves them by rounding;
    # the same detour gives the same boxes.
    low = (center - (side - 1) / 2).astype(np.float32)
    high = (center + (side - 1) / 2).astype(np.float32)
    return (low + high) / np.float32(2), high - low + np.float32(1)
