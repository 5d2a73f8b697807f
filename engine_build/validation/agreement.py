"""Agreement with FP32 on pictures: the check that every engine passes before it is written."""

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
"""FP32's faces from this score on, or from the model's own threshold where that is lower, are the truth."""

FEWEST_FACES = 10
"""With fewer faces an average precision says nothing."""


@dataclass(frozen=True)
class Agreement:
    """How a precision's faces compare with FP32's on the same pictures.

    Attributes:
        pictures: Number of pictures.
        faces: FP32's faces.
        found: Those of them that were found again (IoU of at least 0.5).
        ap: Average precision with FP32's faces as the truth, within 0..1; None with too few faces.
        score_difference: Mean absolute difference of the scores of faces found again.
        iou: Their mean IoU.
        dropped: Candidates that were not finite, which FP32's were.
    """

    pictures: int
    faces: int
    found: int
    ap: float | None
    score_difference: float
    iou: float
    dropped: int

    @property
    def loss(self) -> float | None:
        """Points of AP lost against FP32; None with too few faces to say."""
        return None if self.ap is None else 100 * (1 - self.ap)

    def __str__(self) -> str:
        pictures = f"{self.pictures} {'picture' if self.pictures == 1 else 'pictures'}"
        if not self.faces:
            return f"no faces on {pictures} to compare with FP32"
        found = f"{self.found} of FP32's {self.faces} faces on {pictures}"
        ap = "too few for an AP" if self.loss is None else f"AP against FP32 {100 - self.loss:.2f}"
        return f"{ap}; {found}; mean IoU {self.iou:.3f}, scores {self.score_difference:.3f} apart"


def compare(reference: Sequence[Selection], other: Sequence[Selection], threshold: float) -> Agreement:
    """Compare two models' candidates on the same pictures.

    Args:
        reference: FP32's, from `engine_build.validation.candidates`.
        other: Those of another precision, in the same order.
        threshold: The model's default score threshold.
    """
    sure = min(SURE, threshold)
    results, overlaps, differences = [], [], []
    faces = 0
    for theirs, ours in zip(reference, other):
        truth = as_xywh(theirs.boxes[theirs.scores > sure])
        predicted = as_xywh(ours.boxes)
        faces += len(truth)
        results.append(
            ImageResult(predicted, ours.scores.astype(np.float64), truth, np.ones(len(truth), np.bool_))
        )
        if len(truth) and len(predicted):
            overlap = ious(truth, predicted)
            best = overlap.argmax(axis=1)
            matched = overlap.max(axis=1) >= MATCH_IOU
            overlaps += list(overlap.max(axis=1)[matched])
            scores = theirs.scores[theirs.scores > sure]
            differences += list(np.abs(scores[matched] - ours.scores[best[matched]]))
    return Agreement(
        pictures=len(results),
        faces=faces,
        found=len(overlaps),
        # Rounded, so that a sum of areas that lacks nothing is 1.
        ap=round(average_precision(results, SCORES), 9) if faces >= FEWEST_FACES else None,
        score_difference=float(np.mean(differences)) if differences else 0.0,
        iou=float(np.mean(overlaps)) if overlaps else 0.0,
        dropped=sum(s.dropped for s in other) - sum(s.dropped for s in reference),
    )
