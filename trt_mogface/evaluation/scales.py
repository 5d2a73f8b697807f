"""Runs of the authors' multi-scale test: scales, flips, and the face sizes that each run contributes.

Source: ``test_multi.py`` of the authors' repository, with its default ``scale_weight`` (sizes are areas).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from trt_mogface.evaluation.average_precision import Flags, Floats

MAX_PIXELS = 0x7FFFFFFF / 200
"""Largest network input."""

LARGE = 2000.0
"""Area in square pixels of the image: runs of a shrunk image contribute larger faces only."""


@dataclass(frozen=True)
class MultiScale:
    """Differences between the two published variants.

    Attributes:
        max_scale: Largest scale of an image.
        weight: Factor of the area limits: runs of an enlarged image contribute smaller faces only.
        vote_iou: Smallest IoU of the box voting.
        flip_at: Scale of a further flipped run; None for no such run.
    """

    max_scale: float
    weight: float
    vote_iou: float
    flip_at: float | None = None


MULTI = MultiScale(max_scale=2.6, weight=15, vote_iou=0.6)
MULTI_HARD = MultiScale(max_scale=2.3, weight=10, vote_iou=0.5, flip_at=1.4)


@dataclass(frozen=True)
class Run:
    """One run of the network on an image.

    Attributes:
        scale: Network pixels per image pixel.
        flip: Whether the image is mirrored.
        above, below: Exclusive limits of the area of faces that count, in square pixels of the image.
    """

    scale: float
    flip: bool = False
    above: float = -math.inf
    below: float = math.inf

    def keeps(self, boxes: Floats) -> Flags:
        """Return bool [n]: which boxes, float64 [n, 4] of x0, y0, x1, y1, count."""
        area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
        return np.asarray((area > self.above) & (area < self.below), np.bool_)


def limit(height: int, width: int) -> float:
    """Return the scale at which an image fills the largest network input."""
    return math.sqrt(MAX_PIXELS / (height * width))


def runs(height: int, width: int, variant: MultiScale) -> list[Run]:
    """Return the runs for an image of this height and width, in the published order."""
    most = limit(height, width)
    most = variant.max_scale if most > 2.2 else most
    original = min(most, 1.0)
    found = [Run(original), Run(original, flip=True)]

    half = 0.5 if most >= 0.75 else 0.5 * most
    found.append(Run(half, above=LARGE))
    if most > 0.75:
        found.append(Run(0.75, above=LARGE))

    double = min(2.0, most) if most > 1 else (half + most) / 2
    found.append(Run(double, below=600 * variant.weight))
    if most > 1.5:
        found.append(Run(1.5, below=800 * variant.weight))
    if most > 2:
        found.append(Run(most, below=500 * variant.weight))

    found.append(Run(0.25, above=LARGE))
    for scale, area in ((1.25, 2000), (1.75, 1000), (2.25, 600)):
        if scale <= most:
            found.append(Run(scale, below=area * variant.weight))
    if variant.flip_at is not None:
        found.append(Run(variant.flip_at, flip=True))
    return found
