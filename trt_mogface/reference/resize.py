"""From an image's size to the network input and back: native size with padding, letterbox, or stretch."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from trt_mogface.frame import Image
from trt_mogface.spec import InputSpec


@dataclass(frozen=True)
class Placement:
    """Position of an image in the network input, always in its top left corner.

    Attributes:
        scale: Network pixels per image pixel, across and down.
        content: Height and width of the scaled image in the network input.
        canvas: Height and width of the network input.
    """

    scale: tuple[float, float]
    content: tuple[int, int]
    canvas: tuple[int, int]


def place_native(
    height: int, width: int, given: InputSpec, *, pad: bool = True, shrink: bool = True
) -> Placement:
    """Place an image of ``height`` x ``width`` pixels at its own size.

    Args:
        given: Treatment of sizes by the model.
        pad: Whether the canvas grows to a multiple of ``given.multiple``.
        shrink: Whether the model's rule for very long sides applies.

    Source: ``MogFaceDetector.forward``: a longer side above 1500 px becomes 1000 px.
    """
    longest, scale = max(height, width), 1.0
    if shrink and given.longest_over and given.longest_to and longest > given.longest_over:
        scale = given.longest_to / longest
    content = _scaled(height, width, scale)
    multiple = given.multiple if pad else 1
    rows, columns = (-(-side // multiple) * multiple for side in content)
    return Placement((scale, scale), content, (rows, columns))


def place_letterbox(height: int, width: int, canvas: tuple[int, int]) -> Placement:
    """Scale an image to fit a canvas of fixed height and width, keeping its aspect ratio."""
    scale = min(canvas[0] / height, canvas[1] / width)
    rows, columns = _scaled(height, width, scale)
    return Placement((scale, scale), (min(rows, canvas[0]), min(columns, canvas[1])), canvas)


def place_stretch(height: int, width: int, canvas: tuple[int, int]) -> Placement:
    """Scale an image to a canvas of fixed height and width, whatever its aspect ratio."""
    return Placement((canvas[1] / width, canvas[0] / height), canvas, canvas)


def paint(image: Image, placement: Placement, pad: tuple[int, int, int], out: Image) -> None:
    """Write the scaled image and its padding into the network input.

    Args:
        image: uint8 [h, w, 3], BGR.
        placement: Result of one of the functions above for this image's size.
        pad: BGR value right of and below the image.
        out: uint8 [H, W, 3], the canvas; overwritten completely.

    Bilinear as ``cv2.resize`` does it, with the exact scale rather than the ratio of rounded sizes,
    which is what the published code does.
    """
    rows, columns = placement.content
    if (rows, columns) != out.shape[:2]:
        row = np.array([pad], np.uint8).repeat(out.shape[1], axis=0)  # copied 20 times as fast
        out[rows:], out[:rows, columns:] = row, row[columns:]
    if placement.content == image.shape[:2]:
        scaled = image
    elif _is_exact(placement, *image.shape[:2]):
        scaled = cv2.resize(image, None, fx=placement.scale[0], fy=placement.scale[1])  # type: ignore[assignment]
    else:  # a side shorter than half a network pixel still gets one
        scaled = cv2.resize(image, (columns, rows))  # type: ignore[assignment]
    out[:rows, :columns] = scaled


def steps(placement: Placement, height: int, width: int) -> tuple[float, float]:
    """Return image pixels per network pixel, across and down, as ``cv2.resize`` computes them for `paint`.

    ``placement`` is that of an image of ``height`` x ``width`` pixels.
    """
    if placement.content == (height, width):  # OpenCV copies
        return 1.0, 1.0
    if _is_exact(placement, height, width):
        return 1 / placement.scale[0], 1 / placement.scale[1]
    rows, columns = placement.content
    return 1 / (columns / width), 1 / (rows / height)


def _is_exact(placement: Placement, height: int, width: int) -> bool:
    """Return whether the content's size follows from the scale."""
    across, down = placement.scale
    return (round(height * down), round(width * across)) == placement.content


def _scaled(height: int, width: int, scale: float) -> tuple[int, int]:
    return max(1, round(height * scale)), max(1, round(width * scale))
