"""Calibration of a cascade's networks on what each of them sees: pyramid levels, and crops of the images."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from typing_extensions import override

from engine_build.calibration.images import Images
from engine_build.calibration.ranges import Method
from engine_build.calibration.record import Calibration, calibrate
from engine_build.onnx import contract
from engine_build.precision.prepare import normalized
from trt_mogface.backends.cascade import CascadeNetworks, crops, level
from trt_mogface.errors import EngineError
from trt_mogface.evaluation.matching import match
from trt_mogface.frame import Image
from trt_mogface.models.cascade import STAGES, network_file
from trt_mogface.reference import cascade
from trt_mogface.reference.cascade import Boxes
from trt_mogface.reference.stages import OUTPUT_SIDE, REFINED_SIDE, Selection
from trt_mogface.spec import Thresholds

if TYPE_CHECKING:
    import onnx

COMPARED_IMAGES = 24
"""Largest number of images on which faces are compared with FP32's."""

LEAST_FOUND = 0.8
"""Smallest share of FP32's faces that a lower precision must find."""

ENOUGH_FACES = 10
"""Number of faces from which the share is worth a verdict."""

Pieces = Callable[[Image], Iterator[NDArray[np.uint8]]]
"""Function from an image to the inputs of a network, uint8 [N, H, W, 3]."""


@dataclass
class StageImages(Images):
    """Images of which a network sees pieces only.

    Attributes:
        pieces: Function that yields the network's inputs for an image.
    """

    pieces: Pieces = lambda image: iter([image[None]])

    @override
    def batches(self, status: Callable[[str], None] = lambda _: None) -> Iterator[NDArray[np.uint8]]:
        for pixels in super().batches(status):
            yield from self.pieces(pixels[0])


class Agreement(NamedTuple):
    """Faces of a cascade compared with those of FP32: those of both, of FP32, and of the other."""

    both: int
    reference: int
    found: int

    def __str__(self) -> str:
        return f"{self.both} of {self.reference} faces of FP32 found, and {self.found - self.both} others"


def calibrated(
    folder: Path, images: Images, method: Method, status: Callable[[str], None]
) -> dict[str, Calibration]:
    """Calibrate each network on the inputs that it gets from those before it in FP32.

    Args:
        folder: Folder of the cascade's ONNX files.
        images: Images at their own size.
        method: See `engine_build.calibration.ranges.tensor_ranges`.
        status: Called with a line on the progress.

    Raises:
        ImageError: If too few images are usable, or have no candidates.
        ModelError: If an activation is not finite.
    """
    networks, found = CascadeNetworks(folder), dict[str, Calibration]()
    for stage in STAGES:
        model = normalized(contract.load(network_file(folder, stage)), "int8")
        seen = _of(images, images.limit, _pieces(networks, stage))
        found[stage] = calibrate(model, stage, method, seen, status)
    return found


def agreement(
    folder: Path, lowered: Mapping[str, onnx.ModelProto], images: Images, thresholds: Thresholds
) -> Agreement:
    """Compare the faces of lowered networks with those of FP32.

    Raises:
        EngineError: If fewer than `LEAST_FOUND` of FP32's faces are found.
    """
    few = _of(images, COMPARED_IMAGES, lambda image: iter([image[None]]))
    with tempfile.TemporaryDirectory() as name:
        for stage, model in lowered.items():
            contract.save(model, network_file(Path(name), stage))
        reference, other = CascadeNetworks(folder), CascadeNetworks(Path(name))
        counts = [0, 0, 0]
        for pixels in few.batches():
            one, two = (_faces(each, pixels[0], thresholds) for each in (reference, other))
            both = match(one.astype(np.float32), two.astype(np.float32))
            counts = [total + count for total, count in zip(counts, (len(both.a), len(one), len(two)))]
        other.close()
    found = Agreement(*counts)
    if found.reference >= ENOUGH_FACES and found.both < LEAST_FOUND * found.reference:
        raise EngineError(f"refused: {found}; calibrate on other images, or use fp16")
    return found


def _of(images: Images, limit: int, pieces: Pieces) -> StageImages:
    limit = min(images.limit, limit)
    return StageImages(images.sources, images.input, limit=limit, root=images.root, pieces=pieces)


def _pieces(networks: CascadeNetworks, stage: str) -> Pieces:
    def of(image: Image) -> Iterator[NDArray[np.uint8]]:
        selection = Selection(image.shape[:2])
        scales = cascade.pyramid(*image.shape[:2])
        if stage == STAGES[0]:
            source = Pillow.fromarray(image)
            yield from (level(source, scale)[None] for scale in scales)
            return
        boxes = _proposed(networks, image, selection)
        seen = crops(image, boxes, REFINED_SIDE)
        if stage == STAGES[2]:
            boxes = selection.refined(boxes, networks.refine(seen))
            seen = crops(image, boxes, OUTPUT_SIDE)
        if len(seen):
            yield seen

    return of


def _proposed(networks: CascadeNetworks, image: Image, selection: Selection) -> Boxes:
    scales, source = cascade.pyramid(*image.shape[:2]), Pillow.fromarray(image)
    return selection.proposed(
        [selection.windows(*networks.propose(level(source, scale)), scale) for scale in scales]
    )


def _faces(networks: CascadeNetworks, image: Image, thresholds: Thresholds) -> Boxes:
    selection = Selection(image.shape[:2])
    boxes = _proposed(networks, image, selection)
    boxes = selection.refined(boxes, networks.refine(crops(image, boxes, REFINED_SIDE)))
    return selection.faces(boxes, networks.output(crops(image, boxes, OUTPUT_SIDE)), thresholds)[0]
