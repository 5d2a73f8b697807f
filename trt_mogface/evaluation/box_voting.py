"""Box voting: merge the faces of several runs; each box is a mean weighted by scores.

Source: ``bbox_vote`` in ``test_multi.py`` of the authors' repository.
"""

from __future__ import annotations

import numpy as np

from trt_mogface.evaluation.average_precision import Floats

MAX_BOXES = 750


def vote(boxes: Floats, scores: Floats, iou: float) -> tuple[Floats, Floats]:
    """Merge overlapping boxes, best first.

    The best box takes all others whose IoU with it is at least ``iou``; so does the best of the rest, until
    all are taken.  A box that takes no other stays as it is; else the result is the mean of the boxes taken,
    weighted by score, with the best score.

    Args:
        boxes: float64 [n, 4], x0, y0, x1, y1 in pixels, rounded to integers before anything else.
        scores: float64 [n]; equal scores keep their order (arbitrary in the source).
        iou: Smallest IoU to merge, of areas without the + 1 of inclusive corners, as published.

    Returns:
        At most `MAX_BOXES` boxes, float64 [m, 4], and scores [m], descending.
    """
    order = np.argsort(-scores, kind="stable")
    boxes, scores = np.round(boxes[order]), scores[order]
    merged: list[Floats] = []
    best: list[float] = []
    while len(boxes) and len(merged) < MAX_BOXES:
        taken = _ious_with_first(boxes) >= iou
        taken[0] = True
        weights = scores[taken]
        single = len(weights) == 1
        merged.append(boxes[0] if single else (boxes[taken] * weights[:, None]).sum(axis=0) / weights.sum())
        best.append(scores[0])
        boxes, scores = boxes[~taken], scores[~taken]
    return np.array(merged, np.float64).reshape(-1, 4), np.array(best, np.float64)


def _ious_with_first(boxes: Floats) -> Floats:
    area = (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1)
    low, high = np.maximum(boxes[0, :2], boxes[:, :2]), np.minimum(boxes[0, 2:], boxes[:, 2:])
    intersection = (high - low).clip(0).prod(axis=1)
    union = area[0] + area - intersection
    overlap: Floats = intersection / np.where(union <= 0, 1, union)
    return overlap
