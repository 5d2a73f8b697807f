"""`CpuBackend`: OpenCV resizes, ONNX Runtime runs the network, numpy selects."""

from __future__ import annotations

import concurrent.futures
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from trt_mogface.backends.base import Network, OnStage
from trt_mogface.backends.onnxruntime import CPU, OnnxNetwork
from trt_mogface.backends.options import DetectorOptions, SlotOptions
from trt_mogface.backends.worker import Worker
from trt_mogface.detections import Detections
from trt_mogface.errors import ImageError
from trt_mogface.frame import Frame
from trt_mogface.machine.cpu import available_cores
from trt_mogface.reference.color import to_bgr
from trt_mogface.reference.decode import Floats
from trt_mogface.reference.resize import Placement, paint
from trt_mogface.reference.select import select

Batch: TypeAlias = NDArray[np.uint8]
"""Network input: [N, H, W, 3], BGR."""


class CpuBackend:
    """A contract file on the CPU; see `trt_mogface.backends.base.Backend`.

    Args:
        path: Contract ONNX file.
        options: Checked options; ``weights`` and ``min_face`` are part of `path` already.
        device: Number of the GPU, for execution providers that have any.
        slots: Number of slots that will run at a time.
    """

    max_batch = sys.maxsize

    def __init__(self, path: Path, options: DetectorOptions, device: int = 0, slots: int = 1) -> None:
        providers = options.get("providers") or (CPU,)
        # Networks side by side, each on its share of the cores, do more together than one on all of them.
        threads = options.get("threads") or max(1, available_cores() // slots)
        self.network = OnnxNetwork(path, threads=threads, providers=providers, device=device)
        self.options = SlotOptions.resolve(self.network.spec, options)
        self.info, self.place = self.options.info, self.options.place

    def check(self, frame: Frame) -> None:
        """Refuse a frame in device memory."""
        if not frame.on_host:
            raise ImageError("image: in device memory, and this model runs on the CPU; copy it to the host")

    def slot(
        self,
        batch: int,  # noqa: ARG002 -- memory is allocated when a batch arrives
        on_stage: OnStage | None = None,  # noqa: ARG002 -- there are no stages
        *,
        views: bool = False,  # noqa: ARG002 -- detections are new arrays
    ) -> CpuSlot:
        """Open a slot; slots share the weights."""
        return CpuSlot(self.network.clone(), self.options)

    def close(self) -> None:
        """Free the network; closing twice is harmless."""
        self.network.close()


class CpuSlot:
    """One batch on the CPU; see `trt_mogface.backends.base.Slot`.

    `submit` converts and resizes frames, and starts the network in the slot's own thread, which also selects
    the faces: slots run side by side.

    Args:
        network: Network that the slot runs and closes.
        options: Options of the opened model.
    """

    def __init__(self, network: Network, options: SlotOptions) -> None:
        self._network, self._options = network, options
        self._batch: Batch = np.empty((0, 1, 1, 3), np.uint8)
        self._worker: Worker[list[Detections]] = Worker()
        self._running: Future[list[Detections]] = Future()
        self._running.set_result([])

    def submit(self, frames: Sequence[Frame]) -> None:
        """Write the network input and start the network; the frames may change afterwards."""
        concurrent.futures.wait([self._running])  # its `wait` may have been interrupted; it reads the input
        placed = [(frame.size, self._options.place(*frame.size)) for frame in frames]
        shape = (len(frames), *placed[0][1].canvas, 3)
        if self._batch.shape != shape:
            self._batch = np.empty(shape, np.uint8)
        for frame, (_, placement), out in zip(frames, placed, self._batch):
            paint(to_bgr(frame), placement, self._options.spec.input.pad, out)
        self._running = self._worker.submit(partial(self._run, self._batch, placed))

    def wait(self) -> list[Detections]:
        """Return the detections once the network has run."""
        return self._running.result()

    def close(self) -> None:
        """Finish the running batch and free the slot; closing twice is harmless."""
        self._worker.close()
        self._network.close()

    def _run(self, batch: Batch, placed: Sequence[tuple[tuple[int, int], Placement]]) -> list[Detections]:
        scores, deltas, landmarks = self._network.run(batch)
        parts = zip(scores, deltas, [None] * len(placed) if landmarks is None else landmarks)
        return [self._detections(*each, *outputs) for each, outputs in zip(placed, parts)]

    def _detections(
        self, size: tuple[int, int], place: Placement, scores: Floats, deltas: Floats, points: Floats | None
    ) -> Detections:
        spec, thresholds, content = self._options.spec, self._options.thresholds, place.content
        faces = select(
            scores, deltas, points, spec=spec, size=place.canvas, thresholds=thresholds, content=content
        )
        scale: Floats = np.array(place.scale * 2, np.float32)  # x, y, x, y
        landmarks = None if faces.landmarks is None else faces.landmarks / scale[:2]
        return Detections(faces.boxes / scale, faces.scores, landmarks, size, faces.dropped)
