"""The model under test itself, which the others are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.peers.peer import FACES, NETWORK, Does, Loop, Opened, Round, Task, batch_of
from trt_mogface.backends.onnxruntime import OnnxNetwork
from trt_mogface.bench.measurement import Latency
from trt_mogface.bench.network import DeviceNetwork
from trt_mogface.detector import Detector


@dataclass(frozen=True)
class Ours:
    """`Detector` from pictures to faces, or its network alone.

    Attributes:
        precision: Of the file.
        model: The file.
        does: Which of the two.
    """

    precision: str
    model: Path
    does: Does = FACES

    @property
    def name(self) -> str:
        """With the precision."""
        return f"trt-mogface {self.precision}{', network' if self.does == NETWORK else ''}"

    def open(self, task: Task) -> Opened:
        """See `benchmarks.peers.peer.Peer`."""
        if self.does == FACES:
            return self._detector(task)
        if task.is_engine:
            return _EngineTurns(self.model, task)
        executor, images = OnnxNetwork(self.model, threads=task.threads), batch_of(task)
        return Loop(partial(executor.run, images), len(images), NETWORK)

    def _detector(self, task: Task) -> Opened:
        chosen = task.thresholds
        detect = Detector(
            self.model,
            size=task.size,
            conf=chosen.score_threshold,
            iou=chosen.iou_threshold,
            top_k=chosen.top_k,
            max_det=chosen.max_detections,
            threads=None if task.is_engine else task.threads,
            device=task.device,
        )
        pictures = list(task.pictures)
        return Loop(partial(detect, pictures), len(pictures), FACES, sum(map(len, detect(pictures))))


class _EngineTurns:
    """An engine, timed by events on the device.  No GPU has run this so far."""

    does: Does = NETWORK
    faces: int | None = None
    note = ""

    def __init__(self, path: Path, task: Task) -> None:
        from trt_mogface.backends.gpu.engine import TensorRTNetwork, check_runs_here
        from trt_mogface.cuda import open_cuda

        manifest, flavor = check_runs_here(path, task.device)
        cuda = open_cuda(task.device)
        engine = TensorRTNetwork(path, manifest, flavor, cuda)
        self._pictures = len(task.pictures)
        shape = (self._pictures, task.size[1], task.size[0])
        self._network = DeviceNetwork(cuda, engine, manifest.spec, shape)
        self._network.run()

    def turn(self, seconds: float) -> Round:
        """See `Opened`."""
        times, took = self._network.repeat(seconds, 1)
        return Round(len(times), len(times) * self._pictures / took, Latency.of(times))
