"""Box and landmark coding: what the network's deltas mean, relative to an anchor.

An anchor is (cx, cy, w, h); all results are in pixels of the network input, in float32.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trt_mogface.spec import BoxCoding

Floats = NDArray[np.float32]


def decode_boxes(deltas: Floats, anchors: Floats, coding: BoxCoding) -> Floats:
    """Return the boxes of some anchors.

    Args:
        deltas: float32 [n, 4], the network's output.
        anchors: float32 [n, 4], center x, center y, width, height.
        coding: Formula and its factors.

    Returns:
        float32 [n, 4]: x0, y0, x1, y1.  Overflow gives infinities, never an exception.

    Source: SSD (Liu et al. 2016, eq. 2) with variances; ``mogdecode`` of the published MogFace code for
    inclusive corners; FCOS (Tian et al. 2019, eq. 1) with distances in units of the anchor's side.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if coding.kind == "distance":
            reach = deltas * anchors[:, [2, 3, 2, 3]]
            return np.concatenate([anchors[:, :2] - reach[:, :2], anchors[:, :2] + reach[:, 2:]], axis=1)
        of_center, of_size = np.float32(coding.variances[0]), np.float32(coding.variances[1])
        center = anchors[:, :2] + deltas[:, :2] * of_center * anchors[:, 2:]
        size = anchors[:, 2:] * np.exp(deltas[:, 2:] * of_size)
        one = np.float32(coding.inclusive)
        low = center - (size - one) / 2
        return np.concatenate([low, size + (low - one)], axis=1)


def decode_landmarks(deltas: Floats, anchors: Floats, coding: BoxCoding) -> Floats:
    """Return the landmark points of some anchors.

    Args:
        deltas: float32 [n, 2 * points].
        anchors: float32 [n, 4].
        coding: ``ssd`` scales by its first variance and the anchor's side, ``distance`` by the side only.

    Returns:
        float32 [n, points, 2]: x, y.
    """
    offsets = deltas.reshape(len(deltas), deltas.shape[1] // 2, 2)
    if coding.kind == "ssd":
        offsets = offsets * np.float32(coding.variances[0])
    with np.errstate(over="ignore", invalid="ignore"):
        return anchors[:, None, :2] + offsets * anchors[:, None, 2:]
