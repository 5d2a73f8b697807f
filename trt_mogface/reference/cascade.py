"""Steps of a cascade of three networks (MTCNN, Zhang et al. 2016) between its networks.

The first network looks at every `CELL` x `CELL` window of an image pyramid, the second and third at crops of
24 x 24 and 48 x 48 pixels of the windows that the one before accepted.  Corners are pixels: a box from x0 to
x1 is x1 - x0 + 1 wide.  Boxes are float64, as in the published code, whose results these are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trt_mogface.reference.decode import Floats
from trt_mogface.reference.nms import Flags, Indices, greedy

Boxes = NDArray[np.float64]
"""Boxes [n, 4]: x0, y0, x1, y1 in pixels of the image."""

MIN_FACE = 20.0
"""Side in pixels of the smallest face that the pyramid shows to the first network."""

CELL, STRIDE = 12, 2
"""Side of the first network's window and distance of neighboring windows, in pixels of a pyramid level."""

FACTOR = 0.707
"""Scale between neighboring levels of the pyramid."""

POINTS = 5
"""Landmarks of a face."""

MAX_SIDE = 4
"""Largest side of a box in shorter sides of the image; windows are not larger than one."""


Ranking = Callable[[Floats], Indices]
"""Function from scores, float32 [n], to their indices, best first."""


class Accepted(NamedTuple):
    """Candidates that a network accepts: their indices, and the number of those that are not finite."""

    indices: Indices
    dropped: int


def pyramid(height: int, width: int) -> list[float]:
    """Return the scales of the pyramid of an image, the finest first; none if it is smaller than a face."""
    scale = CELL / MIN_FACE
    shorter, scales = min(height, width) * scale, list[float]()
    while shorter > CELL:
        scales.append(scale * FACTOR ** len(scales))
        shorter *= FACTOR
    return scales


def level_size(height: int, width: int, scale: float) -> tuple[int, int]:
    """Return height and width of a pyramid level."""
    return math.ceil(height * scale), math.ceil(width * scale)


def grid(height: int, width: int) -> tuple[int, int]:
    """Return rows and columns of the first network's windows in a pyramid level."""
    return (height - 1) // STRIDE - 4, (width - 1) // STRIDE - 4


