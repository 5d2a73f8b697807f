"""YuNet by OpenCV, whose model file is the caller's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2

from benchmarks.peers.peer import FACES, Loop, Opened, SkippedError, Task
from trt_mogface.errors import ModelError


def model_file(task: Task, peer: str) -> Path:
    """The file that ``--peer-model`` names for a peer.

    Raises:
        SkippedError: None is named.
        ModelError: It is not there.
    """
    path = task.files.get(peer)
    if path is None:
        raise SkippedError(f"its model is not given: --peer-model {peer}=FILE")
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    return path


@dataclass(frozen=True)
class YuNet:
    """``cv2.FaceDetectorYN``, picture by picture, on the CPU."""

    name: str = "yunet"

    def open(self, task: Task) -> Opened:
        """See `benchmarks.peers.peer.Peer`."""
        path, chosen = model_file(task, self.name), task.thresholds
        cv2.setNumThreads(task.threads)
        detector = cv2.FaceDetectorYN.create(
            str(path), "", task.size, chosen.score_threshold, chosen.iou_threshold, chosen.top_k
        )

        def run() -> int:
            found = [detector.detect(picture)[1] for picture in task.pictures]
            return sum(0 if faces is None else len(faces) for faces in found)

        return Loop(run, len(task.pictures), FACES, run(), "another network")
