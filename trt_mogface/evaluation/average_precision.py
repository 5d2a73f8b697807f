"""Average precision by WIDER FACE's protocol, as the widely used Python evaluators compute it.

Scores are min-max normalized over the whole set.  Each prediction takes its best face among all of the image
(IoU of at least 0.5, with the + 1 convention); one whose face does not count in the setting is ignored.
Precision and recall at 1,000 thresholds; area under the monotone envelope of precision over recall.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SCORES = (0.0, 1.0)
"""Range of a detector's scores, where it is not taken from a set of them."""

THRESHOLDS = 1000
MATCH_IOU = 0.5
FACES_AT_A_TIME = 256

NO_FACE = -1

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Matches:
    """Ranked predictions of one image and the face that each takes.

    Attributes:
        scores: float64 [p], descending.
        faces: intp [p], index of the best face among all of the image, or `NO_FACE` below an IoU of 0.5.
    """

    scores: Floats
    faces: NDArray[np.intp]


@dataclass(frozen=True)
class Curve:
    """Precision and recall over the thresholds.

    Attributes:
        precision, recall: float64 [1000], within 0..1; recall ascends.
    """

    precision: Floats
    recall: Floats

    @property
    def ap(self) -> float:
        """Area under the monotone envelope, within 0..1."""
        recall = np.concatenate([[0], self.recall, [1]])
        envelope = np.maximum.accumulate(np.concatenate([[0], self.precision, [0]])[::-1])[::-1]
        return float(np.sum(np.diff(recall) * envelope[1:]))


@dataclass(frozen=True)
class ImageResult:
    """Predictions and annotated faces of one image.

    Attributes:
        predicted: float64 [p, 4], x, y, w, h in pixels, in any order.
        scores: float64 [p].
        faces: float64 [f, 4], x, y, w, h.
        counted: bool [f], whether a face counts in the setting.
    """

    predicted: Floats
    scores: Floats
    faces: Floats
    counted: Flags


def average_precision(images: Sequence[ImageResult], score_range: tuple[float, float] | None = None) -> float:
    """Return the AP of one setting, within 0..1.

    `score_range` has the lowest and highest possible score; None takes the set's own, as the protocol does.

    Raises:
        ValueError: If no face counts; without a range also if the scores cannot be ranked, see `range_of`.
    """
    matches = [match(image.predicted, image.scores, image.faces) for image in images]
    score_range = range_of(matches) if score_range is None else score_range
    return curve(matches, [image.counted for image in images], score_range).ap


def match(predicted: Floats, scores: Floats, faces: Floats) -> Matches:
    """Rank the predictions of one image and find the face of each.

    Boxes are float64 [n, 4], x, y, w, h in pixels; predictions of equal scores keep their order.
    """
    order = np.argsort(-scores, kind="stable")
    if not len(predicted) or not len(faces):
        return Matches(scores[order], np.full(len(predicted), NO_FACE))
    best, overlap = _best_faces(predicted[order], faces)
    return Matches(scores[order], np.where(overlap >= MATCH_IOU, best, NO_FACE))


def range_of(images: Iterable[Matches]) -> tuple[float, float]:
    """Return the lowest and highest score of a set.

    Raises:
        ValueError: If there is no prediction, a score is not finite, or all scores are equal.
    """
    scores = np.concatenate([image.scores for image in images] or [np.empty(0)])
    if not scores.size:
        raise ValueError("no predictions")
    if not np.isfinite(scores).all():
        raise ValueError("a score is not finite")
    if scores.min() == scores.max():
        raise ValueError(f"all {scores.size} scores equal {scores[0]:g}, so they cannot be ranked")
    return float(scores.min()), float(scores.max())


def curve(images: Sequence[Matches], counted: Sequence[Flags], score_range: tuple[float, float]) -> Curve:
    """Return precision and recall of one setting.

    Args:
        images: Matches of all images of the set.
        counted: For each image, bool [f]: whether a face counts in the setting.
        score_range: Scores are normalized by it.

    Raises:
        ValueError: If no face counts.
    """
    total = sum(int(flags.sum()) for flags in counted)
    if not total:
        raise ValueError("no face counts in this setting")
    low, high = score_range
    # 1 - (t + 1) / 1000 falls with t; a prediction is in from the first threshold not above its score.
    thresholds = 1 - (np.arange(THRESHOLDS) + 1) / THRESHOLDS
    proposals, hits = np.zeros(THRESHOLDS), np.zeros(THRESHOLDS)
    for image, flags in zip(images, counted):
        counts, hit = _judge(image.faces, flags)
        first = np.searchsorted(-thresholds, -(image.scores - low) / (high - low))
        inside = first < THRESHOLDS
        proposals += np.bincount(first[inside], counts[inside], THRESHOLDS)
        hits += np.bincount(first[inside], hit[inside], THRESHOLDS)
    proposals, hits = np.cumsum(proposals), np.cumsum(hits)
    precision = np.divide(hits, proposals, out=np.zeros(THRESHOLDS), where=proposals > 0)
    return Curve(precision, hits / total)


def as_xywh(boxes: NDArray[np.float32]) -> Floats:
    """Convert x0, y0, x1, y1 to x, y, width, height, float64 [n, 4]; exact for coordinates of an image."""
    corners = boxes.astype(np.float64)
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)


def ious(predicted: Floats, faces: Floats) -> Floats:
    """Return the IoU of each prediction with each face, with the + 1 convention, float64 [p, f]."""
    # One coordinate after the other: four times as fast as sums over an axis of two.
    x, y, width, height = np.ascontiguousarray(predicted.T)[:, :, None]
    face_x, face_y, face_width, face_height = np.ascontiguousarray(faces.T)[:, None]
    intersection = _extents(x, width, face_x, face_width)
    intersection *= _extents(y, height, face_y, face_height)
    areas, face_areas = (width + 1) * (height + 1), (face_width + 1) * (face_height + 1)
    overlap: Floats = intersection / (areas + face_areas - intersection)
    return overlap


def _extents(low: Floats, length: Floats, other_low: Floats, other_length: Floats) -> Floats:
    """Return the length that two intervals share, with the + 1 convention; zero if they are apart."""
    extents = np.minimum(low + length, other_low + other_length)
    extents -= np.maximum(low, other_low)
    extents += 1
    return np.maximum(extents, 0, out=extents)


def _judge(faces: NDArray[np.intp], counted: Flags) -> tuple[Flags, Flags]:
    """Return for each ranked prediction whether it counts as a proposal, and whether it is a first hit."""
    counts, hit = np.ones(len(faces), np.bool_), np.zeros(len(faces), np.bool_)
    matched = np.flatnonzero(faces != NO_FACE)
    in_setting = counted[faces[matched]]
    counts[matched[~in_setting]] = False
    rows = matched[in_setting]
    _, earliest = np.unique(faces[rows], return_index=True)
    hit[rows[earliest]] = True
    return counts, hit


def _best_faces(predicted: Floats, faces: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Return the index of each prediction's best face and their IoU, in pieces that bound the memory."""
    pieces = np.array_split(predicted, len(predicted) // FACES_AT_A_TIME + 1)
    overlaps = [ious(piece, faces) for piece in pieces]
    best = np.concatenate([overlap.argmax(axis=1) for overlap in overlaps])
    return best, np.concatenate([overlap.max(axis=1) for overlap in overlaps])
