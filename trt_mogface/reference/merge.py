"""Merge the faces of two passes over one image.  The specification of the CUDA kernels of ``mogfaceMerge``.

Candidates are the faces of both passes, ordered by score, equal scores by pass and place; the best ``top_k``
enter the suppression.  Those of the first pass that the second overrules are dropped, see `overruled`.
Greedy NMS between faces of different passes keeps at most ``max_detections``; each pass has had its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trt_mogface.reference.nms import Flags, nms
from trt_mogface.reference.select import Selection
from trt_mogface.spec import Thresholds

INSIDE = 0.7
"""Share of a part that lies inside the whole."""

SAME = 0.35
"""IoU from which two passes see the same face."""

DOUBT = 2.0
"""A score is at most this many times that of another pass which overrules or confirms it."""


@dataclass(frozen=True)
class Limits:
    """Areas in square pixels of the first pass's network input.

    Attributes:
        large: Area from which the second pass has a say: its faces overrule their parts in the first pass,
            and faces of the first pass need counterparts in it.
        visible: Area of the smallest face that the second pass can see, and so of the smallest part.
    """

    large: float
    visible: float


def merge(
    first: Selection,
    second: Selection,
    thresholds: Thresholds,
    limits: Limits,
    scale: tuple[float, float],
) -> Selection:
    """Return the faces of two passes, best first.

    Args:
        first: Faces of the finer pass in pixels of the image.
        second: Faces of a reduced pass in pixels of the image.
        thresholds: IoU threshold, kind of areas, ``top_k`` and ``max_detections``.
        limits: Areas from which faces are large, and visible to the second pass.
        scale: Network pixels of the first pass per image pixel, across and down.
    """
    count, inclusive = len(first.scores), thresholds.inclusive_areas
    boxes, scores = np.concatenate([first.boxes, second.boxes]), np.concatenate([first.scores, second.scores])
    index = np.argsort(-scores, kind="stable")[: thresholds.top_k]
    dropped = np.flatnonzero(overruled(first, second, limits, scale, inclusive=inclusive))
    index = index[~np.isin(index, dropped)]
    keep = nms(
        boxes[index],
        thresholds.iou_threshold,
        inclusive=inclusive,
        max_keep=thresholds.max_detections,
        groups=index < count,
    )
    kept = index[keep]
    landmarks = None
    if first.landmarks is not None and second.landmarks is not None:
        landmarks = np.concatenate([first.landmarks, second.landmarks])[kept]
    return Selection(boxes[kept], scores[kept], landmarks, first.dropped + second.dropped)


@np.errstate(invalid="ignore", over="ignore")
def overruled(
    first: Selection, second: Selection, limits: Limits, scale: tuple[float, float], *, inclusive: bool
) -> Flags:
    """Return which faces of the first pass the second overrules, bool [n]; arguments as for `merge`.

    Anchors that a face is too large for find faces in its parts, such as an eye or a mouth.  So a face is
    overruled that lies inside a larger one of the second pass, or that is large and has no counterpart there.
    Every intermediate is float32.
    """
    one, network = np.float32(inclusive), np.float32(scale[0]) * np.float32(scale[1])
    large, visible = np.float32(limits.large), np.float32(limits.visible)
    x0, y0, x1, y1 = first.boxes.T[:, :, None]
    ox0, oy0, ox1, oy1 = second.boxes.T[:, None]
    width = np.maximum(np.minimum(x1, ox1) - np.maximum(x0, ox0) + one, np.float32(0))
    height = np.maximum(np.minimum(y1, oy1) - np.maximum(y0, oy0) + one, np.float32(0))
    area, other = (x1 - x0 + one) * (y1 - y0 + one), (ox1 - ox0 + one) * (oy1 - oy0 + one)
    common = width * height
    is_heard = first.scores[:, None] <= np.float32(DOUBT) * second.scores
    is_part = (area < other) & (common >= np.float32(INSIDE) * area)
    is_part &= (area * network >= visible) & (other * network >= large)
    is_same = common >= np.float32(SAME) * (area + other - common)
    needs_proof = (area * network >= large)[:, 0]
    flags = (is_heard & is_part).any(axis=1) | (needs_proof & ~(is_heard & is_same).any(axis=1))
    return np.asarray(flags, np.bool_)
