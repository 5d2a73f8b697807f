"""The published MogFace as in ModelScope: its network and its own functions before and after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.peers.peer import FACES, Loop, Opened, SkippedError, Task, only_for
from benchmarks.peers.published import published, published_network
from trt_mogface.frame import Image

MEAN = np.array([[103.53, 116.28, 123.675]])
STD = np.array([[57.375, 57.120003, 58.395]])
LONGEST = 1500
"""Longest side in pixels that the published code does not scale, so that the network inputs agree."""


@dataclass(frozen=True)
class ModelScope:
    """Steps of the published detector class, which needs all of ModelScope, one image at a time."""

    name: str = "modelscope"

    def open(self, task: Task) -> Opened:
        only_for(task, "mogface")
        if max(task.size) > LONGEST:
            raise SkippedError(f"it scales images longer than {LONGEST} pixels")
        network, where, note = published_network(task)
        utils, chosen = published().utils, task.thresholds
        import torch

        def detect(image: Image) -> int:
            pixels = image.astype(np.float32)
            pixels -= MEAN
            pixels /= STD
            pixels /= 255
            planes = torch.from_numpy(pixels[:, :, ::-1].copy().transpose(2, 0, 1)).unsqueeze(0).to(where)
            confidence, deltas = network(planes)
            priors = torch.tensor(utils.MogPriorBox(scale_list=[0.68])(*image.shape[:2])).to(where)
            boxes = utils.mogdecode(deltas.squeeze(0), priors).cpu().numpy()
            scores = confidence.squeeze(0).cpu().numpy()[:, 0]
            above = np.where(scores > chosen.score_threshold)[0]
            order = above[scores[above].argsort()[::-1][: chosen.top_k]]
            rows = np.hstack((boxes[order], scores[order][:, None])).astype(np.float32)
            return len(utils.py_cpu_nms(rows, chosen.iou_threshold)[: chosen.max_detections])

        def run() -> int:
            with torch.no_grad():  # the published code keeps gradients, which costs it memory and time
                return sum(map(detect, task.images))

        faces = run()
        return Loop(run, len(task.images), FACES, None if note else faces, note)
