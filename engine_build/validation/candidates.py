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


def candidates(file: Path, batches: Iterable[NDArray[np.uint8]]) -> list[Selection]:
    """Return the faces in network inputs of one image each, uint8 [1, H, W, 3].

    Returns:
        Faces with a score above `MIN_SCORE`, best first, in pixels of the network input.
    """
    found = []
    with OnnxNetwork(file) as network:
        thresholds = dataclasses.replace(network.spec.thresholds, score_threshold=MIN_SCORE)
        for batch in batches:
            outputs = network.run(batch)
            points = None if outputs.landmarks is None else outputs.landmarks[0]
            found.append(
                select(
                    outputs.scores[0],
                    outputs.deltas[0],
                    points,
                    spec=network.spec,
                    size=(batch.shape[1], batch.shape[2]),
                    thresholds=thresholds,
                )
            )
    return found
