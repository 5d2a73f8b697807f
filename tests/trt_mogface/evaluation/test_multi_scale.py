"""The authors' test procedure against plain code that follows its description step by step."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.onnx_files import answers, constant_network
from tests.support.photos import Photo
from tests.support.specs import MOGFACE
from trt_mogface.backends.registry import open_backend
from trt_mogface.detector import Detector
from trt_mogface.errors import ArgumentError
from trt_mogface.evaluation.average_precision import Floats
from trt_mogface.evaluation.box_voting import MAX_BOXES, vote
from trt_mogface.evaluation.procedure import PROCEDURES, procedures
from trt_mogface.evaluation.scales import MULTI, MULTI_HARD, Run, limit, runs


def plain_vote(boxes: Floats, scores: Floats, iou: float) -> list[list[float]]:
    """x0, y0, x1, y1, score of each merged box: loops, no arrays."""
    left = [[*(float(round(v)) for v in box), float(s)] for box, s in zip(boxes, scores)]
    left.sort(key=lambda row: -row[4])
    merged = []
    while left:
        best = left[0]
        group = [best, *(row for row in left[1:] if plain_iou(best, row) >= iou)]
        left = [row for row in left if not any(row is member for member in group)]
        if len(group) > 1:
            weight = sum(row[4] for row in group)
            best = [sum(row[i] * row[4] for row in group) / weight for i in range(4)] + [best[4]]
        merged.append(best)
    return merged[:750]


def plain_iou(a: list[float], b: list[float]) -> float:
    across = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    down = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [max(0.0, r[2] - r[0]) * max(0.0, r[3] - r[1]) for r in (a, b)]
    union = sum(areas) - across * down
    return across * down / (union if union > 0 else 1)


def crowd(rng: np.random.Generator, people: int, copies: int) -> tuple[Floats, Floats]:
    corner = rng.uniform(0, 900, (people, 2))
    side = rng.uniform(6, 80, (people, 1))
    faces = np.repeat(np.concatenate([corner, corner + side], axis=1), copies, axis=0)
    return faces + rng.normal(0, 3, faces.shape), rng.random(len(faces))


@pytest.mark.parametrize("iou", [0.5, 0.6])
@pytest.mark.parametrize(("people", "copies"), [(1, 1), (1, 40), (60, 6), (900, 1), (400, 3)])
def test_voting_equals_the_plain_one(iou: float, people: int, copies: int) -> None:
    boxes, scores = crowd(np.random.default_rng(people), people, copies)
    merged, best = vote(boxes, scores, iou)
    expected = np.array(plain_vote(boxes, scores, iou))
    np.testing.assert_allclose(np.column_stack([merged, best]), expected, rtol=0, atol=1e-9)
    assert len(merged) <= MAX_BOXES


def test_voting_takes_boxes_without_area_and_none_at_all() -> None:
    merged, best = vote(np.empty((0, 4)), np.empty(0), 0.5)
    assert (merged.shape, best.shape) == ((0, 4), (0,))
    flat = np.array([[5.0, 5, 5, 9], [5, 5, 5, 9], [9, 9, 1, 1]])
    merged, best = vote(flat, np.array([0.3, 0.9, 0.5]), 0.5)
    np.testing.assert_array_equal(best, [0.9, 0.5, 0.3])  # nothing overlaps what has no area
    np.testing.assert_array_equal(merged, [[5, 5, 5, 9], [9, 9, 1, 1], [5, 5, 5, 9]])


def by_scale(found: list[Run]) -> list[tuple[float, bool, float, float]]:
    return [(round(run.scale, 6), run.flip, run.above, run.below) for run in found]


INF = math.inf


def test_the_runs_of_an_ordinary_image() -> None:
    """768x1024 could be enlarged 3.7 times, so the largest scale is the variant's own."""
    assert by_scale(runs(768, 1024, MULTI)) == [
        (1.0, False, -INF, INF),
        (1.0, True, -INF, INF),
        (0.5, False, 2000, INF),
        (0.75, False, 2000, INF),
        (2.0, False, -INF, 9000),
        (1.5, False, -INF, 12000),
        (2.6, False, -INF, 7500),
        (0.25, False, 2000, INF),
        (1.25, False, -INF, 30000),
        (1.75, False, -INF, 15000),
        (2.25, False, -INF, 9000),
    ]
    hard = by_scale(runs(768, 1024, MULTI_HARD))
    assert hard[4:7] == [(2.0, False, -INF, 6000), (1.5, False, -INF, 8000), (2.3, False, -INF, 5000)]
    assert hard[8:] == [
        (1.25, False, -INF, 20000),
        (1.75, False, -INF, 10000),
        (2.25, False, -INF, 6000),
        (1.4, True, -INF, INF),
    ]


