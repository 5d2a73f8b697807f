"""YuNet in OpenCV, with the caller's model file."""

from __future__ import annotations

from dataclasses import dataclass

import cv2

from benchmarks.peers.peer import FACES, Loop, Opened, Task, model_file


@dataclass(frozen=True)
class YuNet:
    """``cv2.FaceDetectorYN``, one image at a time, on the CPU."""

    name: str = "yunet"

    def open(self, task: Task) -> Opened:
        path, chosen = model_file(task, self.name), task.thresholds
        cv2.setNumThreads(task.threads)
        detector = cv2.FaceDetectorYN.create(
            str(path), "", task.size, chosen.score_threshold, chosen.iou_threshold, chosen.top_k
        )

        def run() -> int:
            found = [detector.detect(image)[1] for image in task.images]
            return sum(0 if faces is None else len(faces) for faces in found)

        return Loop(run, len(task.images), FACES, run(), "another network")
