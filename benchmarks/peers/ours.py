"""The model under test, with which the peers are compared."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

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
            return _detector(task)
        if task.is_engine:
            return _engine(task)
        network, images = OnnxNetwork(task.model, threads=task.threads), batch_of(task)
        return Loop(partial(network.run, images), len(images), NETWORK)


def _detector(task: Task) -> Opened:
    chosen = task.thresholds
    detect = Detector(
        task.model,
        size=task.size,
        conf=chosen.score_threshold,
        iou=chosen.iou_threshold,
        top_k=chosen.top_k,
        max_det=chosen.max_detections,
        threads=None if task.is_engine else task.threads,
        device=task.device if task.is_engine else None,
    )
    images = list(task.images)
    return Loop(partial(detect, images), len(images), FACES, sum(map(len, detect(images))))


def _engine(task: Task) -> Opened:
    """Time an engine by events on the device.  Untested on a GPU."""
    images, (width, height) = len(task.images), task.size
    timer = open_timer(task.model, (images, height, width), task.device)
    timer.run()

    def turn(seconds: float) -> Round:
        times, took = timer.repeat(seconds, 1)
        return Round(len(times), len(times) * images / took, Latency.of(times))

    return Opened(turn, NETWORK)
