"""Faces, sure and unsure, that a contract ONNX file finds in pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trt_mogface.backends.onnxruntime import OnnxNetwork
from trt_mogface.reference.select import Selection, select

LOWEST_SCORE = 0.02
"""Average precision needs the unsure faces too."""


def candidates(file: Path, batches: Iterable[NDArray[np.uint8]]) -> list[Selection]:
    """What a file finds in network inputs of one picture each, uint8 [1, H, W, 3].

    Returns:
        Faces with a score above `LOWEST_SCORE`, best first, in pixels of the network input.
    """
    found = []
    with OnnxNetwork(file) as executor:
        thresholds = dataclasses.replace(executor.spec.thresholds, score_threshold=LOWEST_SCORE)
        for batch in batches:
            outputs = executor.run(batch)
            points = None if outputs.landmarks is None else outputs.landmarks[0]
            found.append(
                select(
                    outputs.scores[0],
                    outputs.deltas[0],
                    points,
                    spec=executor.spec,
                    size=(batch.shape[1], batch.shape[2]),
                    thresholds=thresholds,
                )
            )
    return found
