"""Agreement with FP32 on images: the check that every engine passes before it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trt_mogface.evaluation.average_precision import (
    MATCH_IOU,
    SCORES,
    ImageResult,
    as_xywh,
    average_precision,
    ious,
)
from trt_mogface.reference.select import Selection

SURE = 0.5
"""FP32's faces above this score, or above the model's threshold if that is lower, are the ground truth."""

MIN_FACES = 10
"""Number of faces below which an average precision is meaningless."""


@dataclass(frozen=True)
class Agreement:
    """Comparison of a precision's faces with FP32's on the same images.

    Attributes:
        images: Number of images.
        faces: Number of FP32's faces.
        found: Number of FP32's faces that were found again (IoU of at least 0.5).
        ap: Average precision with FP32's faces as the ground truth, within 0..1; None with too few faces.
        score_difference: Mean absolute difference of the scores of faces found again.
        iou: Mean IoU of faces found again.
        dropped: Number of candidates that are not finite.
    """

    images: int
    faces: int
    found: int
    ap: float | None
    score_difference: float
    iou: float
    dropped: int

    @property
    def loss(self) -> float | None:
        """Loss of AP against FP32 in points; None with too few faces."""
        return None if self.ap is None else 100 * (1 - self.ap)

    def __str__(self) -> str:
        images = f"{self.images} {'image' if self.images == 1 else 'images'}"
        if not self.faces:
            return f"no faces on {images} to compare with FP32"
        found = f"{self.found} of FP32's {self.faces} faces on {images}"
        ap = "too few for an AP" if self.loss is None else f"AP against FP32 {100 - self.loss:.2f}"
        return f"{ap}; {found}; mean IoU {self.iou:.3f}, scores {self.score_difference:.3f} apart"


def compare(reference: Sequence[Selection], other: Sequence[Selection], threshold: float) -> Agreement:
    """Compare the candidates of FP32 with those of another precision on the same images.

    ``threshold`` is the default score threshold of the model.
    """
    results, overlaps, differences = [], [], []
    faces = 0
    for theirs, ours in zip(reference, other):
        sure = theirs.scores > min(SURE, threshold)
        truth, predicted = as_xywh(theirs.boxes[sure]), as_xywh(ours.boxes)
        counted = np.ones(len(truth), np.bool_)
        faces += len(truth)
        results.append(ImageResult(predicted, ours.scores.astype(np.float64), truth, counted))
        if len(truth) and len(predicted):
            overlap = ious(truth, predicted)
            best, most = overlap.argmax(axis=1), overlap.max(axis=1)
            matched = most >= MATCH_IOU
            overlaps += list(most[matched])
            differences += list(np.abs(theirs.scores[sure][matched] - ours.scores[best[matched]]))
    return Agreement(
        images=len(results),
        faces=faces,
        found=len(overlaps),
        # Rounded, so that a complete sum of areas is 1.
        ap=round(average_precision(results, SCORES), 9) if faces >= MIN_FACES else None,
        score_difference=float(np.mean(differences)) if differences else 0.0,
        iou=float(np.mean(overlaps)) if overlaps else 0.0,
        dropped=sum(s.dropped for s in other),
    )
