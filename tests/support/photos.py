"""Photos with faces that come with the repository: a portrait, and a group made of it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_mogface import read_image

DATA = Path(__file__).resolve().parents[1] / "data"
PORTRAIT = DATA / "astronaut.jpg"

Photo = NDArray[np.uint8]

GROUP_SIZE = 886, 1280
"""Height and width of `group`."""

COPIES = (
    # left, top, scale, mirrored
    (20, 10, 1.15, False),
    (385, 190, 1.05, True),
    (800, 20, 1.45, False),
    (20, 450, 1.20, True),
    (420, 520, 1.18, False),
    (860, 480, 0.95, False),
)
"""Places of the six faces in `group`."""


def portrait() -> Photo:
    """Return one face: uint8 [512, 512, 3], BGR."""
    return read_image(PORTRAIT)


def group() -> Photo:
    """Return six faces on a plain background: uint8 [886, 1280, 3], BGR."""
    face = portrait()[:300, 80:370]
    canvas = np.full((*GROUP_SIZE, 3), (104, 117, 123), np.uint8)
    for left, top, scale, is_mirrored in COPIES:
        copy = cv2.resize(face, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        copy = copy[:, ::-1] if is_mirrored else copy
        height, width = copy.shape[:2]
        canvas[top : top + height, left : left + width] = copy[: GROUP_SIZE[0] - top, : GROUP_SIZE[1] - left]
    return canvas


def jpeg(image: Photo) -> bytes:
    """Return `image` as a JPEG file."""
    is_done, data = cv2.imencode(".jpg", image)
    assert is_done
    return bytes(data)
