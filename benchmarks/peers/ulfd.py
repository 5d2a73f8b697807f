"""ULFD (Ultra-Light-Fast-Generic-Face-Detector-1MB), with the caller's ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.peer import FACES, Loop, Opened, Task, model_file
from trt_mogface.backends.onnxruntime import session
from trt_mogface.frame import Image
from trt_mogface.reference.nms import nms

Floats = NDArray[np.float32]


class Network:
    """The network at the size of its file, with the steps of its repository.

    RGB, (x - 127) / 128, stretched to the network's size; outputs are softmax scores [1, A, 2] and corners as
    fractions of the image [1, A, 4].  Our suppression replaces the published Python loop.
    """

    def __init__(self, path: Path, threads: int) -> None:
        self._session = session(str(path), threads)
        self._input = self._session.get_inputs()[0].name
        _, _, self.height, self.width = self._session.get_inputs()[0].shape

    def detect(self, image: Image, conf: float, iou: float, max_det: int) -> tuple[Floats, Floats]:
        """Return boxes and scores, best first: float32 [n, 4], x0, y0, x1, y1 in pixels, and float32 [n]."""
        size = self.width, self.height
        planes = cv2.dnn.blobFromImage(image, 1 / 128, size, (127, 127, 127), swapRB=True)
        scores, corners = self._session.run(["scores", "boxes"], {self._input: planes})
        found = np.flatnonzero(scores[0, :, 1] > conf)
        found = found[np.argsort(-scores[0, found, 1], kind="stable")]
        rows, columns = image.shape[:2]
        boxes = corners[0, found] * np.array([columns, rows, columns, rows], np.float32)
        kept = nms(boxes, iou, inclusive=False, max_keep=max_det)
        return boxes[kept], scores[0, found[kept], 1]


@dataclass(frozen=True)
class Ulfd:
    """The network at the size of its file, one image at a time."""

    name: str = "ulfd"

    def open(self, task: Task) -> Opened:
        network, chosen = Network(model_file(task, self.name), task.threads), task.thresholds
        limits = chosen.score_threshold, chosen.iou_threshold, chosen.max_detections

        def run() -> int:
            return sum(len(network.detect(image, *limits)[1]) for image in task.images)

        note = f"another network, at {network.width}x{network.height}"
        return Loop(run, len(task.images), FACES, run(), note)
