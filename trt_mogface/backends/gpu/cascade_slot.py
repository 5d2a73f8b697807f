"""`CascadeGpuSlot`: pyramid, three networks and the selection between them, on a GPU."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Any, NamedTuple

import numpy as np
from typing_extensions import override

from trt_mogface.backends.base import OnStage
from trt_mogface.backends.cascade_options import CascadeOptions
from trt_mogface.backends.gpu.buffers import FaceLayout
from trt_mogface.backends.gpu.graph_slot import COPY_IN, COPY_OUT, Call, GraphSlot, Run
from trt_mogface.backends.gpu.network import DeviceNetwork
from trt_mogface.cuda import Cuda, DeviceArray, DeviceMemory
from trt_mogface.detections import Detections
from trt_mogface.errors import EngineError
from trt_mogface.frame import Frame
from trt_mogface.kernels.cascade import CascadeKernels, CascadeOutputs, Crops, Tallies, Windows
from trt_mogface.models.cascade import STAGES as NETWORKS
from trt_mogface.models.manifest import Shape
from trt_mogface.reference import cascade, stages
from trt_mogface.reference.cascade import POINTS
from trt_mogface.reference.resize import Placement
from trt_mogface.reference.stages import OUTPUT_SIDE, REFINED_SIDE, Limits
from trt_mogface.spec import LANDMARKS

PROPOSALS, REFINEMENT, OUTPUT = NETWORKS
STEPS = (COPY_IN, "proposals", "refinement", "output", COPY_OUT)

FLOAT, BOX_BYTES = np.dtype(np.float32), 32


class Level(NamedTuple):
    """A level of the pyramid.

    Attributes:
        scale: Scale of the image.
        size: Height and width.
        grid: Rows and columns of the first network's windows.
        first: First place of its windows among those of all levels.
        places: Number of its places.
    """

    scale: float
    size: tuple[int, int]
    grid: tuple[int, int]
    first: int
    places: int


def levels_of(height: int, width: int, limits: Limits) -> list[Level]:
    """Return the levels of the pyramid of an image."""
    levels, first = list[Level](), 0
    for scale in cascade.pyramid(height, width):
        size = cascade.level_size(height, width, scale)
        grid = cascade.grid(*size)
        places = min(math.prod(grid), limits.cells)
        levels.append(Level(scale, size, grid, first, places))
        first += places
    return levels


class Step(NamedTuple):
    """The second or third network in a slot.

    Attributes:
        network: Name of the network.
        side: Side of the crops in pixels.
        most: Number of candidates of an image that it looks at.
        chunk: Largest batch of the engine.
    """

    network: str
    side: int
    most: int
    chunk: int


class Key(NamedTuple):
    """Properties of a batch that a graph depends on.

    Attributes:
        shape: Number, height and width of the scaled images.
        levels: Levels of their pyramid.
        calls: Different runs of networks.
        nbytes: Uploaded bytes.
    """

    shape: Shape
    levels: tuple[Level, ...]
    calls: tuple[Call, ...]
    nbytes: int

    @property
    def steps(self) -> Sequence[str]:
        """Stages in their order."""
        return STEPS


class CascadeGpuSlot(GraphSlot[Key]):
    """One batch of a cascade on the GPU; see `trt_mogface.backends.base.Slot`.

    Launches depend on the size of the images only: the second and third network look at the largest number
    of candidates always, in chunks of the engines' largest batch.  Missing ones are black.

    Args:
        cuda, kernels: Device of the slot, and kernels around the networks.
        networks: The three networks for this slot only, closed with it, by name.
        options: Resolved options.
        max_shape: Largest batch, height and width of the images.
        chunks: Largest batches of the second and the third network.
        limits: Largest numbers of candidates.
        on_stage, views: See `GraphSlot`.

    Raises:
        OutOfMemoryError: If memory does not suffice; the message names the batch that would fit.
    """

    def __init__(
        self,
        cuda: Cuda,
        kernels: CascadeKernels,
        networks: Mapping[str, DeviceNetwork],
        options: CascadeOptions,
        max_shape: Shape,
        chunks: tuple[int, int],
        limits: Limits,
        on_stage: OnStage | None = None,
        *,
        views: bool = False,
    ) -> None:
        self._kernels, self._options, self._max_shape, self._limits = kernels, options, max_shape, limits
        self._refined = Step(REFINEMENT, REFINED_SIDE, limits.refined, chunks[0])
        self._last = Step(OUTPUT, OUTPUT_SIDE, limits.output, chunks[1])
        batch, most = max_shape[0], options.thresholds.most_faces
        with ExitStack() as made:
            for network in networks.values():
                made.enter_context(closing(network))
            sizes = _sizes(kernels, max_shape, limits, (self._refined, self._last))
            made.pop_all()
        layout = FaceLayout(POINTS, most, batch, truncates=True)
        super().__init__(cuda, kernels, networks, layout, sizes, STEPS, batch, on_stage, views=views)

    @override
    def wait(self) -> list[Detections]:
        frames = self._frames
        found = super().wait()
        if frames and not self._levels(self._options.place(*frames[0].size)):
            # Nothing was launched: the images are smaller than a face.
            found = [_no_faces(frame) for frame in frames]
        return [faces.clip() for faces in found] if self._options.clip else found

    @override
    def _prepared(self, frames: Sequence[Frame]) -> list[Placement]:
        placed = [self._options.place(*frame.size) for frame in frames]
        shape = (len(frames), *placed[0].canvas)
        if any(size > most for size, most in zip(shape, self._max_shape)):
            given, most = ("x".join(map(str, each)) for each in (shape, self._max_shape))
            raise EngineError(
                f"images {given} (batch x height x width): the slot has memory for {most}; "
                "split the batch, scale the images, or rebuild the engines with other shapes"
            )
        for level in self._levels(placed[0]):
            self._networks[PROPOSALS].check_shape((len(frames), *level.size))
        return placed

    @override
    def _filled(self, frames: Sequence[Frame], prepared: list[Placement]) -> Key:
        shape = (len(frames), *prepared[0].canvas)
        levels = self._levels(prepared[0])
        calls = [Call(PROPOSALS, (shape[0], *level.size)) for level in levels]
        if levels:
            calls += [Call(step.network, _input_of(step)) for step in (self._refined, self._last)]
        nbytes = self._input.fill(frames, [prepared], self._stream, self._images(shape))
        return Key(shape, tuple(levels), tuple(calls), nbytes)

    def _levels(self, placed: Placement) -> list[Level]:
        return levels_of(*placed.canvas, self._limits)

    def _images(self, shape: Shape) -> list[Frame]:
        """Return the scaled images of a batch in device memory."""
        batch, height, width = shape
        size = (height, width, 3)
        memory = self._buffers["images"]
        return [Frame((memory.view(index * math.prod(size), size, np.uint8),)) for index in range(batch)]

    @override
    def _arguments(self, call: Call) -> tuple[Shape, int, dict[str, int], DeviceMemory]:
        memory, named = self._buffers, ["scores", "offsets"]
        if call.network == OUTPUT:
            named.append(LANDMARKS)
        outputs = {name: memory[f"network {name}"].handle for name in named}
        return call.shape, memory["crops"].handle, outputs, memory["scratch"]

    @override
    def _enqueue(self, key: Key, run: Run) -> None:
        stream, marks, batch, levels = self._stream, iter(self._marks), key.shape[0], key.levels
        self._mark(marks)
        self._input.upload(key.nbytes, stream)
        self._mark(marks)
        if levels:
            self._propose(key, levels, run)
        self._mark(marks)
        if levels:
            outputs = self._looked_at(self._refined, batch, run)
            self._next(key, outputs, self._crops(self._refined, batch).inside, self._last)
        self._mark(marks)
        if levels:
            self._finish(batch, self._looked_at(self._last, batch, run))
        self._mark(marks)
        self._faces.download(stream)
        self._mark(marks)

    def _propose(self, key: Key, levels: Sequence[Level], run: Run) -> None:
        """Queue the first network on the pyramid, up to the crops for the second one."""
        batch, height, width = key.shape
        memory, stream = self._buffers, self._stream
        images = memory["images"].view(0, (batch, height, width, 3), np.uint8)
        self._kernels.letterbox(self._input.table(0, batch), images, pad=(0, 0, 0), stream=stream)
        places = levels[-1].first + levels[-1].places
        windows = Windows(
            memory["window boxes"].view(0, (batch, places, 4), np.float64),
            memory["window scores"].view(0, (batch, places), FLOAT),
            memory["window offsets"].view(0, (batch, places, 4), FLOAT),
        )
        for level in levels:
            pixels = memory["crops"].view(0, (batch, *level.size, 3), np.uint8)
            self._kernels.resample(self._input.table(1, batch), pixels, stream=stream)
            run(Call(PROPOSALS, (batch, *level.size)))
            self._kernels.cascade_windows(
                CascadeOutputs(
                    memory["network scores"].view(0, (batch, *level.grid), FLOAT),
                    memory["network offsets"].view(0, (batch, 4, *level.grid), FLOAT),
                ),
                windows,
                self._tallies(batch),
                first=level.first,
                scale=level.scale,
                score=stages.PROPOSAL_SCORE,
                overlap=stages.LEVEL_OVERLAP,
                limit=self._limits.cells,
                workspace=self._workspace,
                stream=stream,
            )
        outputs = CascadeOutputs(windows.scores, windows.offsets)
        self._next(key, outputs, windows.boxes, self._refined)

    def _next(self, key: Key, outputs: CascadeOutputs, boxes: object, step: Step) -> None:
        """Queue the selection of the boxes that the network of a step looks at."""
        is_first = step is self._refined
        self._kernels.cascade_boxes(
            outputs,
            boxes,
            self._crops(step, key.shape[0]),
            self._tallies(key.shape[0]),
            size=key.shape[1:],
            score=stages.PROPOSAL_SCORE if is_first else stages.REFINED_SCORE,
            overlap=stages.PROPOSAL_OVERLAP if is_first else stages.REFINED_OVERLAP,
            limit=self._limits.proposals,
            workspace=self._workspace,
            stream=self._stream,
        )

    def _looked_at(self, step: Step, batch: int, run: Run) -> CascadeOutputs:
        """Queue a network on its crops, in chunks; return its outputs for all of them."""
        crops, count = self._crops(step, batch), batch * step.most
        outputs = self._outputs(step, batch)
        memory, shape = self._buffers, _input_of(step)
        for first in range(0, count, step.chunk):
            some = min(step.chunk, count - first)
            self._kernels.resample(
                self._input.table(1, batch),
                memory["crops"].view(0, (some, *shape[1:], 3), np.uint8),
                boxes=_part(crops.boxes, first, (some, 4)),
                indices=_part(crops.indices, first, (some,)),
                stream=self._stream,
            )
            run(Call(step.network, shape))
            part = CascadeOutputs(
                memory["network scores"].view(0, (1, some), FLOAT),
                memory["network offsets"].view(0, (1, some, 4), FLOAT),
                memory[f"network {LANDMARKS}"].view(0, (1, some, 2 * POINTS), FLOAT)
                if step is self._last
                else None,
            )
            self._kernels.cascade_gather(part, outputs, first=first, stream=self._stream)
        return outputs

    def _finish(self, batch: int, outputs: CascadeOutputs) -> None:
        """Queue the selection of the faces."""
        self._kernels.cascade_faces(
            outputs,
            self._crops(self._last, batch).inside,
            self._faces.on_device(batch),
            thresholds=self._options.thresholds,
            workspace=self._workspace,
            frames=self._input.table(0, batch),
            stream=self._stream,
        )

    def _tallies(self, batch: int) -> Tallies:
        return Tallies(self._faces.on_device(batch).dropped, self._faces.truncated(batch))

    def _crops(self, step: Step, batch: int) -> Crops:
        memory, shape = self._buffers, (batch, step.most)
        return Crops(
            memory[f"{step.network} counts"].view(0, (batch,), np.int32),
            memory[f"{step.network} boxes"].view(0, (*shape, 4), np.int32),
            memory[f"{step.network} indices"].view(0, shape, np.int32),
            memory[f"{step.network} inside"].view(0, (*shape, 4), np.float64),
        )

    def _outputs(self, step: Step, batch: int) -> CascadeOutputs:
        memory, shape = self._buffers, (batch, step.most)
        return CascadeOutputs(
            memory["scores"].view(0, shape, FLOAT),
            memory["offsets"].view(0, (*shape, 4), FLOAT),
            memory[LANDMARKS].view(0, (*shape, 2 * POINTS), FLOAT) if step is self._last else None,
            self._crops(step, batch).counts,
        )


def _no_faces(frame: Frame) -> Detections:
    none = np.empty((0, POINTS, 2), np.float32)
    return Detections(none[:, 0].repeat(2, axis=1), none[:, 0, 0], none, frame.size)


def _part(array: Any, first: int, shape: tuple[int, ...]) -> DeviceArray:
    """Return rows from `first` on of an array [N, R, ...], whose first two axes are taken as one."""
    row = math.prod(shape[1:]) * array.dtype.itemsize
    return DeviceArray(array.pointer + first * row, shape, array.dtype, array.owner)


def _input_of(step: Step) -> Shape:
    return step.chunk, step.side, step.side


def _sizes(
    kernels: CascadeKernels, max_shape: Shape, limits: Limits, steps: tuple[Step, Step]
) -> dict[str, int]:
    """Return the bytes of each piece of device memory."""
    batch, height, width = max_shape
    levels = levels_of(height, width, limits)
    pixels = [batch * math.prod(level.size) for level in levels]
    pixels += [math.prod(_input_of(step)) for step in steps]
    rows = [batch * math.prod(level.grid) for level in levels] + [step.chunk for step in steps]
    places = max(1, sum(level.places for level in levels))
    most = batch * max(step.most for step in steps)
    counts = [math.prod(level.grid) for level in levels] + [places, *(step.most for step in steps)]
    limit = max(limits.cells, limits.proposals)
    return {
        "images": 3 * math.prod(max_shape),
        "crops": 3 * max(pixels),
        "network scores": FLOAT.itemsize * max(rows),
        "network offsets": FLOAT.itemsize * 4 * max(rows),
        f"network {LANDMARKS}": FLOAT.itemsize * 2 * POINTS * steps[1].chunk,
        "window boxes": BOX_BYTES * batch * places,
        "window scores": FLOAT.itemsize * batch * places,
        "window offsets": FLOAT.itemsize * 4 * batch * places,
        "scores": FLOAT.itemsize * most,
        "offsets": FLOAT.itemsize * 4 * most,
        LANDMARKS: FLOAT.itemsize * 2 * POINTS * batch * steps[1].most,
        **{f"{step.network} counts": 4 * batch for step in steps},
        **{f"{step.network} boxes": 16 * batch * step.most for step in steps},
        **{f"{step.network} indices": 4 * batch * step.most for step in steps},
        **{f"{step.network} inside": BOX_BYTES * batch * step.most for step in steps},
        "workspace": max(kernels.cascade_workspace(batch, count, limit) for count in counts),
    }
