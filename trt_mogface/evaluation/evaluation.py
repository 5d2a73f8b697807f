"""Predictions against ground truth: AP of each setting and of each class of sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trt_mogface.errors import EvaluationError
from trt_mogface.evaluation.average_precision import Curve, curve, match, range_of
from trt_mogface.evaluation.face_sizes import SIZES, of_size
from trt_mogface.evaluation.predictions import Predicted
from trt_mogface.evaluation.wider_face import SETTINGS, Annotated

COLUMNS = (*SETTINGS, *SIZES)
"""All that there is an AP of."""

EVERY_SIZE = "hard"
"""The setting whose faces are told apart by size: it holds those of the other two."""


@dataclass(frozen=True)
class Evaluation:
    """How good a set of predictions is.

    Attributes:
        pictures, boxes: How many were evaluated.
        faces: How many count, by the names of `curves`.
        curves: Of the settings, then of the classes of `SIZES`; those without a face are left out.
    """

    pictures: int
    boxes: int
    faces: Mapping[str, int]
    curves: Mapping[str, Curve]

    @property
    def ap(self) -> dict[str, float]:
        """Average precision by setting and class of sizes, within 0..1."""
        return {name: found.ap for name, found in self.curves.items()}

    def cells(self) -> list[str]:
        """The APs as texts, in the order of `COLUMNS`."""
        return ap_cells(self.ap)


def ap_cells(ap: Mapping[str, float]) -> list[str]:
    """APs by name as texts with four decimals, in the order of `COLUMNS`; some may have no face."""
    return [f"{ap[name]:.4f}" if name in ap else "no face" for name in COLUMNS]


def evaluate(truth: Sequence[Annotated], found: Sequence[Predicted]) -> Evaluation:
    """Evaluate predictions by the protocol of `trt_mogface.evaluation.average_precision`.

    Args:
        truth: The pictures.
        found: The predictions of each, in the same order.

    Raises:
        EvaluationError: Nothing to rank: no prediction at all, scores that are all equal or not finite, or no
            face that counts.
    """
    matches = [match(p.boxes, p.scores, t.faces) for t, p in zip(truth, found)]
    counted = {setting: [picture.counted[setting] for picture in truth] for setting in SETTINGS}
    for label in SIZES:
        counted[label] = [picture.counted[EVERY_SIZE] & of_size(picture.faces, label) for picture in truth]
    faces = {name: sum(int(flags.sum()) for flags in each) for name, each in counted.items()}
    try:
        score_range = range_of(matches)
        curves = {name: curve(matches, counted[name], score_range) for name in counted if faces[name]}
    except ValueError as error:
        raise EvaluationError(f"these predictions have no average precision: {error}") from error
    if not curves:
        raise EvaluationError("these pictures have no average precision: no face of theirs counts")
    return Evaluation(len(truth), sum(len(p.scores) for p in found), faces, curves)
