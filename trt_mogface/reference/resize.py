"""From a picture's size to the network's input, and back: native size with padding, or a letterbox."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_mogface.spec import InputSpec

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Placement:
    """Where a picture lies in the network's input, always in its top left corner.

    Attributes:
        scale: Network pixels per picture pixel, the same in both directions.
        content: Height and width of the scaled picture in the network input.
        canvas: Height and width of the network input.
    """

    scale: float
    content: tuple[int, int]
    canvas: tuple[int, int]


def place_native(height: int, width: int, resize: InputSpec, *, pad: bool) -> Placement:
    """The picture at its own size, except that the model's rule for very long sides applies.

    Args:
        height, width: Of the picture.
        resize: The model's defaults.
        pad: Whether the canvas grows to a multiple of ``resize.multiple``.

    Source: ``MogFaceDetector.forward``: a longer side above 1500 px becomes 1000 px.
    """
    longest, scale = max(height, width), 1.0
    if resize.longest_over and resize.longest_to and longest > resize.longest_over:
        scale = resize.longest_to / longest
    content = _scaled(height, width, scale)
    multiple = resize.multiple if pad else 1
    rows, columns = (-(-side // multiple) * multiple for side in content)
    return Placement(scale, content, (rows, columns))


def place_letterbox(height: int, width: int, canvas: tuple[int, int]) -> Placement:
    """The picture scaled to fit a canvas of fixed height and width, its shape kept."""
    scale = min(canvas[0] / height, canvas[1] / width)
    rows, columns = _scaled(height, width, scale)
    return Placement(scale, (min(rows, canvas[0]), min(columns, canvas[1])), canvas)


def paint(image: Image, placement: Placement, pad: tuple[int, int, int], out: Image) -> None:
    """Write the scaled picture and its padding into the network input.

    Args:
        image: uint8 [h, w, 3], BGR.
        placement: From one of the functions above, for this picture's size.
        pad: BGR value right of and below the picture.
        out: uint8 [H, W, 3], the canvas; overwritten completely.

    Bilinear as ``cv2.resize`` does it, with the exact scale rather than the ratio of rounded sizes,
    which is what the published code does.
    """
    rows, columns = placement.content
    out[rows:] = pad
    out[:rows, columns:] = pad
    if placement.scale == 1.0:
        out[:rows, :columns] = image
        return
    if _is_exact(placement, *image.shape[:2]):
        scaled = cv2.resize(image, None, fx=placement.scale, fy=placement.scale)
    else:  # a side shorter than half a network pixel still gets one
        scaled = cv2.resize(image, (columns, rows))
    out[:rows, :columns] = scaled


def steps(placement: Placement, height: int, width: int) -> tuple[float, float]:
    """Picture pixels per network pixel, across and down, as ``cv2.resize`` computes them for `paint`.

    Args:
        placement: For a picture of this height and width.
        height, width: Of the picture.
    """
    if placement.content == (height, width):  # OpenCV copies
        return 1.0, 1.0
    if _is_exact(placement, height, width):
        return 1 / placement.scale, 1 / placement.scale
    rows, columns = placement.content
    return 1 / (columns / width), 1 / (rows / height)


def _is_exact(placement: Placement, height: int, width: int) -> bool:
    """Whether the content's size follows from the scale alone."""
    return (round(height * placement.scale), round(width * placement.scale)) == placement.content


def _scaled(height: int, width: int, scale: float) -> tuple[int, int]:
    return max(1, round(height * scale)), max(1, round(width * scale))
