"""Aligned crops: the transform against brute force and OpenCV, the crop against a point-wise warp."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.photos import Photo
from trt_mogface import Detections, Detector, Frame
from trt_mogface.errors import ImageError, ModelError
from trt_mogface.images.alignment import TEMPLATE, align, similarity


def fit(points: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.float64]:
    matrix = similarity(points, targets)
    assert matrix is not None
    return matrix


def test_the_transform_has_the_least_squares() -> None:
    """Four unknowns: x' = a x - b y + c, y' = b x + a y + d."""
    random = np.random.default_rng(0)
    for _ in range(50):
        points, targets = random.normal(200, 40, (2, 5, 2))
        x, y = points.T
        zero, one = np.zeros(5), np.ones(5)
        rows = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
        a, b, c, d = np.linalg.lstsq(rows, targets.T.ravel(), rcond=None)[0]
        np.testing.assert_allclose(fit(points, targets), [[a, -b, c], [b, a, d]], rtol=1e-6, atol=1e-6)


def test_turned_points_are_found_as_opencv_finds_them() -> None:
    random = np.random.default_rng(1)
    for angle in (-100, 0, 30, 180):
        matrix = cv2.getRotationMatrix2D((50, 60), angle, 1.7)
        points = random.normal(50, 30, (5, 2))
        targets = points @ matrix[:, :2].T + matrix[:, 2]
        np.testing.assert_allclose(fit(points, targets), np.asarray(matrix), atol=1e-9)
        np.testing.assert_allclose(
            fit(points, targets), np.asarray(cv2.estimateAffinePartial2D(points, targets)[0]), atol=1e-4
        )


def test_degenerate_points_give_black_crops() -> None:
    image = np.full((90, 90, 3), 200, np.uint8)
    points = np.stack([np.full((5, 2), 9.0), np.full((5, 2), np.nan), TEMPLATE - 5000, TEMPLATE])
    crops = align(image, points.astype(np.float32))
    assert [int(crop.max()) for crop in crops] == [0, 0, 0, 200]
    mirrored = TEMPLATE * [-1, 1]
    assert align(image, np.array([mirrored, TEMPLATE * [1, 0]])).shape == (2, 112, 112, 3)
    assert similarity(np.zeros((5, 2)), TEMPLATE) is None


def test_crops_show_the_face_upright(portrait: Photo) -> None:
    with Detector() as detector:
        faces = detector(portrait)
        crops = faces.aligned(portrait)
        again = detector(np.asarray(cv2.resize(crops[0], (448, 448)), np.uint8))
    assert crops.shape == (1, 112, 112, 3)
    assert again.landmarks is not None
    eyes = again.landmarks[0, :2] / 4
    assert np.abs(eyes - TEMPLATE[:2]).max() < 5  # the template has no head that leans back
    turn = np.asarray(cv2.getRotationMatrix2D((210, 120), 25, 0.9))
    turned = np.asarray(cv2.warpAffine(portrait, turn, (512, 512)), np.uint8)
    assert faces.landmarks is not None
    (crop,) = align(turned, faces.landmarks @ turn[:, :2].T + turn[:, 2])
    assert np.abs(crop.astype(int) - crops[0])[10:100, 10:100].mean() < 5


def test_a_crop_is_the_bilinear_sample_of_the_whole_image() -> None:
    """Also beyond the edges, and in an image that is wider than OpenCV's warp takes."""
    random = np.random.default_rng(2)
    wave = (np.sin(np.arange(40_000) / 9) * 100 + 120)[None, :, None] * np.linspace(0.5, 1, 200)[
        :, None, None
    ]
    image = np.repeat(wave, 3, axis=2).astype(np.uint8)
    points = TEMPLATE * 1.6 + [[39_850, 30]] + random.normal(0, 2, (5, 2))
    (crop,) = align(image, points[None])
    matrix = fit(points, TEMPLATE)
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    grid = np.stack([*np.meshgrid(np.arange(112), np.arange(112)), np.ones((112, 112))], -1) @ back.T
    x, y = grid[..., 0], grid[..., 1]
    padded = np.pad(image[..., 0].astype(float), ((300, 300), (0, 300)))
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    right, below = x - column, y - row
    expected = sum(
        padded[row + 300 + j, column + i] * (right if i else 1 - right) * (below if j else 1 - below)
        for i in (0, 1)
        for j in (0, 1)
    )
    assert np.abs(crop[..., 0] - expected).max() < 6  # OpenCV has 1/32 of a pixel
    assert (crop == 0).any()
    assert crop.max() > 150


def detected(points: NDArray[np.float32] | None, size: tuple[int, int]) -> Detections:
    return Detections(np.zeros((1, 4), np.float32), np.ones(1, np.float32), points, size)


def test_errors_are_one_line(portrait: Photo) -> None:
    faces = detected(None, (512, 512))
    with pytest.raises(ModelError, match=r"^aligned crops: the model has no landmarks; use "):
        faces.aligned(portrait)
    faces = detected(np.zeros((1, 5, 2), np.float32), (512, 500))
    with pytest.raises(ImageError, match=r"^image: 512x512 but the faces are of an image of 500x512; "):
        faces.aligned(portrait)
    none = detected(np.zeros((1, 5, 2), np.float32), (512, 512))[:0]
    assert none.aligned(Frame((portrait,))).shape == (0, 112, 112, 3)
