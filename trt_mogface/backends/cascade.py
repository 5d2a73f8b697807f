"""`CascadeBackend`: Pillow resamples, ONNX Runtime runs three networks, numpy selects between them."""

from __future__ import annotations

import concurrent.futures
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from typing_extensions import override

from trt_mogface.backends.base import Backend, ModelInfo, OnStage, Slot
from trt_mogface.backends.cascade_options import CascadeOptions
from trt_mogface.backends.cpu import memory_suffices
from trt_mogface.backends.onnxruntime import CPU, NO_MEMORY, session
from trt_mogface.backends.options import DetectorOptions
from trt_mogface.backends.worker import Worker
from trt_mogface.detections import Detections
from trt_mogface.errors import (
    ArgumentError,
    ImageError,
    MissingExtraError,
    ModelError,
    RunnerError,
    first_line,
)
from trt_mogface.frame import Frame, Image
from trt_mogface.machine.cpu import available_cores
from trt_mogface.models.cascade import STAGES, load_cascade, network_file
from trt_mogface.models.onnx_file import Tensor, read_onnx
from trt_mogface.reference import cascade
from trt_mogface.reference.cascade import POINTS, Boxes
from trt_mogface.reference.color import to_bgr
from trt_mogface.reference.decode import Floats
from trt_mogface.reference.resize import Placement, paint
from trt_mogface.reference.stages import OUTPUT_SIDE, REFINED_SIDE, Output, Selection
from trt_mogface.spec import INPUT, LANDMARKS

Crops = NDArray[np.uint8]
"""Crops of one size, [n, side, side, 3], BGR."""

SCORES, OFFSETS = "scores", "offsets"

WINDOWS_TOGETHER, CROPS_TOGETHER = 4800, 16
"""Windows and crops of one run of a network, few enough for their maps to stay in the cache of a core."""


