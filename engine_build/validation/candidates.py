"""Faces, certain and uncertain, that a contract ONNX file finds in images."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trt_mogface.backends.onnxruntime import OnnxNetwork
from trt_mogface.reference.select import Selection, select

MIN_SCORE = 0.02
"""Score threshold; an average precision needs the uncertain faces too."""

MAX_FACES = 1000
"""Largest number of faces of an image.

Published detectors keep 750.  A network that is not trained yet sees a face at every anchor.
"""


def candidates(file: Path, batches: Iterable[NDArray[np.uint8]]) -> list[Selection]:
    """Return the faces above `MIN_SCORE` in network inputs of one image each, uint8 [1, H, W, 3].

    They are in pixels of the network input, at most `MAX_FACES` of an image, best first.
    """
    found = []
    with OnnxNetwork(file) as network:
        own = network.spec.thresholds
        most = min(own.max_detections, MAX_FACES)
        thresholds = dataclasses.replace(own, score_threshold=MIN_SCORE, max_detections=most)
        for batch in batches:
            outputs, size = network.run(batch), (batch.shape[1], batch.shape[2])
            points = None if outputs.landmarks is None else outputs.landmarks[0]
            parts = outputs.scores[0], outputs.deltas[0], points
            found.append(select(*parts, spec=network.spec, size=size, thresholds=thresholds))
    return found
