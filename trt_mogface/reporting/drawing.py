"""Boxes, scores and landmarks drawn onto an image."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_mogface._files import whole_file
from trt_mogface.errors import ImageError, OutputError
from trt_mogface.frame import MAX_PIXELS, Image
from trt_mogface.reference.decode import Floats

BOX = (80, 220, 60)
POINT = (60, 60, 240)
INK = (0, 0, 0)

FONT = cv2.FONT_HERSHEY_SIMPLEX

LONGEST_SIDE = {".jpe": 65500, ".jpeg": 65500, ".jpg": 65500, ".webp": 16383}
"""Largest width and height of formats, in pixels; OpenCV prints lines of its own about larger images."""

Color = tuple[int, int, int]


def draw(
    image: Image,
    boxes: Floats,
    scores: Floats,
    landmarks: Floats | None,
    ids: NDArray[np.int64] | None = None,
) -> Image:
    """Return a copy of an image with faces drawn on it.

    Args:
        image: uint8 [H, W, 3], BGR.
        boxes: float32 [n, 4], x0, y0, x1, y1 in pixels of the image, within its edges.
        scores: float32 [n].
        landmarks: float32 [n, points, 2] or None; points beyond the edges are left out.
        ids: int64 [n], identities that are written before the scores, those below 0 left out; or None.
    """
    canvas: Image = np.array(image, order="C")
    thickness = max(1, round(min(image.shape[:2]) / 400))
    names = [""] * len(scores) if ids is None else [f"#{number} " if number >= 0 else "" for number in ids]
    for box, score, name in zip(boxes.round().astype(int).tolist(), scores.tolist(), names):
        cv2.rectangle(canvas, box[:2], box[2:], BOX, thickness, cv2.LINE_AA)
        label(canvas, f"{name}{score:.2f}", (box[0], box[1]), thickness)
    points = np.empty((0, 2), np.float32) if landmarks is None else landmarks.reshape(-1, 2)
    inside = ((points >= 0) & (points < image.shape[1::-1])).all(axis=1)
    for point in points[inside].round().astype(int).tolist():
        cv2.circle(canvas, point, thickness, POINT, cv2.FILLED, cv2.LINE_AA)
    return canvas


def label(
    canvas: Image, text: str, corner: tuple[int, int], thickness: int, paper: Color = BOX, ink: Color = INK
) -> None:
    """Draw a line of text above a box, or at the top edge, onto an image.

    Args:
        canvas: uint8 [H, W, 3], BGR; changed.
        text: One line.
        corner: x and y of the top left corner of the box, in pixels.
        thickness: Stroke width in pixels, which also sets the text size.
        paper, ink: Background and text color, BGR.
    """
    width, height, base = extent(text, thickness)
    x, y = corner
    bottom = max(y, height + base)
    cv2.rectangle(canvas, (x, bottom - height - base), (x + width, bottom), paper, cv2.FILLED)
    cv2.putText(canvas, text, (x, bottom - base // 2), FONT, 0.4 * thickness, ink, thickness, cv2.LINE_AA)


def extent(text: str, thickness: int = 1) -> tuple[int, int, int]:
    """Return width, height above the base line and depth below it of a text, in pixels."""
    (width, height), base = cv2.getTextSize(text, FONT, 0.4 * thickness, thickness)
    return width, height, base


def save(path: Path, image: Image) -> None:
    """Write an image, whole or not at all; the suffix of `path` chooses the format.

    Raises:
        ImageError: If the image is too large for the format.
        OutputError: If the suffix is unknown or the file cannot be written.
    """
    check_format(path)
    height, width = image.shape[:2]
    fits = max(height, width) <= LONGEST_SIDE.get(path.suffix.lower(), MAX_PIXELS)
    encoded, data = cv2.imencode(path.suffix, image) if fits else (False, None)
    if not encoded or data is None:
        raise ImageError(f"{path}: {width}x{height} cannot be encoded as {path.suffix}; use .png")
    with whole_file(path) as temporary:
        temporary.write_bytes(data.tobytes())


def check_format(path: Path) -> None:
    """Refuse a file name whose suffix is not an image format.

    Raises:
        OutputError: If OpenCV cannot write the format.
    """
    if not path.suffix or not cv2.haveImageWriter(path.name):
        raise OutputError(f"{path}: unknown image format {path.suffix!r}; use .jpg or .png")
