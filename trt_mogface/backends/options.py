"""Options of `Detector` and `Runner`, and what they resolve to for an opened model."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict

from trt_mogface.backends.base import ModelInfo
from trt_mogface.errors import ArgumentError
from trt_mogface.frame import MAX_PIXELS
from trt_mogface.reference.resize import Placement, place_letterbox, place_native, place_stretch
from trt_mogface.spec import UNLIMITED, DetectorSpec, Resize, Thresholds

Size: TypeAlias = "tuple[int, int] | Literal['native']"
"""Width and height of the network input in pixels, or each image's own."""


class DetectorOptions(TypedDict, total=False):
    """Options of `trt_mogface.Detector` and `trt_mogface.Runner`; None leaves a value to the model.

    Attributes:
        weights: Trained weights for a named model that does not bring its own.
        min_face: Side in pixels of the smallest face to find; pyramid levels that only see smaller faces are
            left out, which saves time.
        size: Width and height of the network input in pixels; every image is scaled into it.  ``"native"``
            runs each image at its own size.
        pad: Whether an image at its own size is padded to a multiple of the model's stride, as published;
            default True.
        shrink: Whether an image at its own size is scaled down where the model limits its longer side;
            default True.
        conf: Score threshold, within 0..1.
        iou: IoU threshold of the non-maximum suppression, within 0..1.
        top_k: Number of best candidates that enter the suppression.
        max_det: Largest number of faces of an image.
        threads: CPU threads of the network; None lets ONNX Runtime choose.
        provider: Python library that provides CUDA: ``cuda-python`` or ``pycuda``; None chooses, see
            `trt_mogface.cuda.open_cuda`.
    """

    weights: str | Path | None
    min_face: float | None
    size: Size | None
    pad: bool
    shrink: bool
    conf: float | None
    iou: float | None
    top_k: int | None
    max_det: int | None
    threads: int | None
    provider: str | None


NAMES = tuple(DetectorOptions.__annotations__)


def check_options(options: DetectorOptions) -> None:
    """Refuse values that no model accepts.

    Raises:
        ArgumentError: If an option is unknown or its value is impossible.
    """
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    for name, value in given.items():
        if name not in NAMES:
            raise ArgumentError(name, f"unknown option (choose from {', '.join(NAMES)})")
        if name in ("conf", "iou") and not 0 <= value <= 1:
            raise ArgumentError(name, "must be within 0..1", value)
        if name in ("top_k", "max_det") and not 0 < value <= UNLIMITED:
            raise ArgumentError(name, f"must be within 1..{UNLIMITED}", value)
        if name in ("min_face", "threads") and not 0 < value < math.inf:
            raise ArgumentError(name, "must be positive", value)
    size = given.get("size", "native")
    if size != "native" and (len(size) != 2 or min(size) < 1 or math.prod(size) > MAX_PIXELS):
        limit = f"width and height must be positive, and at most {MAX_PIXELS // 1_000_000} megapixels"
        raise ArgumentError("size", limit, _shown(size))


@dataclass(frozen=True)
class SlotOptions:
    """Options of an opened model: the caller's, else the model's.

    Attributes:
        spec: Spec of the model.
        thresholds: Effective thresholds.
        canvas: Height and width of a fixed network input; None runs each image at its own size.
        resize: Whether an image keeps its aspect ratio in a fixed input, or is stretched to it.
        pad: Whether an image at its own size is padded to the model's multiple.
        shrink: Whether an image at its own size is scaled down where the model limits its longer side.
    """

    spec: DetectorSpec
    thresholds: Thresholds
    canvas: tuple[int, int] | None = None
    resize: Resize = "letterbox"
    pad: bool = True
    shrink: bool = True

    @staticmethod
    def resolve(spec: DetectorSpec, options: DetectorOptions) -> SlotOptions:
        """Combine checked options with a model's own values.

        Raises:
            ArgumentError: If the network does not accept the requested input size.
        """
        given = {
            "score_threshold": options.get("conf"),
            "iou_threshold": options.get("iou"),
            "top_k": options.get("top_k"),
            "max_detections": options.get("max_det"),
        }
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        size, pad = options.get("size") or spec.input.size, options.get("pad", True)
        _check_accepted(spec, size, pad)
        return SlotOptions(
            spec,
            dataclasses.replace(spec.thresholds, **changes),
            None if size is None or size == "native" else (size[1], size[0]),
            spec.input.resize,
            pad,
            options.get("shrink", True),
        )

    @property
    def info(self) -> ModelInfo:
        """Facts about the model."""
        spec = self.spec
        return ModelInfo(spec.name, spec.landmarks, self.thresholds, spec.coding.inclusive, spec.origin)

    def place(self, height: int, width: int) -> Placement:
        """Return the position of a `height` x `width` image in the network input."""
        if self.canvas is None:
            return place_native(height, width, self.spec.input, pad=self.pad, shrink=self.shrink)
        place = place_stretch if self.resize == "stretch" else place_letterbox
        return place(height, width, self.canvas)


def _check_accepted(spec: DetectorSpec, size: Size | None, pad: bool) -> None:
    given = spec.input
    if not given.strict:
        return
    multiples = f"{spec.name} accepts only multiples of {given.multiple}"
    if given.size is not None:
        if size is None or tuple(size) != given.size:
            raise ArgumentError(
                "size", f"{spec.name} accepts only {_shown(given.size)}; omit it", _shown(size)
            )
    elif size is None or size == "native":
        if not pad:
            raise ArgumentError("pad", f"{multiples}; leave it on")
    elif any(side % given.multiple for side in size):
        raise ArgumentError("size", multiples, _shown(size))


def _shown(size: Size | None) -> str:
    return size if isinstance(size, str) else "x".join(map(str, size or ()))
