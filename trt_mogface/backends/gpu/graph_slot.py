"""`GraphSlot`: the work on a batch, launched step by step at first and as one CUDA graph later."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from functools import partial
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from trt_mogface.backends.base import OnStage
from trt_mogface.backends.gpu.buffers import FaceBuffer, FaceLayout, FrameBuffer
from trt_mogface.backends.gpu.network import DeviceNetwork, DeviceRun
from trt_mogface.cuda import Cuda, DeviceArray, DeviceMemory, Event, Graph
from trt_mogface.detections import Detections
from trt_mogface.errors import CudaError, MogFaceError, OutOfMemoryError
from trt_mogface.frame import Frame
from trt_mogface.kernels import Kernels
from trt_mogface.kernels.arrays import stream_handle
from trt_mogface.models.manifest import Shape

MAX_GRAPHS = 16
"""Number of graphs that a slot keeps, the most recently used."""

COPY_IN, COPY_OUT = "copy in", "copy out"

log = logging.getLogger("trt_mogface")


class Call(NamedTuple):
    """A run of a network: name of the network, and number of images, height and width of its input."""

    network: str
    shape: Shape


class Key(Protocol):
    """Properties of a batch that a graph depends on; hashable."""

    @property
    def calls(self) -> Sequence[Call]:
        """Different runs of networks."""

    @property
    def steps(self) -> Sequence[str]:
        """Stages in the order in which the batch goes through them."""

    @property
    def nbytes(self) -> int:
        """Uploaded bytes."""


K = TypeVar("K", bound=Key)


Run = Callable[[Call], None]
"""Queues a run of a network."""


class GraphSlot(ABC, Generic[K]):
    """One batch on the GPU; see `trt_mogface.backends.base.Slot`.

    All memory but that of the frames is allocated here for the largest batch; smaller ones use a part of it.
    The first batch of a key is launched step by step.  So is the second, with a `DeviceRun` of each call,
    which is captured after that, because TensorRT may wait or allocate in a first run.  Later ones are
    launched as graphs.  A run lives as long as a graph of it.

    Args:
        cuda, kernels: Device of the slot, and kernels around the networks.
        networks: Networks for this slot only, closed with it, by name.
        layout: Faces of the largest batch.
        sizes: Bytes of each piece of device memory, by name.
        stages: Stages of the largest number of steps, in their order.
        batch: Largest batch, for messages.
        on_stage: Called with the milliseconds of each stage of a batch; None measures nothing.
        views: Whether detections are views of pinned memory, which the next batch overwrites.

    Raises:
        OutOfMemoryError: If memory does not suffice; the message names the batch that would fit.
    """

    def __init__(
        self,
        cuda: Cuda,
        kernels: Kernels,
        networks: Mapping[str, DeviceNetwork],
        layout: FaceLayout,
        sizes: Mapping[str, int],
        stages: Sequence[str],
        batch: int,
        on_stage: OnStage | None = None,
        *,
        views: bool = False,
    ) -> None:
        self._cuda, self._networks, self._layout = cuda, networks, layout
        self._on_stage, self._views = on_stage, views
        self._frames: tuple[Frame, ...] = ()
        self._steps: Sequence[str] = ()
        self._graphs: OrderedDict[K, Graph] = OrderedDict()
        self._runs: dict[Call, DeviceRun] = {}
        self._queued: dict[str, Shape] = {}
        self._warm: set[K] = set()
        self._captures = cuda.has_graphs and all(network.capturable for network in networks.values())
        with cuda.current(), ExitStack() as made:
            keep = made.enter_context
            for network in networks.values():
                keep(closing(network))
            pieces = {"scratch": max(1, *(each.scratch_bytes for each in networks.values())), **sizes}
            self._stream, self._done = keep(closing(cuda.stream())), keep(closing(cuda.event()))
            marks = (*stages, "end") if on_stage else ()
            self._marks = [keep(closing(cuda.event(timed=True))) for _ in marks]
            try:
                self._faces = keep(closing(FaceBuffer(cuda, self._layout)))
                self._buffers = {
                    name: keep(closing(cuda.allocate(nbytes))) for name, nbytes in pieces.items()
                }
            except OutOfMemoryError as error:
                raise _advised(error, cuda, sum(pieces.values()), batch) from error
            self._input = keep(closing(FrameBuffer(cuda, kernels)))
            self._generation = self._input.generation
            self._open = made.pop_all()

    def submit(self, frames: Sequence[Frame]) -> None:
        """Pack the frames and launch everything."""
        prepared = self._prepared(frames)
        with self._cuda.current():
            try:
                for stream in {stream_handle(frame.stream) for frame in frames if frame.stream is not None}:
                    self._cuda.wait_stream(self._stream, stream)
                key = self._filled(frames, prepared)
                self._launch(key)
                self._cuda.record(self._done, self._stream)
            except BaseException:
                with suppress(CudaError):  # the next batch overwrites what launched steps still read
                    self._cuda.synchronize(self._stream)
                raise
        self._frames, self._steps = tuple(frames), key.steps

    def wait(self) -> list[Detections]:
        """Block until the faces have arrived, and return them."""
        frames, self._frames = self._frames, ()
        with self._cuda.current():
            self._cuda.wait(self._done)
            if self._on_stage is not None:
                times = dict.fromkeys(self._steps, 0.0)
                for stage, begin, end in zip(self._steps, self._marks, self._marks[1:]):
                    times[stage] += self._cuda.elapsed(begin, end)
                for stage, milliseconds in times.items():
                    self._on_stage(stage, milliseconds)
        return self._faces.detections(frames, views=self._views)

    def close(self) -> None:
        """Wait for running work and free everything, the latest first; closing twice is harmless."""
        if not self._stream.closed:
            with suppress(CudaError), self._cuda.current():  # the device may be lost
                self._cuda.synchronize(self._stream)
        self._keep_graphs(0)
        self._open.close()

    @abstractmethod
    def _prepared(self, frames: Sequence[Frame]) -> Any:
        """Check a batch, and return what `_filled` needs of it, before anything is queued."""

    @abstractmethod
    def _filled(self, frames: Sequence[Frame], prepared: Any) -> K:
        """Pack the frames into the slot's input, and return the key of the batch."""

    @abstractmethod
    def _enqueue(self, key: K, run: Run) -> None:
        """Queue all work on a batch, in which ``run`` queues a network."""

    @abstractmethod
    def _arguments(self, call: Call) -> tuple[Shape, int, dict[str, int], DeviceMemory]:
        """Return the arguments of `DeviceNetwork.enqueue` for a call, without the stream."""

    def _launch(self, key: K) -> None:
        if self._generation != self._input.generation:  # graphs have the addresses of the freed memory
            self._generation = self._input.generation
            self._warm.clear()
            self._keep_graphs(0)
        graph = self._graphs.get(key)
        if graph is not None:
            self._graphs.move_to_end(key)
            self._cuda.launch(graph, self._stream)
        elif key in self._warm and self._captures:
            self._capture(key)
        else:
            self._queued.clear()
            self._enqueue(key, self._run_once)
            self._warm.add(key)

    def _capture(self, key: K) -> None:
        """Launch a batch, and capture its graph for later ones; if that fails, capture none in future."""
        self._keep_graphs(MAX_GRAPHS - 1)
        try:
            runs = {call: self._bound(call) for call in key.calls}
        except MogFaceError as error:
            self._stop_captures(error)
            self._launch(key)
            return

        def run(call: Call) -> None:
            runs[call].enqueue(self._stream)

        self._enqueue(key, run)
        try:
            if all(bound.can_capture(self._stream) for bound in runs.values()):
                self._graphs[key] = self._cuda.capture(self._stream, partial(self._enqueue, key, run))
            else:
                self._stop_captures("the engine refuses it")
        except MogFaceError as error:
            self._stop_captures(error)

    def _bound(self, call: Call) -> DeviceRun:
        """Return the run of a call."""
        if call not in self._runs:
            self._runs[call] = self._networks[call.network].bind(*self._arguments(call), self._stream)
        return self._runs[call]

    def _run_once(self, call: Call) -> None:
        """Queue a network without a run of its own."""
        if self._queued.setdefault(call.network, call.shape) != call.shape:
            self._cuda.synchronize(self._stream)  # a network must not change its shape while it is queued
            self._queued[call.network] = call.shape
        self._networks[call.network].enqueue(*self._arguments(call), self._stream)

    def _stop_captures(self, problem: object) -> None:
        self._captures = False
        log.warning("CUDA graphs are off, every step is launched by itself: %s", problem)

    def _keep_graphs(self, count: int) -> None:
        """Free all but the latest graphs, and the runs that have none, while nothing is in flight."""
        while len(self._graphs) > count:
            self._graphs.popitem(last=False)[1].close()
        for call in self._runs.keys() - {call for key in self._graphs for call in key.calls}:
            self._runs.pop(call).close()

    @property
    def _workspace(self) -> DeviceArray:
        memory = self._buffers["workspace"]
        return memory.view(0, (memory.nbytes,), np.uint8)

    def _mark(self, marks: Iterator[Event]) -> None:
        event = next(marks, None)
        if event is not None:
            self._cuda.record(event, self._stream)


def _advised(error: OutOfMemoryError, cuda: Cuda, needed: int, batch: int) -> OutOfMemoryError:
    """Return the error with the batch that would fit."""
    free = cuda.free_memory()
    fits = min(batch - 1, int(batch * free / needed))
    advice = f"a batch of {fits} would fit" if fits > 0 else "use a smaller size, or another GPU"
    return OutOfMemoryError(error.kind, needed, free, advice)
