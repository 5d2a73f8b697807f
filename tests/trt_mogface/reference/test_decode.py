"""Decoding against the papers' formulas, one box at a time in Python floats, and the published code."""

from __future__ import annotations

import dataclasses
import math
from types import ModuleType

import numpy as np
import pytest

from tests.support.specs import MOGFACE, Floats, coding
from trt_mogface.reference.anchors import anchors
from trt_mogface.reference.decode import decode_boxes, decode_landmarks
from trt_mogface.spec import BoxCoding

TOLERANCE = 1e-5
"""Relative; float32 has seven digits, and a few operations follow each other."""

KINDS = ["inclusive", "ssd", "distance"]


def plain_box(delta: list[float], anchor: list[float], coding: BoxCoding) -> list[float]:
    a, b, c, d = delta
    x, y, w, h = anchor
    if coding.kind == "distance":  # FCOS: left, top, right, bottom from the anchor's center
        return [x - a * w, y - b * h, x + c * w, y + d * h]
    one, two = coding.variances
    x, y, w, h = x + a * one * w, y + b * one * h, w * math.exp(c * two), h * math.exp(d * two)
    if not coding.inclusive:
        return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
    return [x - (w - 1) / 2, y - (h - 1) / 2, x + (w - 1) / 2, y + (h - 1) / 2]


def random_anchors(rng: np.random.Generator, count: int) -> Floats:
    return np.hstack([rng.uniform(0, 1000, (count, 2)), rng.uniform(8, 512, (count, 2))]).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_equal_the_formula(kind: str) -> None:
    rng = np.random.default_rng(1)
    how = dataclasses.replace(coding(kind), variances=(0.1, 0.2))
    near, deltas = random_anchors(rng, 300), rng.normal(0, 1, (300, 4)).astype(np.float32)
    expected = [plain_box(d, a, how) for d, a in zip(deltas.tolist(), near.tolist())]
    boxes = decode_boxes(deltas, near, how)
    assert boxes.dtype == np.float32
    np.testing.assert_allclose(boxes, expected, rtol=TOLERANCE, atol=1000 * TOLERANCE)


@pytest.mark.parametrize(("kind", "factor"), [("inclusive", 1.0), ("ssd", 0.1), ("distance", 1.0)])
def test_landmarks_equal_the_formula(kind: str, factor: float) -> None:
    rng = np.random.default_rng(2)
    near, deltas = random_anchors(rng, 100), rng.normal(0, 1, (100, 10)).astype(np.float32)
    points = decode_landmarks(deltas, near, coding(kind))
    assert points.shape == (100, 5, 2)
    for face, delta, (x, y, w, h) in zip(points.tolist(), deltas.tolist(), near.tolist()):
        expected = [[x + delta[2 * i] * factor * w, y + delta[2 * i + 1] * factor * h] for i in range(5)]
        np.testing.assert_allclose(face, expected, rtol=TOLERANCE, atol=1000 * TOLERANCE)


def test_mogface_boxes_equal_the_published_ones(mogface_reference: ModuleType) -> None:
    torch = pytest.importorskip("torch")
    near = anchors(MOGFACE, 97, 131)
    deltas = np.random.default_rng(3).normal(0, 0.5, near.shape).astype(np.float32)
    published = mogface_reference.mogdecode(torch.from_numpy(deltas), torch.from_numpy(near.copy())).numpy()
    np.testing.assert_allclose(decode_boxes(deltas, near, MOGFACE.coding), published, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_no_anchors_give_no_boxes(kind: str) -> None:
    none = np.empty((0, 4), np.float32)
    assert decode_boxes(none, none, coding(kind)).shape == (0, 4)
    assert decode_landmarks(np.empty((0, 10), np.float32), none, coding(kind)).shape == (0, 5, 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_numbers_out_of_range_stay_in_their_row_and_raise_nothing(kind: str, value: float) -> None:
    near = np.full((3, 4), 100, np.float32)
    deltas = np.zeros((3, 4), np.float32)
    deltas[1] = value
    boxes = decode_boxes(deltas, near, coding(kind))
    assert np.isfinite(boxes).all(axis=1).tolist() == [True, False, True]
