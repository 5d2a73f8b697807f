"""From network outputs to faces: threshold, top-k, decode, NMS.  The specification of the CUDA kernels.

The rule, in full: a candidate is an anchor whose score is greater than the threshold.  Candidates are
ordered by score, equal scores by anchor index; the best ``top_k`` are decoded; those whose score, box or
landmarks are not finite are dropped and counted, as are all scores that are not numbers; with
``Thresholds.clip`` the other boxes are cut at the image's edges; greedy NMS keeps at most
``max_detections`` of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trt_mogface.reference.anchors import anchors
from trt_mogface.reference.decode import Floats, decode_boxes, decode_landmarks
from trt_mogface.reference.nms import nms
from trt_mogface.spec import DetectorSpec, Thresholds


@dataclass(frozen=True)
class Selection:
    """Faces of one image, best first, in pixels of the network input.

    Attributes:
        boxes: float32 [n, 4]: x0, y0, x1, y1.
        scores: float32 [n].
        landmarks: float32 [n, points, 2], or None where the model has none.
        dropped: Candidates among the best ``top_k`` that were not finite, and scores that were NaN.
    """

    boxes: Floats
    scores: Floats
    landmarks: Floats | None
    dropped: int


def select(
    scores: Floats,
    deltas: Floats,
    landmarks: Floats | None,
    *,
    spec: DetectorSpec,
    size: tuple[int, int],
    thresholds: Thresholds,
    content: tuple[int, int] | None = None,
) -> Selection:
    """Select the faces of one image.

    Args:
        scores: float32 [A].
        deltas: float32 [A, 4].
        landmarks: float32 [A, 2 * points] or None.
        spec: Anchors and box coding.
        size: Height and width of the network input in pixels; fixes A.
        thresholds: Score and IoU thresholds and limits.
        content: Height and width of the scaled image in the network input, at which `Thresholds.clip` cuts;
            default ``size``.

    Source: the steps of ModelScope's ``MogFaceDetector.forward``, ties made deterministic.
    """
    index = best(scores, thresholds.score_threshold, thresholds.top_k)
    near = anchors(spec, *size)[index]
    boxes = decode_boxes(deltas[index], near, spec.coding)
    points = None if landmarks is None else decode_landmarks(landmarks[index], near, spec.coding)
    finite = np.isfinite(boxes).all(axis=1) & np.isfinite(scores[index])
    if points is not None:
        finite &= np.isfinite(points).all(axis=(1, 2))
    dropped = int(np.count_nonzero(~finite)) + int(np.count_nonzero(np.isnan(scores)))
    if not finite.all():
        index, boxes = index[finite], boxes[finite]
        points = None if points is None else points[finite]
    if thresholds.clip:
        boxes = cut(boxes, *(content or size))
    inclusive, most = thresholds.inclusive_areas, thresholds.max_detections
    keep = nms(boxes, thresholds.iou_threshold, inclusive=inclusive, max_keep=most)
    return Selection(boxes[keep], scores[index[keep]], None if points is None else points[keep], dropped)


def cut(boxes: Floats, height: int, width: int) -> Floats:
    """Return boxes that end at the edges of an image; zeros have no sign."""
    limits = np.array([width, height, width, height], np.float32)
    inside = np.where(boxes > 0, boxes, np.float32(0))
    return np.where(inside < limits, inside, limits)


def best(scores: Floats, threshold: float, top_k: int) -> NDArray[np.int64]:
    """Return the indices of the best ``top_k`` scores above ``threshold``, best first, ties by index.

    NaN is above no threshold.
    """
    index = np.flatnonzero(scores > np.float32(threshold))
    if index.size > top_k:
        candidates = scores[index]
        cut = np.partition(candidates, index.size - top_k)[index.size - top_k]
        above = index[candidates > cut]
        index = np.union1d(above, index[candidates == cut][: top_k - above.size])
    return index[np.argsort(-scores[index], kind="stable")]
