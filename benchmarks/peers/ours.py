"""The model under test, with which the peers are compared."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from typing_extensions import override

from benchmarks.peers.peer import FACES, NETWORK, Does, Loop, Opened, Round, Task, batch_of
from trt_mogface.backends.onnxruntime import OnnxNetwork
from trt_mogface.bench.measurement import Latency
from trt_mogface.bench.network import open_timer
from trt_mogface.detector import Detector

OURS = "trt-mogface"


@dataclass(frozen=True)
class Ours:
    """`Detector` from images to faces, or its network only."""

    does: Does = FACES

    @property
    def name(self) -> str:
        return f"{OURS}, network" if self.does == NETWORK else OURS

    def open(self, task: Task) -> Opened:
        if self.does == FACES:
            return self._detector(task)
        if task.is_engine:
            return _EngineTurns(task)
        network, images = OnnxNetwork(task.model, threads=task.threads), batch_of(task)
        return Loop(partial(network.run, images), len(images), NETWORK)

    def _detector(self, task: Task) -> Opened:
        chosen = task.thresholds
        detect = Detector(
            task.model,
            size=task.size,
            conf=chosen.score_threshold,
            iou=chosen.iou_threshold,
            top_k=chosen.top_k,
            max_det=chosen.max_detections,
            threads=None if task.is_engine else task.threads,
            device=task.device,
        )
        images = list(task.images)
        return Loop(partial(detect, images), len(images), FACES, sum(map(len, detect(images))))


class _EngineTurns(Opened):
    """An engine, timed by events on the device.  Untested on a GPU."""

    does: Does = NETWORK
    faces: int | None = None
    note = ""

    def __init__(self, task: Task) -> None:
        self._images = len(task.images)
        self._timer = open_timer(task.model, (self._images, task.size[1], task.size[0]), task.device)
        self._timer.run()

    @override
    def turn(self, seconds: float) -> Round:
        times, took = self._timer.repeat(seconds, 1)
        return Round(len(times), len(times) * self._images / took, Latency.of(times))