class CascadeBackend(Backend):
    """A cascade on the CPU; see `trt_mogface.backends.base.Backend`.

    Args:
        folder: Folder with the manifest and the ONNX files.
        options: Checked options; ``weights`` is part of `folder` already.
        device: Number of the GPU, for execution providers that have any; None for the first.
        slots: Number of slots that will run at a time.
    """

    max_batch = sys.maxsize

    def __init__(
        self, folder: Path, options: DetectorOptions, device: int | None = None, slots: int = 1
    ) -> None:
        manifest = load_cascade(folder)
        self._options = CascadeOptions.resolve(manifest.name, manifest.thresholds, options)
        providers = options.get("providers") or (CPU,)
        # Networks side by side, each on its share of the cores, do more together than one on all of them.
        threads = options.get("threads") or -(-available_cores() // slots)
        self._networks = CascadeNetworks(folder, threads, providers, device)
        thresholds = self._options.thresholds
        self.info = ModelInfo(manifest.name, POINTS, thresholds, True, manifest.origin)

    @override
    def check(self, frame: Frame) -> None:
        if not frame.on_host:
            raise ImageError("image: in device memory, and this model runs on the CPU; copy it to the host")

    @override
    def place(self, height: int, width: int) -> Placement:
        return self._options.place(height, width)

    @override
    def slot(self, batch: int, on_stage: OnStage | None = None, *, views: bool = False) -> CascadeSlot:
        return CascadeSlot(self._networks, self._options)

    @override
    def close(self) -> None:
        self._networks.close()


class CascadeNetworks:
    """The three networks of a cascade, which several threads may run at once.

    Args:
        folder: Folder of a cascade.
        threads, providers, device: See `trt_mogface.backends.onnxruntime.session`.

    Raises:
        ModelError: If a network cannot be loaded, or has other inputs and outputs.
    """

    def __init__(
        self,
        folder: Path,
        threads: int | None = None,
        providers: Sequence[str] = (CPU,),
        device: int | None = None,
    ) -> None:
        self._sessions: dict[str, Any] = {}
        for stage in STAGES:
            path = network_file(folder, stage)
            _check_interface(path, stage)
            try:
                self._sessions[stage] = session(str(path), threads, providers=providers, device=device)
            except (ArgumentError, MissingExtraError):
                raise
            except Exception as error:  # ONNX Runtime's exceptions share no public base class
                raise ModelError(f"{path}: the model cannot be loaded: {first_line(error)}") from error

    def propose(self, image: Image) -> tuple[Floats, Floats]:
        """Return scores [rows, columns] and offsets [4, rows, columns] of the windows of a pyramid level."""
        height, width, _ = image.shape
        strips = cascade.strips(height, width, WINDOWS_TOGETHER)
        scores, offsets = zip(*(self._propose_some(image[rows]) for rows in strips))
        return np.concatenate(scores), np.concatenate(offsets, axis=1)

    def _propose_some(self, image: Image) -> tuple[Floats, Floats]:
        scores, offsets = self._run("pnet", image[None])
        height, width, _ = image.shape
        rows, columns = cascade.grid(height, width)
        if (scores.shape, offsets.shape) != ((1, rows, columns), (1, 4, rows, columns)):
            raise ModelError(f"pnet: gave scores {list(scores.shape)} and offsets {list(offsets.shape)}")
        return scores[0], offsets[0]

    def refine(self, crops: Crops) -> Output:
        """Run the second network on crops of `REFINED_SIDE` pixels."""
        return self._judge("rnet", crops, 0)

    def output(self, crops: Crops) -> Output:
        """Run the third network on crops of `OUTPUT_SIDE` pixels."""
        return self._judge("onet", crops, 2 * POINTS)

    def close(self) -> None:
        """Free the networks; closing twice is harmless."""
        self._sessions = {}

    def _judge(self, stage: str, crops: Crops, values: int) -> Output:
        parts = [
            self._judge_some(stage, crops[at : at + CROPS_TOGETHER], values)
            for at in range(0, len(crops), CROPS_TOGETHER)
        ]
        if not parts:
            return Output(*(np.empty(shape, np.float32) for shape in ((0,), (0, 4), (0, values))))
        return Output(*map(np.concatenate, zip(*parts)))

    def _judge_some(self, stage: str, crops: Crops, values: int) -> Output:
        count = len(crops)
        outputs = [*self._run(stage, crops), np.empty((count, 0), np.float32)][:3]
        shapes = [output.shape for output in outputs]
        if shapes != [(count,), (count, 4), (count, values)]:
            raise ModelError(f"{stage}: gave outputs of the shapes {shapes} for {count} crops")
        return Output(*outputs)

    def _run(self, stage: str, pixels: NDArray[np.uint8]) -> list[Floats]:
        if stage not in self._sessions:
            raise RunnerError("the networks are closed; open the model again")
        try:
            return list(self._sessions[stage].run(list(_outputs(stage)), {INPUT: pixels}))
        except Exception as error:  # see above
            if any(words in str(error) for words in NO_MEMORY):
                raise MemoryError(f"{stage}: the memory does not suffice for {pixels.shape}") from error
            raise ModelError(f"{stage}: the network failed: {first_line(error)}") from error


def _outputs(stage: str) -> dict[str, int]:
    """Return the names and ranks of a network's outputs."""
    if stage == "pnet":
        return {SCORES: 3, OFFSETS: 4}
    return {SCORES: 1, OFFSETS: 2} | ({LANDMARKS: 2} if stage == "onet" else {})


def _check_interface(path: Path, stage: str) -> None:
    file = read_onnx(path)
    outputs = {name: Tensor(1, rank) for name, rank in _outputs(stage).items()}
    if file.inputs != {INPUT: Tensor(2, 4)} or file.outputs != outputs:
        raise ModelError(f"{path}: not the network {stage} of a cascade; export the cascade again")


def crops(image: Image, boxes: Boxes, side: int) -> Crops:
    """Return boxes of an image, each scaled to a square, uint8 [n, side, side, 3].

    Zeros lie around the image.  Boxes have whole numbers, and are croppable.
    """
    sheet = Pillow.new("RGB", (side, side * len(boxes)))
    for index, box in enumerate(boxes.astype(np.int64).tolist()):
        crop = Pillow.fromarray(_padded(image, box)).resize((side, side), Pillow.Resampling.BILINEAR)
        sheet.paste(crop, (0, side * index))
    return np.asarray(sheet).reshape(-1, side, side, 3)


def _padded(image: Image, box: Sequence[int]) -> Image:
    height, width = image.shape[:2]
    x0, y0, x1, y1 = box
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1 + 1, width), min(y1 + 1, height)
    inside = image[top:bottom, left:right]
    if (left, top, right, bottom) == (x0, y0, x1 + 1, y1 + 1):
        return inside
    padded = np.zeros((y1 - y0 + 1, x1 - x0 + 1, 3), np.uint8)
    padded[top - y0 : bottom - y0, left - x0 : right - x0] = inside
    return padded


