"""A slot on the GPU: copy in, letterbox, network, decode and suppress, copy out, as one launch of a graph."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from typing import Any, NamedTuple, Protocol

import numpy as np

from trt_mogface.backends.base import Placed
from trt_mogface.backends.gpu.buffers import Staging
from trt_mogface.backends.gpu.results import Results
from trt_mogface.backends.options import Settings
from trt_mogface.cuda import Cuda, DeviceArray, DeviceMemory, Event, Graph, Stream
from trt_mogface.detections import Detections
from trt_mogface.errors import CudaError, MogFaceError, OutOfMemoryError
from trt_mogface.kernels import Kernels
from trt_mogface.models.manifest import Shape
from trt_mogface.spec import DELTAS, LANDMARKS, SCORES

GRAPHS = 16
"""Graphs that a slot keeps: the latest used."""

STAGES = ("copy in", "letterbox", "network", "select", "copy out")

log = logging.getLogger("trt_mogface")


class Network(Protocol):
    """What runs the network in a slot, for one stream at a time: `.engine.Contexts`."""

    @property
    def scratch_bytes(self) -> int:
        """Device memory that it needs while it runs."""

    def enqueue(
        self, shape: Shape, images: int, outputs: dict[str, int], scratch: DeviceMemory, stream: Stream
    ) -> None:
        """Run it on pictures x height x width."""

    def close(self) -> None:
        """Free it."""


class Key(NamedTuple):
    """What a graph depends on: pictures, their network input size, bytes copied, and to where."""

    pictures: int
    canvas: tuple[int, int]
    nbytes: int
    address: int


class GpuSlot:
    """See `trt_mogface.backends.base.Slot`.

    All memory but that of the frames is allocated here, for the largest batch; smaller ones use a part of it.
    The first batch of a shape is launched step by step, as TensorRT may wait then; the second is captured,
    later ones are launched as graphs.

    Args:
        cuda: The device.
        kernels: Before and after the network.
        network: For this slot alone; closed with it.
        settings: How pictures are placed and faces chosen.
        largest: Most pictures, and the largest height and width of the network's input.
        told: Called with the milliseconds of each stage of a batch; None measures nothing.
        views: Whether faces are views of pinned memory, which the next batch overwrites, and not copies.

    Raises:
        OutOfMemoryError: It names the batch that would fit; nothing is kept.
    """

    def __init__(
        self,
        cuda: Cuda,
        kernels: Kernels,
        network: Network,
        settings: Settings,
        largest: Shape,
        told: Callable[[str, float], None] | None = None,
        *,
        views: bool = False,
    ) -> None:
        self._cuda, self._kernels, self._network, self._settings = cuda, kernels, network, settings
        self._told, self._views = told, views
        self._pictures: tuple[Placed, ...] = ()
        self._graphs: OrderedDict[Key, Graph] = OrderedDict()
        self._warm: set[Key] = set()
        self._captures = True
        cuda.activate()
        sizes = _sizes(kernels, network, settings, largest)
        with ExitStack() as made:

            def keep(resource: Any) -> Any:
                made.callback(resource.close)
                return resource

            keep(network)
            self._stream: Stream = keep(cuda.stream())
            self._done: Event = keep(cuda.event())
            self._marks = [keep(cuda.event(timed=True)) for _ in (*STAGES, "end")] if told else []
            try:
                self._results: Results = keep(Results(cuda, settings, largest[0]))
                self._rooms: dict[str, DeviceMemory] = {
                    name: keep(cuda.allocate(nbytes)) for name, nbytes in sizes.items()
                }
            except OutOfMemoryError as error:
                raise _advised(error, cuda, sum(sizes.values()), largest[0]) from error
            self._staging: Staging = keep(Staging(cuda, kernels))
            self._open = made.pop_all()

    def begin(self, pictures: Sequence[Placed]) -> None:
        """Copy to pinned memory, and launch everything."""
        self._cuda.activate()
        canvas = pictures[0].placement.canvas
        for stream in {picture.stream for picture in pictures if picture.stream is not None}:
            self._cuda.follow(self._stream, stream)
        nbytes = self._staging.fill(pictures, canvas, self._stream)
        self._launch(Key(len(pictures), canvas, nbytes, self._staging.address))
        self._cuda.record(self._done, self._stream)
        self._pictures = tuple(pictures)

    def end(self) -> list[Detections]:
        """Wait for the faces and copy them."""
        pictures, self._pictures = self._pictures, ()
        self._cuda.activate()
        self._cuda.wait(self._done)
        if self._told is not None:
            for stage, first, second in zip(STAGES, self._marks, self._marks[1:]):
                self._told(stage, self._cuda.elapsed(first, second))
        return self._results.detections(pictures, views=self._views)

    def close(self) -> None:
        """Wait for what runs, and free everything, the latest first; closing twice is harmless."""
        if not self._stream.closed:
            with suppress(CudaError):  # of a device that is lost
                self._cuda.activate()
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
        """Make a graph of this shape; where that fails, no further one is tried."""
        try:
            self._cuda.begin_capture(self._stream)
            try:
                self._enqueue(key)
            except MogFaceError:
                with suppress(CudaError):  # ends the capture; what failed is told below
                    self._cuda.end_capture(self._stream).close()
                raise
            self._graphs[key] = self._cuda.end_capture(self._stream)
        except MogFaceError as error:
            self._captures = False
            log.warning("no CUDA graphs, every step is launched by itself: %s", error)
        while len(self._graphs) > GRAPHS:
            self._graphs.popitem(last=False)[1].close()

    def _enqueue(self, key: Key) -> None:
        spec, stream, marks = self._settings.spec, self._stream, iter(self._marks)
        images = self._part("images", (key.pictures, *key.canvas, 3), np.uint8)
        outputs = {
            name: self._part(name, shape, np.float32)
            for name, shape in _output_shapes(self._settings, key.pictures, key.canvas).items()
        }
        self._mark(marks)
        self._staging.upload(key.nbytes, stream)
        self._mark(marks)
        table = self._staging.table(key.pictures)
        self._kernels.letterbox(table, images, pad=spec.input.pad, stream=stream)
        self._mark(marks)
        addresses = {name: output.pointer for name, output in outputs.items()}
        self._network.enqueue(
            (key.pictures, *key.canvas), images.pointer, addresses, self._rooms["scratch"], stream
        )
        self._mark(marks)
        self._kernels.detect(
            outputs[SCORES],
            outputs[DELTAS],
            outputs.get(LANDMARKS),
            self._results.on_device(key.pictures),
            spec=spec,
            size=key.canvas,
            thresholds=self._settings.thresholds,
            workspace=self._rooms["workspace"].view(0, (self._rooms["workspace"].nbytes,), np.uint8),
            frames=table,
            stream=stream,
        )
        self._mark(marks)
        self._results.download(stream)
        self._mark(marks)

    def _part(self, name: str, shape: tuple[int, ...], dtype: type) -> DeviceArray:
        return self._rooms[name].view(0, shape, dtype)

    def _mark(self, marks: Iterator[Event]) -> None:
        event = next(marks, None)
        if event is not None:
            self._cuda.record(event, self._stream)


def _output_shapes(settings: Settings, count: int, canvas: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    anchors = settings.spec.anchor_count(*canvas)
    shapes: dict[str, tuple[int, ...]] = {SCORES: (count, anchors), DELTAS: (count, anchors, 4)}
    if settings.spec.landmarks:
        shapes[LANDMARKS] = count, anchors, 2 * settings.spec.landmarks
    return shapes


def _sizes(kernels: Kernels, network: Network, settings: Settings, largest: Shape) -> dict[str, int]:
    """Bytes of each piece of device memory."""
    count, height, width = largest
    outputs = _output_shapes(settings, count, (height, width))
    return {
        "images": count * height * width * 3,
        **{name: 4 * int(np.prod(shape, dtype=np.int64)) for name, shape in outputs.items()},
        "scratch": max(1, network.scratch_bytes),
        "workspace": kernels.detect_workspace(settings.spec, settings.thresholds, count, (height, width)),
    }


def _advised(error: OutOfMemoryError, cuda: Cuda, needed: int, batch: int) -> OutOfMemoryError:
    """The same with the batch that would fit."""
    free = cuda.free_memory()
    fits = min(batch - 1, int(batch * free / needed))
    advice = f"a batch of {fits} would fit" if fits > 0 else "use a smaller size, or another GPU"
    return OutOfMemoryError(error.kind, needed, free, advice)
