"""Hints at wrong units and absurd scores, and none where everything is in order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from trt_mogface.evaluation.hints import hints
from trt_mogface.evaluation.predictions import NOTHING, Predicted
from trt_mogface.evaluation.wider_face import Annotated

BOX = [100.0, 50.0, 40.0, 60.0]


def annotated(number: int, boxes: Sequence[Sequence[float]] = (BOX,)) -> Annotated:
    return Annotated("event", str(number), np.array(boxes, np.float64).reshape(-1, 4), {})


def predicted(scores: Sequence[float], scale: float = 1.0) -> Predicted:
    return Predicted(np.tile(BOX, (len(scores), 1)) * scale, np.array(scores))


TRUTH = [annotated(number) for number in range(4)]
SCORES = np.random.default_rng(0).uniform(0.01, 0.99, (4, 300)).tolist()
GOOD = [predicted(scores) for scores in SCORES]


@pytest.mark.parametrize(
    "found",
    [
        GOOD,
        [NOTHING] * 4,
        [predicted([0.9]), NOTHING, NOTHING, predicted([0.02, 0.03])],
        [predicted([0.01] * 200), predicted([0.99]), NOTHING, predicted([0.02] * 200)],
        [predicted(np.multiply(scores, 100).tolist()) for scores in SCORES],
        [predicted([-8.0, 3, 12]), predicted([-7.5, 9]), NOTHING, predicted([0.5])],
    ],
)
def test_sound_predictions_have_no_hint(found: Sequence[Predicted]) -> None:
    assert hints(TRUTH, found) == []


def test_normalized_predictions() -> None:
    (hint,) = hints(TRUTH, [predicted(scores, 1 / 640) for scores in SCORES])
    assert hint.startswith("the predicted boxes of 4 of 4 images lie within 0..1")
    assert hints(TRUTH, [*GOOD[:3], predicted(SCORES[3], 1 / 640)]) == []


def test_normalized_annotations() -> None:
    truth = [annotated(number, [[0.1, 0.2, 0.3, 0.3]]) for number in range(3)]
    (hint,) = hints([*truth, annotated(3, [])], GOOD)
    assert hint.startswith("the annotated boxes of 3 of 3 images lie within 0..1")


@pytest.mark.parametrize("score", [1e6, 1e300, 90.0, -500.0])
@pytest.mark.parametrize("found", [GOOD, [predicted([0.5, 0.8])] * 4], ids=["many", "few"])
def test_an_absurd_score_is_named(found: Sequence[Predicted], score: float) -> None:
    changed = [*found[:2], predicted([*found[2].scores, score]), found[3]]
    (hint,) = hints(TRUTH, changed)
    assert hint.startswith(f"the score {score:g} in event/2 is far from the other")
