"""`Detector`: pictures in, `Detections` out."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import overload

import numpy as np
from numpy.typing import NDArray

from trt_mogface.detections import Detections
from trt_mogface.errors import ImageError, ModelError
from trt_mogface.executor import OnnxExecutor
from trt_mogface.images import MAX_PIXELS, check_array
from trt_mogface.models import DEFAULT, contract_file
from trt_mogface.resize import Image, Placement, paint, place_letterbox, place_native
from trt_mogface.selection import Selection, select
from trt_mogface.spec import DetectorSpec, SelectionDefaults


class Detector:
    """Finds faces.

    Args:
        model: A contract ONNX file, or the name of a model (``trt-mogface models`` lists them).
        weights: Trained weights for a named model that does not bring its own.
        min_face: Leave out the pyramid levels that only see faces smaller than this many pixels.
        size: Width and height of a fixed network input that pictures are scaled into, keeping their
            shape; None runs each picture at its own size.
        pad: At its own size, pad a picture to a multiple of 32 as MogFace's model card asks; False feeds
            the raw size as the published code does.
        conf, iou: Score and IoU thresholds, within 0..1; None takes the model's.
        top_k: Candidates that enter the suppression; None takes the model's.
        max_det: Most faces per picture; None takes the model's.
        threads: CPU threads; None lets ONNX Runtime choose.

    Raises:
        ModelError: An unknown name, or a file that is not of the contract.
        ImageError: An impossible size.
        MissingExtraError: The model has to be made first and the packages for that are missing.

    Example:
        >>> import numpy as np
        >>> with Detector() as detect:
        ...     faces = detect(np.zeros((48, 64, 3), np.uint8))
        >>> len(faces), faces.image_size
        (0, (48, 64))
    """

    def __init__(
        self,
        model: str | Path = DEFAULT,
        *,
        weights: str | Path | None = None,
        min_face: float | None = None,
        size: tuple[int, int] | None = None,
        pad: bool = True,
        conf: float | None = None,
        iou: float | None = None,
        top_k: int | None = None,
        max_det: int | None = None,
        threads: int | None = None,
    ) -> None:
        if size is not None and (min(size) < 1 or size[0] * size[1] > MAX_PIXELS):
            raise ImageError(
                f"size {size[0]}x{size[1]}: use at least 1 pixel a side and at most "
                f"{MAX_PIXELS // 1_000_000} megapixels"
            )
        for name, value in (("conf", conf), ("iou", iou)):
            if value is not None and not 0 <= value <= 1:
                raise ModelError(f"{name} {value:g}: must lie within 0..1")
        self._executor = OnnxExecutor(contract_file(model, weights, min_face), threads=threads)
        self._canvas = None if size is None else (size[1], size[0])
        self._pad = pad
        given = {"score_threshold": conf, "iou_threshold": iou, "top_k": top_k, "max_detections": max_det}
        changes = {name: value for name, value in given.items() if value is not None}
        thresholds = dataclasses.replace(self.spec.selection, **changes)  # type: ignore[arg-type]
        # A spec checks its own thresholds.
        self._thresholds = dataclasses.replace(self.spec, selection=thresholds).selection

    @property
    def spec(self) -> DetectorSpec:
        """The model's spec."""
        return self._executor.spec

    @property
    def thresholds(self) -> SelectionDefaults:
        """The thresholds in force."""
        return self._thresholds

    @overload
    def __call__(self, images: NDArray[np.uint8]) -> Detections: ...

    @overload
    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]: ...

    def __call__(
        self, images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]
    ) -> Detections | list[Detections]:
        """Find the faces of one picture, or of several.

        Args:
            images: uint8 [H, W, 3], BGR, or a sequence of such arrays of any sizes.  Pictures that share
                a network input size run as one batch; the others do not, because MogFace's group
                normalisation sees the padding, and a picture's faces must not depend on its neighbours.

        Returns:
            `Detections` in the picture's own pixels; a list of them, in order, for a sequence.

        Raises:
            ImageError: An array of another type or shape; nothing is run.
            ModelError: The network failed, or the detector is closed.
        """
        if isinstance(images, (list, tuple)):
            return self._detect([check_array(image, f"image {i}") for i, image in enumerate(images)])
        return self._detect([check_array(images)])[0]

    def close(self) -> None:
        """Free the network; closing twice is harmless."""
        self._executor.close()

    def __enter__(self) -> Detector:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _detect(self, images: list[Image]) -> list[Detections]:
        placements = [self._place(image) for image in images]
        batches: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index, placement in enumerate(placements):
            batches[placement.canvas].append(index)
        found: dict[int, Detections] = {}
        for canvas, members in batches.items():
            faces = self._run([images[i] for i in members], [placements[i] for i in members], canvas)
            found.update(zip(members, faces))
        return [found[index] for index in range(len(images))]

    def _place(self, image: Image) -> Placement:
        height, width = image.shape[:2]
        if self._canvas:
            return place_letterbox(height, width, self._canvas)
        return place_native(height, width, self.spec.resize, pad=self._pad)

    def _run(
        self, images: list[Image], placements: list[Placement], canvas: tuple[int, int]
    ) -> list[Detections]:
        batch = np.empty((len(images), *canvas, 3), np.uint8)
        for image, placement, out in zip(images, placements, batch):
            paint(image, placement, self.spec.resize.pad, out)
        outputs = self._executor.run(batch)
        faces = []
        for row, (image, placement) in enumerate(zip(images, placements)):
            selection = select(
                outputs.scores[row],
                outputs.deltas[row],
                None if outputs.landmarks is None else outputs.landmarks[row],
                spec=self.spec,
                size=canvas,
                thresholds=self._thresholds,
            )
            faces.append(_in_picture(selection, placement, image))
        return faces


def _in_picture(selection: Selection, placement: Placement, image: Image) -> Detections:
    """Network coordinates to the caller's; scores stay what they are."""
    scale = np.float32(placement.scale)
    points = selection.landmarks
    return Detections(
        xyxy=selection.boxes / scale,
        confidence=selection.scores,
        landmarks=None if points is None else points / scale,
        image_size=(image.shape[0], image.shape[1]),
        dropped=selection.dropped,
    )
