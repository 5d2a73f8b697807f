"""Average precision by WIDER FACE's protocol, as the Python evaluators everybody quotes compute it.

Scores are min-max normalised over the whole set; a prediction takes its best face among all of the image
(IoU with the + 1 convention, at least 0.5); one whose face does not count in the setting counts neither
way; 1,000 thresholds; area under the monotone envelope of precision over recall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SCORES = (0.0, 1.0)
"""The range of a detector's scores, where it is not taken from a set of them."""

THRESHOLDS = 1000
MATCH_IOU = 0.5
FACES_AT_A_TIME = 256

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ImageResult:
    """One image's predictions and faces.

    Attributes:
        predicted: float64 [p, 4], x, y, w, h in pixels, in any order.
        scores: float64 [p].
        faces: float64 [f, 4], x, y, w, h.
        counted: bool [f], the faces that count in the setting.
    """

    predicted: Floats
    scores: Floats
    faces: Floats
    counted: NDArray[np.bool_]


def average_precision(images: Sequence[ImageResult], score_range: tuple[float, float] | None = None) -> float:
    """AP of one setting, within 0..1.

    Args:
        images: Predictions and faces.
        score_range: Lowest and highest score there could be; None takes the set's own, as the protocol does.

    Raises:
        ValueError: No face that counts; and without a range no prediction at all, or all scores equal or not
            finite.
    """
    low, high = _score_range(images) if score_range is None else score_range
    total = sum(int(image.counted.sum()) for image in images)
    if not total:
        raise ValueError("no face counts in this setting")
    # 1 - (t + 1) / 1000 falls with t; a prediction is in from the first threshold not above its score.
    thresholds = 1 - (np.arange(THRESHOLDS) + 1) / THRESHOLDS
    proposals, hits = np.zeros(THRESHOLDS), np.zeros(THRESHOLDS)
    for image in images:
        order = np.argsort(-image.scores, kind="stable")
        scores = (image.scores[order] - low) / (high - low)
        counts, hit = _judge(image.predicted[order], image.faces, image.counted)
        first = np.searchsorted(-thresholds, -scores)
        inside = first < THRESHOLDS
        proposals += np.bincount(first[inside], counts[inside], THRESHOLDS)
        hits += np.bincount(first[inside], hit[inside], THRESHOLDS)
    proposals, hits = np.cumsum(proposals), np.cumsum(hits)
    precision = np.divide(hits, proposals, out=np.zeros(THRESHOLDS), where=proposals > 0)
    return _area(hits / total, precision)


def ious(predicted: Floats, faces: Floats) -> Floats:
    """IoU of each prediction with each face, with the + 1 convention, float64 [p, f]."""
    a, b = predicted[:, None], faces[None]
    extent = (
        np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]) + 1
    )
    intersection = extent.clip(0).prod(axis=-1)
    union = (a[..., 2:] + 1).prod(axis=-1) + (b[..., 2:] + 1).prod(axis=-1) - intersection
    overlap: Floats = intersection / union
    return overlap


def _score_range(images: Sequence[ImageResult]) -> tuple[float, float]:
    scores = np.concatenate([image.scores for image in images] or [np.empty(0)])
    if not scores.size:
        raise ValueError("no predictions")
    if not np.isfinite(scores).all():
        raise ValueError("a score is not finite")
    if scores.min() == scores.max():
        raise ValueError(f"all {scores.size} scores equal {scores[0]:g}: they cannot be ranked")
    return float(scores.min()), float(scores.max())


def _judge(predicted: Floats, faces: Floats, counted: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """For each prediction, best first: whether it counts as a proposal, and whether it is a first hit."""
    counts, hit = np.ones(len(predicted)), np.zeros(len(predicted))
    if not len(predicted) or not len(faces):
        return counts, hit
    best, overlap = _best_faces(predicted, faces)
    matched = overlap >= MATCH_IOU
    counts[matched & ~counted[best]] = 0
    rows = np.flatnonzero(matched & counted[best])
    _, earliest = np.unique(best[rows], return_index=True)
    hit[rows[earliest]] = 1
    return counts, hit


def _best_faces(predicted: Floats, faces: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Index of and IoU with each prediction's best face, in pieces that bound the memory."""
    pieces = [
        ious(piece, faces) for piece in np.array_split(predicted, len(predicted) // FACES_AT_A_TIME + 1)
    ]
    best = np.concatenate([piece.argmax(axis=1) for piece in pieces])
    return best, np.concatenate([piece.max(axis=1) for piece in pieces])


def _area(recall: Floats, precision: Floats) -> float:
    recall = np.concatenate([[0], recall, [1]])
    envelope = np.maximum.accumulate(np.concatenate([[0], precision, [0]])[::-1])[::-1]
    return float(np.sum(np.diff(recall) * envelope[1:]))