@pytest.mark.parametrize(
    ("most", "scales"),
    [
        (2.1, [1, 1, 0.5, 0.75, 2, 1.5, 2.1, 0.25, 1.25, 1.75]),
        (1.6, [1, 1, 0.5, 0.75, 1.6, 1.5, 0.25, 1.25]),
        (1.2, [1, 1, 0.5, 0.75, 1.2, 0.25]),
        (0.9, [0.9, 0.9, 0.5, 0.75, 0.7, 0.25]),
        (0.6, [0.6, 0.6, 0.3, 0.45, 0.25]),
    ],
)
def test_large_images_have_fewer_runs(most: float, scales: list[float]) -> None:
    side = round(math.sqrt(0x7FFFFFFF / 200) / most)
    assert [run.scale for run in runs(side, side, MULTI)] == pytest.approx(scales, abs=1e-3)
    assert limit(side, side) == pytest.approx(most, abs=1e-3)


@pytest.fixture(scope="module")
def photo(group: Photo) -> Photo:
    return cv2.resize(group, (320, 221)).astype(np.uint8)


@pytest.mark.parametrize("name", ["single", "multi", "multi-hard"])
def test_an_image_of_several_runs_equals_plain_code(photo: NDArray[np.uint8], name: str) -> None:
    """The default model in the published procedure: runs by hand, filtered, merged, cut, rounded."""
    procedure = PROCEDURES[name]
    height, width = photo.shape[:2]
    rows: list[list[float]] = []
    with Detector(**procedure.options()) as detect:
        found = procedure.predict(detect, photo)
        chosen = procedure.multi_scale
        for run in [Run(1.0)] if chosen is None else runs(height, width, chosen):
            scaled = photo[:, ::-1].copy() if run.flip else photo
            if run.scale != 1:
                scaled = cv2.resize(scaled, None, fx=run.scale, fy=run.scale).astype(np.uint8)
            faces = detect(scaled)
            for (x0, y0, x1, y1), score in zip(faces.xyxy.tolist(), faces.confidence.tolist()):
                w, h = (x1 - x0) / run.scale, (y1 - y0) / run.scale
                x0, y0 = x0 / run.scale, y0 / run.scale
                x1, y1 = x0 + w - 1, y0 + h - 1
                if run.flip:
                    x0, x1 = width - x1 - 1, width - x0 - 1
                if run.above < (x1 - x0) * (y1 - y0) < run.below:
                    rows.append([x0, y0, x1, y1, score])
    if chosen is not None:
        rows = plain_vote(np.array(rows)[:, :4], np.array(rows)[:, 4], chosen.vote_iou)
    decimals = 1 if chosen is None else 0
    expected = []
    for x0, y0, x1, y1, score in rows:
        x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, width - 1), min(y1, height - 1)
        expected.append([*(round(v, decimals) for v in (x0, y0, x1 - x0 + 1, y1 - y0 + 1)), round(score, 3)])
    assert len(expected) > 6
    np.testing.assert_allclose(np.column_stack([found.boxes, found.scores]), expected, atol=1e-6)


@pytest.mark.parametrize(("name", "canvas"), [("original", (672, 1024)), ("single", (1201, 1801))])
def test_published_procedures_leave_long_images_as_they_are(
    tmp_path: Path, name: str, canvas: tuple[int, int]
) -> None:
    file = constant_network(tmp_path / "m.onnx", answers(1), spec=MOGFACE.to_json())
    procedure = PROCEDURES[name]
    backend = open_backend(file, **procedure.options())
    assert backend.place(1201, 1801).canvas == canvas
    backend.close()


def test_published_procedures_take_no_size_and_the_original_passes_it_on() -> None:
    assert PROCEDURES["original"].options((64, 48)).get("size") == (64, 48)
    assert PROCEDURES["multi"].options().get("size") == "native"
    with pytest.raises(ArgumentError, match=r"^size: the published procedures scale images themselves"):
        PROCEDURES["multi"].options((64, 48))


def test_published_procedures_have_one_pass_and_the_original_that_of_a_detector() -> None:
    assert PROCEDURES["original"].options().get("scales") is None
    assert PROCEDURES["original"].options(scales=2).get("scales") == 2
    for name in ("single", "multi", "multi-hard"):
        for given in (None, "native"):
            assert PROCEDURES[name].options(scales=given).get("scales") == "native"
        with pytest.raises(ArgumentError, match=r"^scales: the published procedures scale images themselves"):
            PROCEDURES[name].options(scales="full")


def test_names_with_commas_and_unknown_ones() -> None:
    assert list(procedures("single, multi-hard")) == ["single", "multi-hard"]
    with pytest.raises(
        ArgumentError, match=r"procedure 'best': unknown procedure \(choose from original, single"
    ):
        procedures("single,best")