class CascadeSlot(Slot):
    """One batch of a cascade on the CPU; see `trt_mogface.backends.base.Slot`.

    `submit` converts and scales frames, and starts the cascade in the slot's own thread.  Frames run one
    after the other: small networks gain nothing from a batch, and each frame gives what it gives by itself.

    Args:
        networks: Networks, shared by all slots.
        options: Options of the opened model.
    """

    def __init__(self, networks: CascadeNetworks, options: CascadeOptions) -> None:
        self._networks, self._options = networks, options
        self._worker: Worker[list[Detections]] = Worker()
        self._running: Future[list[Detections]] = Future()
        self._running.set_result([])

    @override
    def submit(self, frames: Sequence[Frame]) -> None:
        if not self._running.done():  # its `wait` was interrupted
            concurrent.futures.wait([self._running])
        with memory_suffices():
            images = [self._prepared(frame) for frame in frames]
        self._running = self._worker.submit(partial(self._run, images, [frame.size for frame in frames]))

    @override
    def wait(self) -> list[Detections]:
        return self._running.result()

    @override
    def close(self) -> None:
        self._worker.close()

    def _prepared(self, frame: Frame) -> Image:
        """Return a copy of a frame in BGR, scaled if that is an option."""
        placed = self._options.place(*frame.size)
        image: Image = np.empty((*placed.content, 3), np.uint8)
        paint(to_bgr(frame), placed, (0, 0, 0), image)
        return image

    def _run(self, images: Sequence[Image], sizes: Sequence[tuple[int, int]]) -> list[Detections]:
        with memory_suffices():
            return [self._detections(image, size) for image, size in zip(images, sizes)]

    def _detections(self, image: Image, size: tuple[int, int]) -> Detections:
        networks, selection = self._networks, Selection(image.shape[:2])
        source = Pillow.fromarray(image)
        levels = [
            selection.windows(*networks.propose(level(source, scale)), scale)
            for scale in cascade.pyramid(*image.shape[:2])
        ]
        boxes = selection.proposed(levels)
        boxes = selection.refined(boxes, networks.refine(crops(image, boxes, REFINED_SIDE)))
        output = networks.output(crops(image, boxes, OUTPUT_SIDE))
        boxes, scores, points = selection.faces(boxes, output, self._options.thresholds)
        scale = np.array(self._options.place(*size).scale)
        boxes, points = boxes / np.tile(scale, 2), points / scale
        faces = Detections(boxes, scores, points, size, selection.dropped, truncated=selection.truncated)
        return faces.clip() if self._options.clip else faces


def level(source: Pillow.Image, scale: float) -> Image:
    """Return a pyramid level of an image, uint8 [h, w, 3]."""
    rows, columns = cascade.level_size(source.height, source.width, scale)
    return np.asarray(source.resize((columns, rows), Pillow.Resampling.BILINEAR))
