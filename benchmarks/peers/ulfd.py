"""ULFD (Ultra-Light-Fast-Generic-Face-Detector-1MB), whose ONNX file is the caller's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.peer import FACES, Loop, Opened, Task
from benchmarks.peers.yunet import model_file
from trt_mogface.backends.onnxruntime import session
from trt_mogface.bench.sources import Picture
from trt_mogface.reference.nms import nms

Floats = NDArray[np.float32]


class Network:
    """The file at its own size, and what its repository does around it.

    RGB, (x - 127) / 128, stretched to the network's size; outputs are softmax scores [1, A, 2] and corners as
    fractions of the picture [1, A, 4].  Our suppression takes the place of the published Python loop.

    Args:
        path: The ONNX file.
        threads: CPU threads.
    """

    def __init__(self, path: Path, threads: int) -> None:
        self._session = session(str(path), threads)
        self._input = self._session.get_inputs()[0].name
        _, _, self.height, self.width = self._session.get_inputs()[0].shape

    def detect(self, image: Picture, conf: float, iou: float, most: int) -> tuple[Floats, Floats]:
        """Faces of a picture, best first.

        Args:
            image: uint8 [H, W, 3], BGR.
            conf, iou: A score must be greater; an IoU with a better box must not.
            most: Faces.

        Returns:
            float32 [n, 4], x0, y0, x1, y1 in pixels of the picture, and float32 [n] scores.
        """
        planes = cv2.dnn.blobFromImage(
            image, 1 / 128, (self.width, self.height), (127, 127, 127), swapRB=True
        )
        scores, corners = self._session.run(["scores", "boxes"], {self._input: planes})
        found = np.flatnonzero(scores[0, :, 1] > conf)
        found = found[np.argsort(-scores[0, found, 1], kind="stable")]
        rows, columns = image.shape[:2]
        boxes = corners[0, found] * np.array([columns, rows, columns, rows], np.float32)
        kept = nms(boxes, iou, inclusive=False, max_keep=most)
        return boxes[kept], scores[0, found[kept], 1]


@dataclass(frozen=True)
class Ulfd:
    """Picture by picture, at the size of its file."""

    name: str = "ulfd"

    def open(self, task: Task) -> Opened:
        """See `benchmarks.peers.peer.Peer`."""
        network, chosen = Network(model_file(task, self.name), task.threads), task.thresholds

        def run() -> int:
            return sum(
                len(
                    network.detect(each, chosen.score_threshold, chosen.iou_threshold, chosen.max_detections)[
                        1
                    ]
                )
                for each in task.pictures
            )

        note = f"another network, at {network.width}x{network.height}"
        return Loop(run, len(task.pictures), FACES, run(), note)
