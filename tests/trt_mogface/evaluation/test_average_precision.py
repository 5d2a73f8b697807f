"""The area under the curve, and what cannot be ranked."""

from __future__ import annotations

import numpy as np
import pytest

from trt_mogface.evaluation.average_precision import ImageResult, average_precision, curve, match, range_of


def image(scores: list[float]) -> ImageResult:
    boxes = np.array([[10.0 * i, 0, 8, 8] for i in range(len(scores))]).reshape(-1, 4)
    return ImageResult(boxes, np.array(scores), np.array([[0.0, 0, 8, 8]]), np.array([True]))


def test_a_perfect_ranking_is_one_and_a_face_found_last_is_not() -> None:
    assert average_precision([image([0.9, 0.1])]) == pytest.approx(1.0)
    assert average_precision([image([0.1, 0.9])]) == pytest.approx(0.5)


@pytest.mark.parametrize("scores", [[], [0.5, 0.5], [0.5, float("nan")]])
def test_scores_that_cannot_be_ranked_are_refused(scores: list[float]) -> None:
    with pytest.raises(ValueError, match=r"no predictions|equal|finite"):
        average_precision([image(scores)])


def test_the_curve_agrees_with_one_threshold_after_another() -> None:
    """The protocol, read off its text: a loop over thresholds, images and predictions."""
    rng = np.random.default_rng(5)
    images = []
    for _ in range(6):
        faces = np.concatenate([rng.uniform(0, 90, (7, 2)), rng.uniform(8, 30, (7, 2))], axis=1)
        near = faces[rng.integers(0, 7, 12)] + rng.normal(0, 2, (12, 4))
        far = np.concatenate([rng.uniform(0, 90, (8, 2)), rng.uniform(8, 30, (8, 2))], axis=1)
        images.append((np.concatenate([near, far]), rng.random(20), faces, rng.random(7) < 0.6))
    matches = [match(boxes, scores, faces) for boxes, scores, faces, _ in images]
    found = curve(matches, [counted for *_, counted in images], range_of(matches))
    assert found.ap == pytest.approx(brute_force(images), abs=1e-12)


Plain = tuple[
    "np.ndarray[tuple[int, ...], np.dtype[np.float64]]",
    "np.ndarray[tuple[int, ...], np.dtype[np.float64]]",
    "np.ndarray[tuple[int, ...], np.dtype[np.float64]]",
    "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]",
]


def brute_force(images: list[Plain]) -> float:
    every = np.concatenate([scores for _, scores, _, _ in images])
    low, high = every.min(), every.max()
    total = sum(counted.sum() for *_, counted in images)
    points = []
    for t in range(1000):
        threshold = 1 - (t + 1) / 1000
        proposals = hits = 0
        for boxes, scores, faces, counted in images:
            taken = set()
            for at in np.argsort(-scores):
                if (scores[at] - low) / (high - low) < threshold:
                    continue
                overlaps = [plain_iou(boxes[at], face) for face in faces]
                best = int(np.argmax(overlaps))
                if overlaps[best] < 0.5:
                    proposals += 1
                elif counted[best]:
                    proposals += 1
                    hits += best not in taken
                    taken.add(best)
        points.append((hits / total, hits / proposals if proposals else 0.0))
    area, reached = 0.0, 0.0
    for at, (recall, _) in enumerate(points):
        area += (recall - reached) * max(precision for _, precision in points[at:])
        reached = recall
    return area


def plain_iou(a: np.ndarray[tuple[int, ...], np.dtype[np.float64]], b: object) -> float:
    x, y, w, h = map(float, np.asarray(b))
    across = min(a[0] + a[2], x + w) - max(a[0], x) + 1
    down = min(a[1] + a[3], y + h) - max(a[1], y) + 1
    if across <= 0 or down <= 0:
        return 0.0
    shared = across * down
    return float(shared / ((a[2] + 1) * (a[3] + 1) + (w + 1) * (h + 1) - shared))
