"""One-to-one matching of two detectors' boxes on one image.

Greedy, by descending IoU.  An optimal assignment would gain next to nothing: the boxes of one detector hardly
overlap after the suppression, so rivals are rare.  Where there are some, it would separate two boxes that
agree almost exactly to win a poor pair; and it would need SciPy, which is an optional package.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trt_mogface.evaluation.average_precision import FACES_AT_A_TIME, MATCH_IOU, Floats, as_xywh, ious

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Matching:
    """Pairs of boxes; no box is in two.

    Attributes:
        a, b: int64 [m], indices of each pair's boxes, ordered by ``a``.
        ious: float64 [m], within `MATCH_IOU`..1.
    """

    a: Indices
    b: Indices
    ious: Floats


def match(a: NDArray[np.float32], b: NDArray[np.float32]) -> Matching:
    """Pair boxes whose IoU is at least `MATCH_IOU`, one to one.

    Swapping ``a`` and ``b`` swaps the sides and nothing else.

    Args:
        a, b: float32 [n, 4], x0, y0, x1, y1 in pixels, best first.  Invalid boxes (NaN, or corners swapped)
            stay without a partner.
    """
    rows, columns, overlaps = _candidates(as_xywh(a), as_xywh(b))
    # Of equal IoUs the better boxes' pair comes first, by a key that is symmetric in the sides.
    order = np.lexsort((np.minimum(rows, columns), rows + columns, -overlaps))
    rows, columns, overlaps = rows[order], columns[order], overlaps[order]
    taken = _greedy(rows, columns)
    taken = taken[np.argsort(rows[taken])]
    return Matching(rows[taken], columns[taken], overlaps[taken])


@np.errstate(divide="ignore", invalid="ignore")
def _candidates(a: Floats, b: Floats) -> tuple[Indices, Indices, Floats]:
    """Return both indices and the IoU of each pair that overlaps enough, in pieces that bound the memory."""
    rows, columns, overlaps = [], [], []
    for start in range(0, len(a), FACES_AT_A_TIME):
        overlap = ious(a[start : start + FACES_AT_A_TIME], b)
        row, column = np.nonzero(overlap >= MATCH_IOU)  # False for NaN
        rows.append(row + start)
        columns.append(column)
        overlaps.append(overlap[row, column])
    none = np.empty(0, np.int64)
    pairs = np.concatenate([none, *rows]), np.concatenate([none, *columns])
    return *pairs, np.concatenate([np.empty(0), *overlaps])


def _greedy(rows: Indices, columns: Indices) -> Indices:
    """Return the positions of the pairs taken by a walk that skips pairs with a box already taken.

    A pair that comes first for both its boxes is taken whatever happens to others, so all such pairs go at
    once; the first of those left is always one, and two rounds are usual.
    """
    left = np.arange(len(rows), dtype=np.int64)
    taken = [left[:0]]
    while left.size:
        row, column = rows[left], columns[left]
        now = _is_first(row) & _is_first(column)
        taken.append(left[now])
        left = left[~(np.isin(row, row[now]) | np.isin(column, column[now]))]
    return np.concatenate(taken)


def _is_first(values: Indices) -> NDArray[np.bool_]:
    """Return bool [n]: whether a value occurs for the first time."""
    first = np.zeros(len(values), np.bool_)
    first[np.unique(values, return_index=True)[1]] = True
    return first