def strips(height: int, width: int, windows: int) -> list[slice]:
    """Return the rows of pixels of horizontal parts of a pyramid level, each with some rows of windows.

    Parts overlap, and give the same windows as the whole level.

    Args:
        height, width: Size of the level.
        windows: Number of windows of a part, or of one row where that has more.
    """
    rows, columns = grid(height, width)
    step = max(1, windows // columns)
    starts = range(0, rows, step)
    # All but the last end with a whole cell of the pooling, two rows of pixels.
    return [
        slice(STRIDE * row, height if row + step >= rows else STRIDE * (row + step) + CELL - 2)
        for row in starts
    ]


def accepted(scores: Floats, values: Floats, threshold: float) -> Accepted:
    """Return the candidates whose score is greater than a threshold, and whose values are finite.

    Args:
        scores: float32 [n].
        values: float32 [n, k], further outputs of the network for each candidate.
        threshold: Score threshold.
    """
    index = np.flatnonzero(scores > np.float32(threshold))
    finite = np.isfinite(values[index]).all(axis=1) & np.isfinite(scores[index])
    dropped = np.count_nonzero(np.isnan(scores)) + np.count_nonzero(~finite)
    return Accepted(index[finite], int(dropped))


def best(scores: Floats, limit: int) -> Indices:
    """Return the indices of the best ``limit`` scores in increasing order; of equal scores the later ones."""
    if len(scores) <= limit:
        return np.arange(len(scores))
    return np.sort(np.argsort(scores, kind="stable")[-limit:])


def windows(cells: Indices, columns: int, scale: float) -> Boxes:
    """Return the windows of cells of the first network's grid, rounded to pixels of the image.

    Args:
        cells: int64 [n], numbers of cells, row by row.
        columns: Number of columns of the grid.
        scale: Scale of the pyramid level.
    """
    y, x = np.divmod(cells, columns)
    corner = STRIDE * np.stack([x, y], axis=1) + 1.0
    return np.round(np.concatenate([corner, corner + CELL], axis=1) / scale)


def calibrate(boxes: Boxes, offsets: Floats) -> Boxes:
    """Move the edges of boxes by offsets, float32 [n, 4], in sides of the box."""
    return boxes + np.tile(_sides(boxes), 2) * offsets


def square(boxes: Boxes) -> Boxes:
    """Return the squares around boxes, with the same center and the longer side, rounded to pixels."""
    sides = _sides(boxes)
    longer = sides.max(axis=1, keepdims=True, initial=-np.inf)
    corner = boxes[:, :2] + sides * 0.5 - longer * 0.5
    return np.round(np.concatenate([corner, corner + longer - 1.0], axis=1))


def croppable(boxes: Boxes, height: int, width: int) -> Flags:
    """Return which boxes overlap an image, and have sides within 1 .. `MAX_SIDE`: bool [n].

    Offsets of trained networks keep boxes near their window; a box that fails cannot hold a face.
    """
    sides, limit = _sides(boxes), MAX_SIDE * min(height, width)
    x0, y0, x1, y1 = boxes.T
    overlap = (x0 < width) & (y0 < height) & (x1 >= 0) & (y1 >= 0)
    usable: Flags = overlap & ((sides >= 1) & (sides <= limit)).all(axis=1)
    return usable


def cut(boxes: Boxes, height: int, width: int) -> Boxes:
    """Return boxes cut at the edges of an image.

    The published code cuts them while it crops, and so calibrates what is left of a box.
    """
    low, high = np.maximum(boxes[:, :2], 0.0), np.minimum(boxes[:, 2:], [width - 1.0, height - 1.0])
    return np.concatenate([low, high], axis=1)


def place_landmarks(boxes: Boxes, points: Floats) -> Boxes:
    """Return landmarks in pixels of the image, float64 [n, points, 2].

    Args:
        boxes: Boxes that were cropped.
        points: float32 [n, 2 * points], within the box: all x, then all y.
    """
    within = points.reshape(len(points), 2, points.shape[1] // 2).transpose(0, 2, 1)
    placed: Boxes = boxes[:, None, :2] + _sides(boxes)[:, None] * within
    return placed


def in_single_precision(values: Boxes) -> Flags:
    """Return which of n arrays of numbers float32 can hold, [n]: finite offsets can still be too large."""
    fits: Flags = (np.abs(values) < np.finfo(np.float32).max).all(axis=tuple(range(1, values.ndim)))
    return fits


def published_ranking(scores: Floats) -> Indices:
    """Return the indices of scores, best first, equal ones in the order of the published code.

    That is numpy's default sort of float64 read backwards.  Up to 16 scores the later of two equal ones comes
    first; of more, their order depends on all scores and on the processor's vector instructions.
    """
    return np.argsort(scores.astype(np.float64))[::-1]


def stable_ranking(scores: Floats) -> Indices:
    """Return the indices of scores, best first, of equal ones the later first, on every processor."""
    return np.argsort(scores, kind="stable")[::-1]


@np.errstate(divide="ignore", invalid="ignore")
def suppress(
    boxes: Boxes,
    scores: Floats,
    threshold: float,
    *,
    smaller: bool = False,
    rank: Ranking = published_ranking,
) -> Indices:
    """Return the indices of the boxes that no better box suppresses, best first.

    Saturated scores are often equal, and which of them comes first decides which box stays.

    Args:
        boxes: Boxes [n, 4].
        scores: float32 [n].
        threshold: A box is suppressed if its overlap with a better one is greater.
        smaller: Whether the overlap is relative to the smaller of two boxes instead of to their union.
        rank: Order of the boxes by their scores.
    """
    order = rank(scores)
    columns = np.ascontiguousarray(boxes[order].T)
    areas = (columns[2] - columns[0] + 1.0) * (columns[3] - columns[1] + 1.0)

    def overlaps(winners: Indices, others: Indices) -> Flags:
        x0, y0, x1, y1 = columns[:, winners, None]
        ox0, oy0, ox1, oy1 = columns[:, others]
        across = np.maximum(0.0, np.minimum(x1, ox1) - np.maximum(x0, ox0) + 1.0)
        down = np.maximum(0.0, np.minimum(y1, oy1) - np.maximum(y0, oy0) + 1.0)
        common, area, other = across * down, areas[winners, None], areas[others]
        whole = np.minimum(area, other) if smaller else area + other - common
        suppressed: Flags = common / whole > threshold
        return suppressed

    return order[greedy(len(order), overlaps, len(order))]


def _sides(boxes: Boxes) -> Boxes:
    """Return widths and heights [n, 2]."""
    sides: Boxes = boxes[:, 2:] - boxes[:, :2] + 1.0
    return sides
