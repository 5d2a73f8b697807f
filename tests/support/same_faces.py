"""Faces of two backends, compared one by one."""

from __future__ import annotations

import numpy as np

from trt_mogface import Detections
from trt_mogface.evaluation.matching import match


def assert_same_faces(
    found: Detections, expected: Detections, *, pixels: float = 1.0, score: float = 5e-3
) -> None:
    """Assert that both have the same faces, in any order: scores that nearly tie may change places.

    Args:
        found, expected: Faces of one image; some are expected.
        pixels: Largest difference of a coordinate of a box or a landmark.
        score: Largest difference of a score.
    """
    assert len(expected), "nothing to compare"
    assert len(found) == len(expected)
    pairs = match(found.xyxy, expected.xyxy)
    assert len(pairs.a) == len(expected), "faces lie elsewhere"
    np.testing.assert_allclose(found.confidence[pairs.a], expected.confidence[pairs.b], atol=score)
    np.testing.assert_allclose(found.xyxy[pairs.a], expected.xyxy[pairs.b], atol=pixels)
    assert (found.landmarks is None) == (expected.landmarks is None)
    if found.landmarks is not None and expected.landmarks is not None:
        np.testing.assert_allclose(found.landmarks[pairs.a], expected.landmarks[pairs.b], atol=pixels)
