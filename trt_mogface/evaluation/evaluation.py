"""Evaluate predictions against ground truth: AP of each setting and of each class of face sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trt_mogface.errors import EvaluationError
from trt_mogface.evaluation.average_precision import Curve, curve, match, range_of
from trt_mogface.evaluation.face_sizes import SIZES, of_size
from trt_mogface.evaluation.predictions import Predicted
from trt_mogface.evaluation.wider_face import SETTINGS, Annotated

COLUMNS = (*SETTINGS, *SIZES)
"""Names of all APs."""

EVERY_SIZE = "hard"
"""Setting whose faces are classified by size: it contains those of the other two."""


@dataclass(frozen=True)
class Evaluation:
    """Accuracy of a set of predictions.

    Attributes:
        images, boxes: Number of images and of predicted boxes.
        faces: Number of faces that count, by the names of `COLUMNS`.
        curves: Curves of the settings, then of the classes of `SIZES`; without those that have no face.
    """

    images: int
    boxes: int
    faces: Mapping[str, int]
    curves: Mapping[str, Curve]

    @property
    def ap(self) -> dict[str, float]:
        """Average precision by setting and class of sizes, within 0..1."""
        return {name: curve.ap for name, curve in self.curves.items()}


def ap_cells(ap: Mapping[str, float]) -> list[str]:
    """Return APs by name as texts with four decimals, in the order of `COLUMNS`."""
    return [f"{ap[name]:.4f}" if name in ap else "no face" for name in COLUMNS]


def evaluate(truth: Sequence[Annotated], found: Sequence[Predicted]) -> Evaluation:
    """Evaluate the predictions of each image by the protocol of `trt_mogface.evaluation.average_precision`.

    Raises:
        EvaluationError: If the predictions cannot be ranked (none at all, all scores equal, or a score that
            is not finite), or no face counts.
    """
    matches = [match(p.boxes, p.scores, t.faces) for t, p in zip(truth, found)]
    counted = {setting: [image.counted[setting] for image in truth] for setting in SETTINGS}
    for label in SIZES:
        counted[label] = [image.counted[EVERY_SIZE] & of_size(image.faces, label) for image in truth]
    faces = {name: sum(int(flags.sum()) for flags in each) for name, each in counted.items()}
    try:
        score_range = range_of(matches)
        curves = {name: curve(matches, counted[name], score_range) for name in counted if faces[name]}
    except ValueError as error:
        raise EvaluationError(f"predictions: no average precision ({error})") from error
    if not curves:
        raise EvaluationError("ground truth: no average precision (no face counts in any setting)")
    return Evaluation(len(truth), sum(len(p.scores) for p in found), faces, curves)
