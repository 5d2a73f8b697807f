"""Made-up faces of two passes over images, for the kernels that merge them."""

from __future__ import annotations

import numpy as np

from tests.support import device
from tests.support.device import HostFaces
from trt_mogface.reference.merge import Limits
from trt_mogface.reference.select import Selection

LIMITS = Limits(large=12.0**2, visible=3.0**2)


def made_up(rng: np.random.Generator, count: int, points: int) -> Selection:
    """Faces, best first, on a grid: many are equal, touch, or lie within each other; scores are tied."""
    corner = rng.integers(0, 40, (count, 2))
    side = rng.choice([1, 2, 4, 8, 12, 20, 40], (count, 2))
    boxes = (np.hstack([corner, corner + side]) * rng.choice([1.0, 0.3, 1 / 3])).astype(np.float32)
    scores = (-np.sort(-rng.integers(1, 17, count)) / 16).astype(np.float32)
    landmarks = rng.normal(0, 9, (count, points, 2)).astype(np.float32) if points else None
    return Selection(boxes, scores, landmarks, int(rng.integers(0, 5)))


def on_device(images: list[Selection], most: int) -> HostFaces:
    """Faces of each image as the kernels read them, with space for `most`."""
    points = 0 if images[0].landmarks is None else images[0].landmarks.shape[1]
    made = device.faces(len(images), most, points)
    for row, faces in enumerate(images):
        count = len(faces.scores)
        made.counts[row], made.dropped[row] = count, faces.dropped
        made.boxes[row], made.scores[row] = 0, 0
        made.boxes[row, :count], made.scores[row, :count] = faces.boxes, faces.scores
        if made.landmarks is not None:
            made.landmarks[row] = 0
            made.landmarks[row, :count] = faces.landmarks
    return made
