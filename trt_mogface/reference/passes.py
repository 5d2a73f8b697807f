"""Further passes of a network over reduced copies of an image, for faces that are too large for the anchors.

A network sees faces up to a size in pixels of its input (`trt_mogface.spec.Level.largest_face`).  Where an
image can hold larger ones, the network runs again on a reduced copy, in which they are small enough.
`trt_mogface.reference.merge` joins the faces of two passes.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from trt_mogface.reference.merge import Limits
from trt_mogface.reference.resize import Placement
from trt_mogface.spec import MATCH_IOU, DetectorSpec

Scales: TypeAlias = "Literal['native', 'full'] | int"
"""Passes: the first only (``native``), as many as an image's largest faces need (``full``), or a number."""

MAX_PASSES = 8
"""Largest number of passes.  Each further one covers faces at least 1 / `MATCH_IOU` times as large."""


def reductions(canvas: tuple[int, int], spec: DetectorSpec, scales: Scales = "full") -> tuple[float, ...]:
    """Return the scales of further passes over images in a network input, in relation to the first pass.

    One further pass has the scale `MATCH_IOU`, an eighth of the pixels: a face that is just too large for the
    largest anchor is then just large enough for it.  The scale is smaller where faces as large as the shorter
    side would still be too large.  There are more passes where the smallest face of a single one would be
    larger than the largest face of the first pass.

    Args:
        canvas: Height and width of the network input of the first pass.  Images of one canvas share all
            scales.
        spec: Anchors of the network.
        scales: See `Scales`.

    Returns:
        Scales below 1, largest first; none for ``native``, nor for ``full`` without larger faces.
    """
    if scales == "native":
        return ()
    largest = largest_face(spec)
    reach = max(1.0, min(canvas) / largest)
    if isinstance(scales, int):
        count = scales - 1
    elif reach == 1:
        return ()
    else:
        span = max(largest / smallest_face(spec), 1 / MATCH_IOU)
        count = min(math.ceil(math.log(reach) / math.log(span)), MAX_PASSES - 1)
    last = min(MATCH_IOU**count, 1 / reach)
    return tuple(last ** (number / count) for number in range(1, count + 1))


def largest_face(spec: DetectorSpec) -> float:
    """Return the side of the largest face that a network sees, in pixels of its input."""
    return max(level.largest_face for level in spec.levels)


def smallest_face(spec: DetectorSpec) -> float:
    """Return the side of the smallest face that overlaps an anchor by `MATCH_IOU`, in pixels of the input."""
    return min(side for level in spec.levels for side in level.sides) * math.sqrt(MATCH_IOU)


def merge_limits(spec: DetectorSpec, finer: float, scale: float) -> Limits:
    """Return the areas by which the faces of a further pass are merged with those of all finer ones.

    A face is large if it suits the largest anchors of the pass before, and an anchor of this one.

    Args:
        spec: Anchors of the network.
        finer: Scale of the pass before, 1 for the first.
        scale: Scale of the pass.
    """
    smallest = min(side for level in spec.levels for side in level.sides)
    large = max(MATCH_IOU * largest_face(spec) / finer, smallest / scale)
    return Limits(large**2, (smallest_face(spec) / scale) ** 2)


def content_limit(spec: DetectorSpec, scales: Scales) -> float:
    """Return the shorter side of an image, in the first pass, up to which it takes part in no further pass.

    With ``full`` its faces are no larger than those that the network sees.  A number of passes is that of any
    image.
    """
    return largest_face(spec) if scales == "full" else 0.0


def reduce(first: Placement, height: int, width: int, scale: float, multiple: int) -> Placement:
    """Place an image of ``height`` x ``width`` pixels in the canvas of a further pass.

    Args:
        first: Placement in the first pass.
        scale: One of `reductions`.
        multiple: Divisor of the height and width of the canvas, unless the first canvas is smaller.
    """
    across, down = (each * scale for each in first.scale)
    rows, columns = (min(side, math.ceil(side * scale / multiple) * multiple) for side in first.canvas)
    content = max(1, min(round(height * down), rows)), max(1, min(round(width * across), columns))
    return Placement((across, down), content, (rows, columns))
