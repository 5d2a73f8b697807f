"""Hints at mistakes that an average precision hides: units of boxes, and scores that stretch their range."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trt_mogface.evaluation.average_precision import THRESHOLDS, Floats
from trt_mogface.evaluation.predictions import Predicted
from trt_mogface.evaluation.wider_face import Annotated

NORMALIZED = 1.5
"""Largest coordinate of boxes that were divided by the size of their image; they may reach beyond it."""

CROWDED = 0.1
"""Share of the range of scores in which all scores but a few are too close together to be ranked well."""

PER_OUTLIER = 1000
"""Number of scores for which one outlier is looked for."""

PIXELS = "boxes are x y w h in pixels of the image"


def hints(truth: Sequence[Annotated], found: Sequence[Predicted]) -> list[str]:
    """Return a line for each likely mistake in annotated faces or the predictions for them, in order."""
    lines = [_units("annotated", [image.faces for image in truth])]
    if not lines[0]:
        lines.append(_units("predicted", [image.boxes for image in found]))
    lines.append(_outlier(truth, found))
    return [line for line in lines if line]


def _units(kind: str, boxes: Sequence[Floats]) -> str:
    """Return a hint if the boxes of at least half of the images lie within 0..1."""
    largest = [each.max() for each in boxes if len(each)]
    count = sum(value <= NORMALIZED for value in largest)
    if not count or 2 * count < len(largest):
        return ""
    return f"the {kind} boxes of {count} of {len(largest)} images lie within 0..1; {PIXELS}"


def _outlier(truth: Sequence[Annotated], found: Sequence[Predicted]) -> str:
    """Return a hint if a few scores stretch the range that all are normalized by."""
    scores = np.concatenate([image.scores for image in found])
    order = np.argsort(scores, kind="stable")
    whole = np.ptp(scores) if len(scores) else 0.0
    for count in range(1, 2 + len(scores) // PER_OUTLIER):
        for outliers, others in ((order[-count:], order[:-count]), (order[:count], order[count:])):
            if len(others) < 2 or np.ptp(scores[others]) >= CROWDED * whole:
                continue
            if 0 <= scores[outliers].min() <= scores[outliers].max() <= 1:  # probabilities may lie apart
                continue
            owner = np.repeat(np.arange(len(found)), [len(image.scores) for image in found])
            index = outliers[-1] if outliers[-1] == order[-1] else outliers[0]
            low, high = scores[others].min(), scores[others].max()
            where = f"the score {scores[index]:g} in {truth[owner[index]].key}"
            problem = f"is far from the other {len(others)}, which are {low:g} to {high:g}"
            return f"{where} {problem}; {THRESHOLDS} thresholds spread over the whole range: correct it"
    return ""
