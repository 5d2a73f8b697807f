"""Face crops in the pose that recognition networks are trained on."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_mogface.frame import Image

SIDE = 112
"""Width and height of a crop in pixels."""

TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Places of right eye, left eye, nose, right and left corner of the mouth in a crop, as ArcFace has them."""


def align(image: Image, landmarks: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return the crop of each face, turned and scaled so that its landmarks fit the template best.

    Args:
        image: uint8 [H, W, 3], BGR.
        landmarks: [n, 5, 2], x and y in pixels of the image, in the order of `TEMPLATE`.

    Returns:
        uint8 [n, 112, 112, 3], BGR; black beyond the edges of the image, and for landmarks that all lie in
        one point or are not finite.
    """
    crops = np.zeros((len(landmarks), SIDE, SIDE, 3), np.uint8)
    for crop, points in zip(crops, landmarks.astype(float)):
        matrix = similarity(points, TEMPLATE)
        if matrix is not None:
            _warp(image, matrix, crop)
    return crops


def similarity(points: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the rotation, scale and shift with the least squared distance from points to targets.

    It is Umeyama's least-squares estimate, which in two dimensions is a line through complex numbers.

    Args:
        points, targets: float64 [n, 2], x and y.

    Returns:
        float64 [2, 3], or None if all points are the same or one is not finite.
    """
    x, y = (pairs @ [1, 1j] for pairs in (points, targets))
    spread = np.sum(np.abs(x - x.mean()) ** 2)
    if not np.isfinite(spread) or spread == 0:
        return None
    turn = np.sum(np.conj(x - x.mean()) * (y - y.mean())) / spread
    shift = y.mean() - turn * x.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def _warp(image: Image, matrix: NDArray[np.float64], crop: NDArray[np.uint8]) -> None:
    """Fill a crop from the part of the image that it shows; OpenCV takes no images beyond 32,766 pixels."""
    corners = np.array([[-1, -1, 1], [SIDE, -1, 1], [-1, SIDE, 1], [SIDE, SIDE, 1]], float)
    try:
        shown = corners @ np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2].T
    except np.linalg.LinAlgError:  # points that a mirror image would fit have no rotation
        return
    limit = np.array(image.shape[1::-1])
    (left, top), (right, bottom) = (
        np.clip(np.floor(shown.min(0)) - 1, 0, limit).astype(int),
        np.clip(np.ceil(shown.max(0)) + 2, 0, limit).astype(int),
    )
    if left >= right or top >= bottom:
        return
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ [left, top]
    cv2.warpAffine(image[top:bottom, left:right], moved, (SIDE, SIDE), dst=crop, borderValue=(0, 0, 0))
