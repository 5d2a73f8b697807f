"""`GpuSlot`: upload, letterbox, network, selection and download of a batch of a one-stage detector."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import NamedTuple

import numpy as np
from typing_extensions import override

from trt_mogface.backends.base import OnStage
from trt_mogface.backends.gpu.buffers import FaceLayout
from trt_mogface.backends.gpu.graph_slot import COPY_IN, COPY_OUT, Call, GraphSlot, Run
from trt_mogface.backends.gpu.network import DeviceNetwork
from trt_mogface.backends.options import SlotOptions
from trt_mogface.cuda import Cuda, DeviceArray, DeviceMemory, Event
from trt_mogface.detections import Detections
from trt_mogface.errors import EngineError
from trt_mogface.frame import Frame
from trt_mogface.kernels import Faces, Kernels
from trt_mogface.models.manifest import Shape
from trt_mogface.reference.resize import Placement
from trt_mogface.spec import DELTAS, LANDMARKS, SCORES

NETWORK = "network"
"""Name of the one network of a slot."""

STAGES = (COPY_IN, "letterbox", "network", "select", COPY_OUT)

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

    @property
    def calls(self) -> Sequence[Call]:
        """Runs of the network."""
        return [Call(NETWORK, each.shape) for each in self.passes]

    @property
    def steps(self) -> Sequence[str]:
        """Stages in their order."""
        return _steps(len(self.passes))


class GpuSlot(GraphSlot[Key]):
    """One batch of a one-stage detector on the GPU; see `trt_mogface.backends.base.Slot`.

    Further passes over reduced copies follow the first in the stream, and read the same frames.

    Args:
        cuda, kernels: Device of the slot, and kernels around the network.
        network: Network for this slot only, closed with it.
        options: Resolved options.
        max_shapes: Largest batches, heights and widths of the network input, e.g. one for each profile.  The
            memory suffices for each of them, not for the largest batch in the largest size.
        on_stage, views: See `GraphSlot`.

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
        self._kernels, self._network, self._options = kernels, network, options
        self._refused: set[Shape] = set()
        self._max_shapes, batch = tuple(max_shapes), max(shape[0] for shape in max_shapes)
        with ExitStack() as made:
            made.enter_context(closing(network))
            pieces = [_sizes(kernels, options, shape) for shape in max_shapes]
            sizes = {name: max(piece[name] for piece in pieces) for name in pieces[0]}
            layout = FaceLayout(options.spec.landmarks, options.thresholds.most_faces, batch)
            most = max(len(options.reductions(shape[1:])) for shape in max_shapes)
            sizes["further"] = layout.nbytes if most else 1
            made.pop_all()
        networks, stages = {NETWORK: network}, _steps(1 + most)
        super().__init__(cuda, kernels, networks, layout, sizes, stages, batch, on_stage, views=views)

    @override
    def wait(self) -> list[Detections]:
        return self._options.clipped(super().wait())

    @override
    def _prepared(self, frames: Sequence[Frame]) -> dict[float, Sequence[Placement]]:
        first = [self._options.place(*frame.size) for frame in frames]
        self._check_shape((len(frames), *first[0].canvas))
        return {1.0: first, **self._further(frames, first)}

    @override
    def _filled(self, frames: Sequence[Frame], prepared: dict[float, Sequence[Placement]]) -> Key:
        passes = tuple(Pass(scale, (len(frames), *each[0].canvas)) for scale, each in prepared.items())
        return Key(passes, self._input.fill(frames, list(prepared.values()), self._stream))

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

    @override
    def _arguments(self, call: Call) -> tuple[Shape, int, dict[str, int], DeviceMemory]:
        memory, shape = self._buffers, call.shape
        outputs = {name: memory[name].handle for name in self._options.spec.output_shapes(*shape)}
        return shape, memory["images"].handle, outputs, memory["scratch"]

    @override
    def _enqueue(self, key: Key, run: Run) -> None:
        stream, marks, batch = self._stream, iter(self._marks), key.passes[0].shape[0]
        faces = self._faces.on_device(batch)
        further = self._layout.on_device(self._buffers["further"].handle, batch, self._buffers["further"])
        self._mark(marks)
        self._input.upload(key.nbytes, stream)
        for number, each in enumerate(key.passes):
            table = self._input.table(number, batch)
            self._pass(each.shape, run, table, further if number else faces, marks)
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
        run: Run,
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
        run(Call(NETWORK, shape))
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


def _steps(passes: int) -> list[str]:
    """Return the stages in the order in which a batch goes through them."""
    before, *repeated, after = STAGES
    return [before, *repeated * passes, after]


def _sizes(kernels: Kernels, options: SlotOptions, max_shape: Shape) -> dict[str, int]:
    """Return the bytes of each piece of device memory."""
    batch, height, width = max_shape
    outputs, points = options.spec.output_shapes(*max_shape), options.spec.landmarks
    workspace = kernels.detect_workspace(options.spec, options.thresholds, batch, (height, width))
    if options.reductions((height, width)):
        workspace = max(workspace, kernels.merge_workspace(options.thresholds, batch, points))
    return {
        "images": 3 * math.prod(max_shape),
        **{name: 4 * math.prod(shape) for name, shape in outputs.items()},
        "workspace": workspace,
    }
