"""`GpuSlot`: upload, letterbox, network, selection and download of a batch, as one launch of a CUDA graph."""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from typing import NamedTuple, Protocol

import numpy as np

from trt_mogface.backends.base import OnStage
from trt_mogface.backends.gpu.buffers import FaceBuffer, FrameBuffer
from trt_mogface.backends.options import SlotOptions
from trt_mogface.cuda import Cuda, DeviceMemory, Event, Graph, Stream
from trt_mogface.detections import Detections
from trt_mogface.errors import CudaError, MogFaceError, OutOfMemoryError
from trt_mogface.frame import Frame
from trt_mogface.kernels import Kernels
from trt_mogface.kernels.arrays import stream_handle
from trt_mogface.models.manifest import Shape
from trt_mogface.spec import DELTAS, LANDMARKS, SCORES

MAX_GRAPHS = 16
"""Number of graphs that a slot keeps, the most recently used."""

STAGES = ("copy in", "letterbox", "network", "select", "copy out")

log = logging.getLogger("trt_mogface")


class DeviceNetwork(Protocol):
    """A network on the GPU for one stream at a time: `trt_mogface.backends.gpu.engine.TensorRTNetwork`."""

    @property
    def scratch_bytes(self) -> int:
        """Device memory that a run needs."""

    @property
    def capturable(self) -> bool:
        """Whether `enqueue` may be captured in a CUDA graph."""

    def check_shape(self, shape: Shape) -> None:
        """Refuse a shape (batch, height, width) that the network does not accept."""

    def enqueue(
        self, shape: Shape, images: int, outputs: dict[str, int], scratch: DeviceMemory, stream: Stream
    ) -> None:
        """Queue a run; see `trt_mogface.backends.gpu.engine.TensorRTNetwork.enqueue`."""

    def clone(self) -> DeviceNetwork:
        """Return a network that shares the weights, for another stream."""

    def close(self) -> None:
        """Free the network."""


class Key(NamedTuple):
    """Properties of a batch that a graph depends on: number of frames, network input size, uploaded bytes."""

    batch: int
    canvas: tuple[int, int]
    nbytes: int
    address: int


