"""Photos with faces that come with the repository: a portrait, and a group made of it."""

from __future__ import annotations

import json
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


def group_faces() -> NDArray[np.float64]:
    """Return the faces of `group`: float64 [6, 4], x, y, width, height in pixels."""
    x, y, width, height, whole = 98, 57, 95, 120, 290
    return np.array(
        [
            [
                left + scale * (whole - x - width if is_mirrored else x),
                top + scale * y,
                scale * width,
                scale * height,
            ]
            for left, top, scale, is_mirrored in COPIES
        ]
    )


def write_annotated(folder: Path, count: int = 8) -> Path:
    """Write JPEG files and their faces in the form that ``eval wider`` reads, and return the folder.

    Each image is the group above a copy of an eighth of its size, whose faces count only as hard.  Files are
    ``images/0--Parade/N.jpg`` and ``annotations.json``; sizes and brightness differ.
    """
    whole, faces = group(), group_faces()
    small = cv2.resize(whole, None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA)
    below = np.full((120, GROUP_SIZE[1], 3), (104, 117, 123), np.uint8)
    below[: small.shape[0], : small.shape[1]] = small
    image = np.concatenate([whole, below])
    boxes = np.concatenate([faces, faces / 8 + [0, GROUP_SIZE[0], 0, 0]])
    images = folder / "images" / "0--Parade"
    images.mkdir(parents=True)
    entries = []
    for number in range(count):
        scale = 0.375 + 0.03 * number
        made = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        brightness = 0.7 + 0.06 * number
        (images / f"{number}.jpg").write_bytes(jpeg((made * brightness).clip(0, 255).astype(np.uint8)))
        large, every = list(range(len(faces))), list(range(len(boxes)))
        entries.append(
            {
                "event": "0--Parade",
                "file": str(number),
                "boxes_xywh": (boxes * scale).tolist(),
                "easy": large,
                "medium": large,
                "hard": every,
            }
        )
    (folder / "annotations.json").write_text(json.dumps(entries))
    return folder
