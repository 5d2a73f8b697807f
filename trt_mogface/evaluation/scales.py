"""The runs of the authors' multi-scale test: at which scales, flipped or not, and which faces of each count.

Source: ``test_multi.py`` of the authors' repository, with its default ``scale_weight`` (sizes are areas).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from trt_mogface.evaluation.average_precision import Flags, Floats

MOST_PIXELS = 0x7FFFFFFF / 200
"""Of a network input."""

LARGE = 2000.0
"""Shrunk pictures tell of faces of a larger area alone, in square pixels of the picture."""


@dataclass(frozen=True)
class MultiScale:
    """What the two published variants differ in.

    Attributes:
        largest: Scale that pictures are enlarged to at most.
        weight: Times hundreds of square pixels: faces of a larger area are ignored in enlarged pictures.
        vote_iou: Of the box voting.
        flip_at: Scale of a further flipped run; None for none.
    """

    largest: float
    weight: float
    vote_iou: float
    flip_at: float | None = None


MULTI = MultiScale(largest=2.6, weight=15, vote_iou=0.6)
MULTI_HARD = MultiScale(largest=2.3, weight=10, vote_iou=0.5, flip_at=1.4)


@dataclass(frozen=True)
class Run:
    """One run of the network on a picture.

    Attributes:
        scale: Network pixels per picture pixel.
        flip: Whether the picture is mirrored.
        above, below: Faces count whose area lies between, in square pixels of the picture, ends excluded.
    """

    scale: float
    flip: bool = False
    above: float = -math.inf
    below: float = math.inf

    def keeps(self, boxes: Floats) -> Flags:
        """Which boxes count: float64 [n, 4] of x0, y0, x1, y1 to bool [n]."""
        area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
        return np.asarray((area > self.above) & (area < self.below), np.bool_)


def limit(height: int, width: int) -> float:
    """The scale at which a picture is as large as a network input may be."""
    return math.sqrt(MOST_PIXELS / (height * width))


def runs(height: int, width: int, chosen: MultiScale) -> list[Run]:
    """The runs for a picture of this height and width, in the published order."""
    most = limit(height, width)
    most = chosen.largest if most > 2.2 else most
    original = min(most, 1.0)
    found = [Run(original), Run(original, flip=True)]

    half = 0.5 if most >= 0.75 else 0.5 * most
    found.append(Run(half, above=LARGE))
    if most > 0.75:
        found.append(Run(0.75, above=LARGE))

    double = min(2.0, most) if most > 1 else (half + most) / 2
    found.append(Run(double, below=600 * chosen.weight))
    if most > 1.5:
        found.append(Run(1.5, below=800 * chosen.weight))
    if most > 2:
        found.append(Run(most, below=500 * chosen.weight))

    found.append(Run(0.25, above=LARGE))
    for scale, area in ((1.25, 2000), (1.75, 1000), (2.25, 600)):
        if scale <= most:
            found.append(Run(scale, below=area * chosen.weight))
    if chosen.flip_at is not None:
        found.append(Run(chosen.flip_at, flip=True))
    return found