class GpuSlot:
    """One batch on the GPU; see `trt_mogface.backends.base.Slot`.

    All memory but that of the frames is allocated here for the largest batch; smaller ones use a part of it.
    The first batch of a shape is launched step by step, because TensorRT may synchronize then; the second is
    captured, later ones are launched as graphs.

    Args:
        cuda, kernels: Device of the slot, and kernels around the network.
        network: Network for this slot only, closed with it.
        options: Resolved options.
        max_shapes: Largest batches, heights and widths of the network input, e.g. one for each profile.  The
            memory suffices for each of them, not for the largest batch in the largest size.
        on_stage: Called with the milliseconds of each stage of a batch; None measures nothing.
        views: Whether detections are views of pinned memory, which the next batch overwrites.

    Raises:
        OutOfMemoryError: If memory does not suffice; the message names the batch that would fit.
    """

    def __init__(
        self,
        cuda: Cuda,
        kernels: Kernels,
        network: DeviceNetwork,
        options: SlotOptions,
        max_shapes: Sequence[Shape],
        on_stage: OnStage | None = None,
        *,
        views: bool = False,
    ) -> None:
        self._cuda, self._kernels, self._network, self._options = cuda, kernels, network, options
        self._on_stage, self._views = on_stage, views
        self._frames: tuple[Frame, ...] = ()
        self._graphs: OrderedDict[Key, Graph] = OrderedDict()
        self._warm: set[Key] = set()
        self._captures = network.capturable and cuda.has_graphs
        with cuda.current(), ExitStack() as made:
            keep = made.enter_context
            keep(closing(network))
            pieces = [_sizes(kernels, network, options, shape) for shape in max_shapes]
            sizes = {name: max(piece[name] for piece in pieces) for name in pieces[0]}
            batch = max(shape[0] for shape in max_shapes)
            self._stream, self._done = keep(closing(cuda.stream())), keep(closing(cuda.event()))
            marks = (*STAGES, "end") if on_stage else ()
            self._marks = [keep(closing(cuda.event(timed=True))) for _ in marks]
            try:
                self._faces = keep(closing(FaceBuffer(cuda, options, batch)))
                self._buffers = {name: keep(closing(cuda.allocate(nbytes))) for name, nbytes in sizes.items()}
            except OutOfMemoryError as error:
                raise _advised(error, cuda, sum(sizes.values()), batch) from error
            self._input = keep(closing(FrameBuffer(cuda, kernels)))
            self._open = made.pop_all()

    def submit(self, frames: Sequence[Frame]) -> None:
        """Pack the frames and launch everything."""
        placements = [self._options.place(*frame.size) for frame in frames]
        canvas = placements[0].canvas
        self._network.check_shape((len(frames), *canvas))
        with self._cuda.current():
            for stream in {stream_handle(frame.stream) for frame in frames if frame.stream is not None}:
                self._cuda.wait_stream(self._stream, stream)
            nbytes = self._input.fill(frames, placements, canvas, self._stream)
            self._launch(Key(len(frames), canvas, nbytes, self._input.address))
            self._cuda.record(self._done, self._stream)
        self._frames = tuple(frames)

    def wait(self) -> list[Detections]:
        """Block until the faces have arrived, and return them."""
        frames, self._frames = self._frames, ()
        with self._cuda.current():
            self._cuda.wait(self._done)
            if self._on_stage is not None:
                for stage, begin, end in zip(STAGES, self._marks, self._marks[1:]):
                    self._on_stage(stage, self._cuda.elapsed(begin, end))
        return self._faces.detections(frames, views=self._views)

    def close(self) -> None:
        """Wait for running work and free everything, the latest first; closing twice is harmless."""
        if not self._stream.closed:
            with suppress(CudaError), self._cuda.current():  # the device may be lost
                self._cuda.synchronize(self._stream)
        while self._graphs:
            self._graphs.popitem()[1].close()
        self._open.close()

    def _launch(self, key: Key) -> None:
        for stale in [known for known in self._graphs if known.address != key.address]:
            self._graphs.pop(stale).close()
        if key not in self._graphs and key in self._warm and self._captures:
            self._capture(key)
        graph = self._graphs.get(key)
        if graph is None:
            self._enqueue(key)
            self._warm.add(key)
        else:
            self._graphs.move_to_end(key)
            self._cuda.launch(graph, self._stream)

    def _capture(self, key: Key) -> None:
        """Capture a graph; if that fails, capture none in future."""
        try:
            self._graphs[key] = self._cuda.capture(self._stream, lambda: self._enqueue(key))
        except MogFaceError as error:
            self._captures = False
            log.warning("CUDA graphs are off, every step is launched by itself: %s", error)
        while len(self._graphs) > MAX_GRAPHS:
            self._graphs.popitem(last=False)[1].close()

    def _enqueue(self, key: Key) -> None:
        spec, stream, marks = self._options.spec, self._stream, iter(self._marks)
        shape, memory = (key.batch, *key.canvas), self._buffers
        images = memory["images"].view(0, (*shape, 3), np.uint8)
        sizes = spec.output_shapes(*shape).items()
        outputs = {name: memory[name].view(0, sides, np.float32) for name, sides in sizes}
        workspace = memory["workspace"].view(0, (memory["workspace"].nbytes,), np.uint8)
        self._mark(marks)
        self._input.upload(key.nbytes, stream)
        self._mark(marks)
        table = self._input.table(key.batch)
        self._kernels.letterbox(table, images, pad=spec.input.pad, stream=stream)
        self._mark(marks)
        addresses = {name: output.pointer for name, output in outputs.items()}
        self._network.enqueue(shape, images.pointer, addresses, memory["scratch"], stream)
        self._mark(marks)
        self._kernels.detect(
            outputs[SCORES],
            outputs[DELTAS],
            outputs.get(LANDMARKS),
            self._faces.on_device(key.batch),
            spec=spec,
            size=key.canvas,
            thresholds=self._options.thresholds,
            workspace=workspace,
            frames=table,
            stream=stream,
        )
        self._mark(marks)
        self._faces.download(stream)
        self._mark(marks)

    def _mark(self, marks: Iterator[Event]) -> None:
        event = next(marks, None)
        if event is not None:
            self._cuda.record(event, self._stream)


def _sizes(
    kernels: Kernels, network: DeviceNetwork, options: SlotOptions, max_shape: Shape
) -> dict[str, int]:
    """Return the bytes of each piece of device memory."""
    batch, height, width = max_shape
    outputs = options.spec.output_shapes(*max_shape)
    return {
        "images": 3 * math.prod(max_shape),
        **{name: 4 * math.prod(shape) for name, shape in outputs.items()},
        "scratch": max(1, network.scratch_bytes),
        "workspace": kernels.detect_workspace(options.spec, options.thresholds, batch, (height, width)),
    }


def _advised(error: OutOfMemoryError, cuda: Cuda, needed: int, batch: int) -> OutOfMemoryError:
    """Return the error with the batch that would fit."""
    free = cuda.free_memory()
    fits = min(batch - 1, int(batch * free / needed))
    advice = f"a batch of {fits} would fit" if fits > 0 else "use a smaller size, or another GPU"
    return OutOfMemoryError(error.kind, needed, free, advice)
