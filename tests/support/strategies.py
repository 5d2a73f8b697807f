"""Properties drawn by Hypothesis: specs and problems.

Apart from `tests.support.problems`, which machines without Hypothesis import too.
"""

from __future__ import annotations

import dataclasses
import os

import numpy as np
from hypothesis import Phase, settings
from hypothesis import strategies as st

from tests.support.problems import THRESHOLDS, Problem, made_up_scores, problem, sprinkled
from tests.support.specs import MOGFACE, small_spec
from trt_mogface.spec import CODINGS as KINDS
from trt_mogface.spec import BoxCoding, DetectorSpec, Level

EXAMPLES = "TRT_MOGFACE_EXAMPLES"
"""Environment variable: largest number of examples of each property, which are then always the same."""


def examples(count: int) -> settings:
    """Settings of a property test: ``count`` examples, or the few that a sanitized run has time for."""
    few = os.environ.get(EXAMPLES)
    if few is None:
        return settings(max_examples=count, deadline=None)
    return settings(
        max_examples=min(count, int(few)),
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate),
    )


LEVELS = (
    (Level(8, (8.0, 16.0)), Level(16, (32.0, 64.0))),
    (Level(4, (10.88,)), Level(8, (21.76,)), Level(16, (43.52,)), Level(32, (87.04,))),
    (Level(5, (3.0, 7.7, 100.25)),),
    (Level(7, (1.0,)), Level(9, (12.3, 0.5, 33.3, 80.0)), Level(64, (200.0, 17.0))),
    tuple(Level(stride, (1.5 * stride,)) for stride in range(3, 19)),
    (Level(16, tuple(2.5 * side for side in range(1, 17))),),
)


@st.composite
def specs(draw: st.DrawFn) -> DetectorSpec:
    """Specs of all codings, with 1 to 16 levels and 1 to 16 sides a cell, and 0, 5 or 7 landmarks."""
    coding = BoxCoding(
        draw(st.sampled_from(KINDS)),
        variances=draw(st.sampled_from([(0.1, 0.2), (1.0, 1.0), (0.3, 0.7)])),
        center=draw(st.sampled_from([0.5, 0.0, 0.37])),
        inclusive=draw(st.booleans()),
        spread=draw(st.booleans()),
    )
    return dataclasses.replace(
        small_spec(landmarks=draw(st.sampled_from([0, 5, 7]))),
        levels=draw(st.sampled_from([*LEVELS, MOGFACE.levels])),
        coding=coding,
    )


@st.composite
def problems(draw: st.DrawFn, *, most_pixels: int = 100, batches: tuple[int, ...] = (1, 2, 3)) -> Problem:
    """Problems of many specs, sizes, thresholds and outputs, a part of which is no numbers."""
    spec = draw(specs())
    sides = st.integers(1, most_pixels)
    size = (draw(sides), draw(sides))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    threshold = draw(st.sampled_from(THRESHOLDS))
    kind = draw(st.sampled_from(["distinct", "tied", "equal", "edge", "odd"]))
    batch, count = draw(st.sampled_from(batches)), spec.anchor_count(*size)
    scores = made_up_scores(rng, (batch, count), kind, threshold)
    deltas = rng.normal(0, draw(st.sampled_from([0.0, 0.3, 2.0])), (batch, count, 4)).astype(np.float32)
    landmarks = rng.normal(0, 1, (batch, count, 2 * spec.landmarks)).astype(np.float32)
    portion = draw(st.sampled_from([0.0, 0.02, 1.0]))
    top_k = draw(st.sampled_from([1, 2, count - 1, count, count + 1, 64, 65, 300]))
    made = problem(
        spec,
        scores,
        sprinkled(rng, deltas, portion),
        sprinkled(rng, landmarks, portion / 4) if spec.landmarks else None,
        size=size,
        score_threshold=threshold,
        iou_threshold=draw(st.sampled_from([0.0, 0.3, 0.5, 1.0])),
        top_k=min(max(1, top_k), 700),
        max_detections=draw(st.sampled_from([1, 10, 64, 750])),
        inclusive_areas=draw(st.booleans()),
        clip=draw(st.booleans()),
    )
    return made.halved() if draw(st.booleans()) else made
