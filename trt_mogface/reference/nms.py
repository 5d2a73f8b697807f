"""Greedy non-maximum suppression, vectorized in blocks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from trt_mogface.reference.decode import Floats

Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]
Groups = NDArray[np.int64] | NDArray[np.bool_]

BLOCK = 128
"""Boxes resolved together: large enough that numpy's per-call cost vanishes, small enough for the cache."""


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def nms(
    boxes: Floats,
    iou_threshold: float,
    *,
    inclusive: bool,
    max_keep: int,
    groups: Groups | None = None,
) -> Indices:
    """Return the indices of the boxes that no better box suppresses.

    Args:
        boxes: float32 [n, 4], x0, y0, x1, y1, best first.
        iou_threshold: A box stays while its IoU with every better box that stayed is not greater.
        inclusive: Whether corners are pixels, so that a box is x1 - x0 + 1 wide.
        max_keep: Largest number of indices.
        groups: Number of the group of each box, [n]; boxes of one group do not suppress each other.  None
            compares all boxes.

    Returns:
        int64 [m <= max_keep], increasing.

    An IoU that is not a number (two boxes without area, or beyond float32) suppresses.  Every intermediate is
    float32, in the order of operations of ``py_cpu_nms``, the published code, whose results these are.
    """
    columns, one = np.ascontiguousarray(boxes.T, np.float32), np.float32(inclusive)
    areas = (columns[2] - columns[0] + one) * (columns[3] - columns[1] + one)

    def overlaps(winners: Indices, others: Indices) -> Flags:
        found = _overlaps(columns, areas, winners, others, iou_threshold, inclusive)
        return found if groups is None else found & (groups[winners, None] != groups[others])

    return greedy(len(boxes), overlaps, max_keep)


def greedy(count: int, overlaps: Callable[[Indices, Indices], Flags], max_keep: int) -> Indices:
    """Return the indices of the boxes that no better box suppresses, increasing.

    Args:
        count: Number of boxes, which are numbered best first.
        overlaps: Function from w winners and o other boxes to bool [w, o]: whether each winner suppresses
            each other box.
        max_keep: Largest number of indices.
    """
    kept = np.empty(0, np.int64)
    # Blocks are compared with the kept boxes one after the other: no work on boxes beyond max_keep.
    for start in range(0, count, BLOCK):
        block = np.arange(start, min(start + BLOCK, count))
        if kept.size:
            block = block[~overlaps(kept, block).any(axis=0)]
        winners = block[_greedy(overlaps(block, block))]
        kept = np.concatenate([kept, winners])
        if kept.size >= max_keep:
            break
    return kept[:max_keep]


def _overlaps(
    columns: Floats, areas: Floats, winners: Indices, others: Indices, iou_threshold: float, inclusive: bool
) -> Flags:
    """Return whether each winner [w] suppresses each other box [o]: bool [w, o]."""
    x0, y0, x1, y1 = columns[:, winners, None]
    ox0, oy0, ox1, oy1 = columns[:, None, others]
    width = _extent(x0, x1, ox0, ox1, inclusive)
    height = _extent(y0, y1, oy0, oy1, inclusive)
    intersection = np.multiply(width, height, out=width)
    union = np.add(areas[winners, None], areas[None, others], out=height)
    union -= intersection
    iou = np.divide(intersection, union, out=union)
    suppressed: Flags = ~(iou <= np.float32(iou_threshold))
    return suppressed


def _extent(low: Floats, high: Floats, other_low: Floats, other_high: Floats, inclusive: bool) -> Floats:
    extent: Floats = np.minimum(high, other_high)
    extent -= np.maximum(low, other_low)
    if inclusive:
        extent += np.float32(1)
    np.maximum(extent, np.float32(0), out=extent)
    return extent


def _greedy(suppresses: Flags) -> Flags:
    """Return which boxes of a block stay, bool [b]: row i of ``suppresses`` counts only if box i stays."""
    later = np.triu(suppresses, 1)
    # A row as one Python integer: the walk costs two machine operations a box, not a numpy call, and only
    # boxes that suppress something are walked.
    packed = np.packbits(later, axis=1, bitorder="little")
    gone = 0
    for index in np.flatnonzero(later.any(axis=1)).tolist():
        if not gone >> index & 1:
            gone |= int.from_bytes(packed[index].tobytes(), "little")
    losers = np.frombuffer(gone.to_bytes(packed.shape[1], "little"), np.uint8)
    stays: Flags = np.unpackbits(losers, count=len(suppresses), bitorder="little") == 0
    return stays
