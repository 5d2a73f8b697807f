"""`GpuSlot`: upload, letterbox, network, selection and download of a batch, as one launch of a CUDA graph."""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from functools import partial
from typing import NamedTuple

import numpy as np

from trt_mogface.backends.base import OnStage
from trt_mogface.backends.gpu.buffers import FaceBuffer, FaceLayout, FrameBuffer
from trt_mogface.backends.gpu.network import DeviceNetwork, DeviceRun
from trt_mogface.backends.options import SlotOptions
from trt_mogface.cuda import Cuda, DeviceArray, DeviceMemory, Event, Graph, Stream
from trt_mogface.detections import Detections
from trt_mogface.errors import CudaError, EngineError, MogFaceError, OutOfMemoryError
from trt_mogface.frame import Frame
from trt_mogface.kernels import Faces, Kernels
from trt_mogface.kernels.arrays import stream_handle
from trt_mogface.models.manifest import Shape
from trt_mogface.reference.resize import Placement
from trt_mogface.spec import DELTAS, LANDMARKS, SCORES

MAX_GRAPHS = 16
"""Number of graphs that a slot keeps, the most recently used."""

STAGES = ("copy in", "letterbox", "network", "select", "copy out")

log = logging.getLogger("trt_mogface")


class Pass(NamedTuple):
    """A pass of the network over a batch.

    Attributes:
        scale: Scale in relation to the first pass, which is 1.
        shape: Number of frames, height and width of the network input.
    """

    scale: float
    shape: Shape


class Key(NamedTuple):
    """Properties of a batch that a graph depends on.

    Attributes:
        passes: Passes of the network, the first one first.
        nbytes: Uploaded bytes.
    """

    passes: tuple[Pass, ...]
    nbytes: int


