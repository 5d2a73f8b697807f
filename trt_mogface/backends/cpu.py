"""`CpuBackend`: OpenCV resizes, ONNX Runtime runs the network, numpy selects."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from trt_mogface.backends.base import Network, OnStage
from trt_mogface.backends.onnxruntime import CPU, OnnxNetwork, is_large
from trt_mogface.backends.options import DetectorOptions, SlotOptions
from trt_mogface.backends.worker import Worker
from trt_mogface.detections import Detections
from trt_mogface.errors import ImageError, reason_of
from trt_mogface.frame import Frame
from trt_mogface.machine.cpu import available_cores
from trt_mogface.reference.color import to_bgr
from trt_mogface.reference.decode import Floats
from trt_mogface.reference.merge import merge
from trt_mogface.reference.resize import Placement, paint
from trt_mogface.reference.select import Selection, select
from trt_mogface.spec import Thresholds

Batch: TypeAlias = NDArray[np.uint8]
"""Network input: [N, H, W, 3], BGR."""


class CpuBackend:
    """A contract file on the CPU; see `trt_mogface.backends.base.Backend`.

    Args:
        path: Contract ONNX file.
        options: Checked options; ``weights`` and ``min_face`` are part of `path` already.
        device: Number of the GPU, for execution providers that have any; None for the first.
        slots: Number of slots that will run at a time.
    """

    max_batch = sys.maxsize

    def __init__(
        self, path: Path, options: DetectorOptions, device: int | None = None, slots: int = 1
    ) -> None:
        providers = options.get("providers") or (CPU,)
        # Networks side by side, each on its share of the cores, do more together than one on all of them.
        threads = options.get("threads") or -(-available_cores() // slots)
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


@dataclass(frozen=True)
class Pass:
    """One pass of the network over frames of a batch.

    Attributes:
        scale: Scale in relation to the first pass, which is 1.
        placements: Placement of each frame by its index in the batch, in the order of the rows.
        images: Network input, a row for each placement.
    """

    scale: float
    placements: dict[int, Placement]
    images: Batch


class PassSlot(ABC):
    """One batch whose network input is made on the CPU, pass by pass; see `trt_mogface.backends.base.Slot`.

    `submit` converts and resizes frames, and starts the passes in the slot's own thread: slots run side by
    side.

    Args:
        options: Options of the opened model.
    """

    def __init__(self, options: SlotOptions) -> None:
        self._options = options
        self._passes: list[Pass] = []
        self._worker: Worker[list[Detections]] = Worker()
        self._running: Future[list[Detections]] = Future()
        self._running.set_result([])

    def submit(self, frames: Sequence[Frame]) -> None:
        """Write the network input and start the network; the frames may change afterwards."""
        if not self._running.done():  # its `wait` was interrupted, and it reads the input
            concurrent.futures.wait([self._running])
        with memory_suffices():
            self._start(frames)

    def _start(self, frames: Sequence[Frame]) -> None:
        sizes = [frame.size for frame in frames]
        passes = self._prepared(sizes)
        self._passes = [each for each in passes if not is_large(each.images)]
        for index, frame in enumerate(frames):
            image = to_bgr(frame)
            for each in passes:
                for out, (member, placement) in zip(each.images, each.placements.items()):
                    if member == index:
                        paint(image, placement, self._options.spec.input.pad, out)
        self._running = self._worker.submit(partial(self._run, passes, sizes))

    def wait(self) -> list[Detections]:
        """Return the detections once the network has run."""
        return self._running.result()

    @abstractmethod
    def close(self) -> None:
        """Finish the running batch and free the slot; closing twice is harmless."""

    @abstractmethod
    def _faces(self, each: Pass) -> dict[int, Selection]:
        """Return the faces of a pass in pixels of their images, by the index of the frame."""

    def _prepared(self, sizes: Sequence[tuple[int, int]]) -> list[Pass]:
        """Return the passes: the first over all frames, further ones over those that need them.

        Memory of the batch before is used again where the shape is the same, unless it is large.
        """
        options, first = self._options, [self._options.place(*size) for size in sizes]
        placed = {1.0: dict(enumerate(first))}
        for scale in options.further(first):
            placed[scale] = {
                index: options.reduce(placement, *size, scale)
                for index, (size, placement) in enumerate(zip(sizes, first))
                if options.needs_further(placement)
            }
        memory = {each.images.shape: each.images for each in self._passes}
        passes = []
        for scale, placements in placed.items():
            shape = (len(placements), *next(iter(placements.values())).canvas, 3)
            images = memory.pop(shape, None)
            passes.append(Pass(scale, placements, np.empty(shape, np.uint8) if images is None else images))
        return passes

    def _run(self, passes: Sequence[Pass], sizes: Sequence[tuple[int, int]]) -> list[Detections]:
        with memory_suffices():
            return self._detections(passes, sizes)

    def _detections(self, passes: Sequence[Pass], sizes: Sequence[tuple[int, int]]) -> list[Detections]:
        first, thresholds = passes[0], self._options.thresholds
        found = self._faces(first)
        for finer, each in pairwise(passes):
            limits = self._options.merge_limits(finer.scale, each.scale)
            for index, faces in self._faces(each).items():
                found[index] = merge(found[index], faces, thresholds, limits, first.placements[index].scale)
        return self._options.clipped(
            [
                Detections(faces.boxes, faces.scores, faces.landmarks, size, faces.dropped)
                for size, faces in zip(sizes, found.values())
            ]
        )


class CpuSlot(PassSlot):
    """One batch on the CPU; the slot's thread runs the network and selects the faces.

    Args:
        network: Network that the slot runs and closes.
        options: Options of the opened model.
    """

    def __init__(self, network: Network, options: SlotOptions) -> None:
        super().__init__(options)
        self._network, self._own = network, options.thresholds

    def adjust(self, thresholds: Thresholds | None) -> None:
        """Set the thresholds of the next batch; None for those that the model was opened with."""
        self._options = dataclasses.replace(self._options, thresholds=thresholds or self._own)

    @override
    def close(self) -> None:
        """Finish the running batch and free the slot; closing twice is harmless."""
        self._worker.close()
        self._network.close()

    @override
    def _faces(self, each: Pass) -> dict[int, Selection]:
        scores, deltas, landmarks = self._network.run(each.images)
        parts = zip(scores, deltas, [None] * len(scores) if landmarks is None else landmarks)
        return {
            index: self._select(placement, *outputs)
            for (index, placement), outputs in zip(each.placements.items(), parts)
        }

    def _select(self, place: Placement, scores: Floats, deltas: Floats, points: Floats | None) -> Selection:
        spec, thresholds, content = self._options.spec, self._options.thresholds, place.content
        faces = select(
            scores, deltas, points, spec=spec, size=place.canvas, thresholds=thresholds, content=content
        )
        return scaled_back(faces, place)


def scaled_back(faces: Selection, place: Placement) -> Selection:
    """Return faces in pixels of the network input as faces in pixels of the image."""
    scale: Floats = np.array(place.scale * 2, np.float32)  # x, y, x, y
    landmarks = None if faces.landmarks is None else faces.landmarks / scale[:2]
    return Selection(faces.boxes / scale, faces.scores, landmarks, faces.dropped)


@contextmanager
def memory_suffices() -> Iterator[None]:
    """Blame images for a lack of memory in the block: others may be small enough."""
    try:
        yield
    except MemoryError as error:
        raise ImageError(f"image: {reason_of(error, 'image')}") from error
