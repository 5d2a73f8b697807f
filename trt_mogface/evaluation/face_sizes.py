"""Classes of faces by their longer side."""

from __future__ import annotations

import numpy as np

from trt_mogface.evaluation.average_precision import Flags, Floats

SIZES = {
    "< 16 px": (0.0, 16.0),
    "16-32 px": (16.0, 32.0),
    "32-64 px": (32.0, 64.0),
    ">= 64 px": (64.0, np.inf),
}
"""Lower bound (inclusive) and upper bound (exclusive) of each class, in pixels."""


def of_size(faces: Floats, label: str) -> Flags:
    """Return bool [f]: which of the faces, float64 [f, 4] of x, y, w, h, belong to a class of `SIZES`."""
    low, high = SIZES[label]
    side = faces[:, 2:].max(axis=1, initial=0)
    flags: Flags = (side >= low) & (side < high)
    return flags