class GpuSlot:
    """One batch on the GPU; see `trt_mogface.backends.base.Slot`.

    All memory but that of the frames is allocated here for the largest batch; smaller ones use a part of it.
    So do further passes over reduced copies, which follow the first in the stream and read the same frames.
    The first batch of a shape is launched step by step.  So is the second, with a `DeviceRun` of each shape,
    which is captured after that, because TensorRT may wait or allocate in a first run.  Later ones are
    launched as graphs.  A run lives as long as a graph of it.

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
        self._steps: list[str] = []
        self._refused: set[Shape] = set()
        self._graphs: OrderedDict[Key, Graph] = OrderedDict()
        self._runs: dict[Shape, DeviceRun] = {}
        self._warm: set[Key] = set()
        self._captures, self._max_shapes = network.capturable and cuda.has_graphs, tuple(max_shapes)
        with cuda.current(), ExitStack() as made:
            keep = made.enter_context
            keep(closing(network))
            pieces = [_sizes(kernels, network, options, shape) for shape in max_shapes]
            sizes = {name: max(piece[name] for piece in pieces) for name in pieces[0]}
            self._layout = FaceLayout(options, max(shape[0] for shape in max_shapes))
            most = max(len(options.reductions(shape[1:])) for shape in max_shapes)
            sizes["further"] = self._layout.nbytes if most else 1
            self._stream, self._done = keep(closing(cuda.stream())), keep(closing(cuda.event()))
            marks = (*_steps(1 + most), "end") if on_stage else ()
            self._marks = [keep(closing(cuda.event(timed=True))) for _ in marks]
            try:
                self._faces = keep(closing(FaceBuffer(cuda, self._layout)))
                self._buffers = {name: keep(closing(cuda.allocate(nbytes))) for name, nbytes in sizes.items()}
            except OutOfMemoryError as error:
                batch = max(shape[0] for shape in max_shapes)
                raise _advised(error, cuda, sum(sizes.values()), batch) from error
            self._input = keep(closing(FrameBuffer(cuda, kernels)))
            self._generation = self._input.generation
            self._open = made.pop_all()

    def submit(self, frames: Sequence[Frame]) -> None:
        """Pack the frames and launch everything."""
        first = [self._options.place(*frame.size) for frame in frames]
        self._check_shape((len(frames), *first[0].canvas))
        placed = {1.0: first, **self._further(frames, first)}
        passes = tuple(Pass(scale, (len(frames), *each[0].canvas)) for scale, each in placed.items())
        with self._cuda.current():
            try:
                for stream in {stream_handle(frame.stream) for frame in frames if frame.stream is not None}:
                    self._cuda.wait_stream(self._stream, stream)
                nbytes = self._input.fill(frames, list(placed.values()), self._stream)
                self._launch(Key(passes, nbytes))
                self._cuda.record(self._done, self._stream)
            except BaseException:
                with suppress(CudaError):  # the next batch overwrites what launched steps still read
                    self._cuda.synchronize(self._stream)
                raise
        self._frames, self._steps = tuple(frames), _steps(len(passes))

    def wait(self) -> list[Detections]:
        """Block until the faces have arrived, and return them."""
        frames, self._frames = self._frames, ()
        with self._cuda.current():
            self._cuda.wait(self._done)
            if self._on_stage is not None:
                times = dict.fromkeys(STAGES, 0.0)
                for stage, begin, end in zip(self._steps, self._marks, self._marks[1:]):
                    times[stage] += self._cuda.elapsed(begin, end)
                for stage, milliseconds in times.items():
                    self._on_stage(stage, milliseconds)
        return self._options.clipped(self._faces.detections(frames, views=self._views))

    def close(self) -> None:
        """Wait for running work and free everything, the latest first; closing twice is harmless."""
        if not self._stream.closed:
            with suppress(CudaError), self._cuda.current():  # the device may be lost
                self._cuda.synchronize(self._stream)
        self._keep_graphs(0)
        self._open.close()

    def _check_shape(self, shape: Shape) -> None:
        """Refuse a batch that the network does not accept or that the slot has no memory for."""
        self._network.check_shape(shape)
        if not any(all(size <= limit for size, limit in zip(shape, most)) for most in self._max_shapes):
            given, *most = ("x".join(map(str, each)) for each in (shape, *self._max_shapes))
            raise EngineError(
                f"input shape {given} (batch x height x width): the slot has memory for {' or '.join(most)}; "
                "split the batch, or open a larger slot"
            )

    def _further(
        self, frames: Sequence[Frame], first: Sequence[Placement]
    ) -> dict[float, Sequence[Placement]]:
        """Return the placements of further passes by scale.

        By default passes are left out whose shape the network does not accept; a number of passes is kept to.
        """
        further: dict[float, Sequence[Placement]] = {}
        for scale in self._options.further(first):
            reduced = [
                self._options.reduce(placement, *frame.size, scale) for frame, placement in zip(frames, first)
            ]
            shape = (len(frames), *reduced[0].canvas)
            try:
                self._check_shape(shape)
            except EngineError as error:
                if self._options.scales != "full":
                    raise
                if not self._refused:
                    log.warning("large faces may be missed, as they need another pass: %s", error)
                self._refused.add(shape)
            else:
                further[scale] = reduced
        return further

    def _launch(self, key: Key) -> None:
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
            self._enqueue(key, [partial(self._run_once, each) for each in key.passes])
            self._warm.add(key)

    def _capture(self, key: Key) -> None:
        """Launch a batch, and capture its graph for later ones; if that fails, capture none in future."""
        self._keep_graphs(MAX_GRAPHS - 1)
        try:
            runs = [self._bound(each.shape) for each in key.passes]
        except MogFaceError as error:
            self._stop_captures(error)
            self._launch(key)
            return
        networks = [run.enqueue for run in runs]
        self._enqueue(key, networks)
        try:
            if all(run.can_capture(self._stream) for run in runs):
                work = partial(self._enqueue, key, networks)
                self._graphs[key] = self._cuda.capture(self._stream, work)
            else:
                self._stop_captures("the engine refuses it")
        except MogFaceError as error:
            self._stop_captures(error)

    def _bound(self, shape: Shape) -> DeviceRun:
        """Return the run of a shape."""
        if shape not in self._runs:
            self._runs[shape] = self._network.bind(*self._arguments(shape), self._stream)
        return self._runs[shape]

    def _run_once(self, each: Pass, stream: Stream) -> None:
        """Queue the network for a pass, without a run of its own."""
        if each.scale != 1:
            self._cuda.synchronize(stream)  # the network must not change its shape while it is queued
        self._network.enqueue(*self._arguments(each.shape), stream)

    def _stop_captures(self, problem: object) -> None:
        self._captures = False
        log.warning("CUDA graphs are off, every step is launched by itself: %s", problem)

    def _keep_graphs(self, count: int) -> None:
        """Free all but the latest graphs, and the runs that have none, while nothing is in flight."""
        while len(self._graphs) > count:
            self._graphs.popitem(last=False)[1].close()
        for shape in self._runs.keys() - {each.shape for key in self._graphs for each in key.passes}:
            self._runs.pop(shape).close()

    def _arguments(self, shape: Shape) -> tuple[Shape, int, dict[str, int], DeviceMemory]:
        """Return the arguments of the network's runs, without the stream."""
        memory = self._buffers
        outputs = {name: memory[name].handle for name in self._options.spec.output_shapes(*shape)}
        return shape, memory["images"].handle, outputs, memory["scratch"]

    def _enqueue(self, key: Key, networks: Sequence[Callable[[Stream], None]]) -> None:
        stream, marks, batch = self._stream, iter(self._marks), key.passes[0].shape[0]
        faces = self._faces.on_device(batch)
        further = self._layout.on_device(self._buffers["further"].handle, batch, self._buffers["further"])
        self._mark(marks)
        self._input.upload(key.nbytes, stream)
        for number, (each, network) in enumerate(zip(key.passes, networks)):
            table = self._input.table(number, batch)
            self._pass(each.shape, network, table, further if number else faces, marks)
            if number:
                self._kernels.merge(
                    further,
                    faces,
                    thresholds=self._options.thresholds,
                    limits=self._options.merge_limits(key.passes[number - 1].scale, each.scale),
                    largest_face=self._options.content_limit,
                    workspace=self._workspace,
                    frames=self._input.table(0, batch),
                    stream=stream,
                )
        self._mark(marks)
        self._faces.download(stream)
        self._mark(marks)

    def _pass(
        self,
        shape: Shape,
        network: Callable[[Stream], None],
        table: DeviceArray,
        faces: Faces,
        marks: Iterator[Event],
    ) -> None:
        """Queue one pass: from uploaded frames to faces."""
        spec, stream, memory = self._options.spec, self._stream, self._buffers
        images = memory["images"].view(0, (*shape, 3), np.uint8)
        sizes = spec.output_shapes(*shape).items()
        outputs = {name: memory[name].view(0, sides, np.float32) for name, sides in sizes}
        self._mark(marks)
        self._kernels.letterbox(table, images, pad=spec.input.pad, stream=stream)
        self._mark(marks)
        network(stream)
        self._mark(marks)
        self._kernels.detect(
            outputs[SCORES],
            outputs[DELTAS],
            outputs.get(LANDMARKS),
            faces,
            spec=spec,
            size=shape[1:],
            thresholds=self._options.thresholds,
            workspace=self._workspace,
            frames=table,
            stream=stream,
        )

    @property
    def _workspace(self) -> DeviceArray:
        memory = self._buffers["workspace"]
        return memory.view(0, (memory.nbytes,), np.uint8)

    def _mark(self, marks: Iterator[Event]) -> None:
        event = next(marks, None)
        if event is not None:
            self._cuda.record(event, self._stream)


def _steps(passes: int) -> list[str]:
    """Return the stages in the order in which a batch goes through them."""
    before, *repeated, after = STAGES
    return [before, *repeated * passes, after]


def _sizes(
    kernels: Kernels, network: DeviceNetwork, options: SlotOptions, max_shape: Shape
) -> dict[str, int]:
    """Return the bytes of each piece of device memory."""
    batch, height, width = max_shape
    outputs, points = options.spec.output_shapes(*max_shape), options.spec.landmarks
    workspace = kernels.detect_workspace(options.spec, options.thresholds, batch, (height, width))
    if options.reductions((height, width)):
        workspace = max(workspace, kernels.merge_workspace(options.thresholds, batch, points))
    return {
        "images": 3 * math.prod(max_shape),
        **{name: 4 * math.prod(shape) for name, shape in outputs.items()},
        "scratch": max(1, network.scratch_bytes),
        "workspace": workspace,
    }


def _advised(error: OutOfMemoryError, cuda: Cuda, needed: int, batch: int) -> OutOfMemoryError:
    """Return the error with the batch that would fit."""
    free = cuda.free_memory()
    fits = min(batch - 1, int(batch * free / needed))
    advice = f"a batch of {fits} would fit" if fits > 0 else "use a smaller size, or another GPU"
    return OutOfMemoryError(error.kind, needed, free, advice)
