"""Options of `Detector` and `Runner`, and what they resolve to for an opened model."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict

import numpy as np

from trt_mogface.backends.base import ModelInfo
from trt_mogface.detections import Detections
from trt_mogface.errors import ArgumentError
from trt_mogface.frame import MAX_PIXELS
from trt_mogface.reference import passes
from trt_mogface.reference.merge import Limits
from trt_mogface.reference.passes import MAX_PASSES, Scales
from trt_mogface.reference.resize import Placement, place_letterbox, place_native, place_stretch
from trt_mogface.spec import UNLIMITED, DetectorSpec, Resize, Thresholds

Size: TypeAlias = "tuple[int, int] | int | Literal['native']"
"""Width and height of the network input in pixels, the side of a square one, or each image's own."""

FixedSize: TypeAlias = "tuple[int, int] | Literal['native'] | None"
"""A size in its long form; None for the model's own."""


class DetectorOptions(TypedDict, total=False):
    """Options of `trt_mogface.Detector` and `trt_mogface.Runner`; None leaves a value to the model.

    Attributes:
        weights: Trained weights for a named model that does not bring its own.
        min_face: Side in pixels of the smallest face to find; pyramid levels that only see smaller faces are
            left out, which saves time.
        size: Width and height of the network input in pixels, or one number for a square; every image is
            scaled into it.  ``"native"`` runs each image at its own size.
        pad: Whether an image at its own size is padded to a multiple of the model's stride, as published;
            default True.
        shrink: Whether an image at its own size is scaled down where the model limits its longer side;
            default True.
        scales: Passes of the network over an image.  ``"full"``, the default, adds one over a reduced copy
            where an image can hold larger faces than the anchors cover, or several; ``"native"`` is one
            pass; a number is that of all passes.  See `trt_mogface.reference.passes`.
        clip: Whether boxes are cut at the edges of the image; default False.  See `Detections.clip`.
        conf: Score threshold, within 0..1.
        iou: IoU threshold of the non-maximum suppression, within 0..1.
        top_k: Number of best candidates that enter the suppression.
        max_det: Largest number of faces of an image.
        threads: CPU threads of the network; None for all cores that the process may use, of which the
            slots of a `Runner` get equal shares.
        providers: Execution providers of ONNX Runtime in order of preference, such as
            ``CUDAExecutionProvider``; None for the CPU.
        provider: Python library that provides CUDA: ``cuda-python`` or ``pycuda``; None chooses, see
            `trt_mogface.cuda.open_cuda`.
    """

    weights: str | Path | None
    min_face: float | None
    size: Size | None
    pad: bool
    shrink: bool
    scales: Scales | None
    clip: bool
    conf: float | None
    iou: float | None
    top_k: int | None
    max_det: int | None
    threads: int | None
    providers: Sequence[str] | None
    provider: str | None


NAMES = tuple(DetectorOptions.__annotations__)

DEFAULTS: DetectorOptions = {"pad": True, "shrink": True, "scales": "full", "clip": False}
"""Values that options have without the caller; None for the others, which are the model's."""

NUMBERS: dict[str, type] = {
    **dict.fromkeys(("min_face", "conf", "iou"), Real),
    **dict.fromkeys(("top_k", "max_det", "threads"), Integral),
}
"""Options that are numbers, and their kind; numpy's numbers are of these kinds too."""

KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(("pad", "shrink", "clip"), ((bool, np.bool_), "True or False")),
    "weights": ((str, os.PathLike), "a file"),
    "provider": ((str,), "a name"),
}
"""Other options with one kind of value, and its description."""


def given(options: DetectorOptions) -> DetectorOptions:
    """Return the options that differ from their defaults."""
    changed: Any = {name: value for name, value in options.items() if value not in (None, DEFAULTS.get(name))}
    return changed  # type: ignore[no-any-return]


def check_options(options: DetectorOptions) -> None:
    """Refuse values that no model accepts.

    Raises:
        ArgumentError: If an option is unknown or its value is impossible.
    """
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    for name, value in given.items():
        if name not in NAMES:
            raise ArgumentError(name, f"unknown option (choose from {', '.join(NAMES)})")
        if name in NUMBERS and (isinstance(value, bool) or not isinstance(value, NUMBERS[name])):
            whole = "a whole number" if NUMBERS[name] is Integral else "a number"
            raise ArgumentError(name, f"must be {whole}", repr(value)[:40])
        if name in ("conf", "iou") and not 0 <= value <= 1:
            raise ArgumentError(name, "must be within 0..1", value)
        if name in ("top_k", "max_det") and not 0 < value <= UNLIMITED:
            raise ArgumentError(name, f"must be within 1..{UNLIMITED}", value)
        if name in ("min_face", "threads") and not 0 < value < math.inf:
            raise ArgumentError(name, "must be positive", value)
        if name in KINDS and not isinstance(value, KINDS[name][0]):
            raise ArgumentError(name, f"must be {KINDS[name][1]}", repr(value)[:40])
        if name == "providers" and not _are_names(value):
            raise ArgumentError(
                name, "must be a list of names, such as ['CUDAExecutionProvider']", repr(value)[:40]
            )
        if name == "scales":
            _check_scales(value)
    _size(options)


def _check_scales(value: object) -> None:
    is_number = isinstance(value, Integral) and not isinstance(value, bool)
    if not (1 <= value <= MAX_PASSES if is_number else value in ("native", "full")):  # type: ignore[operator]
        problem = f"must be 'native', 'full', or a number of passes within 1..{MAX_PASSES}"
        raise ArgumentError("scales", problem, repr(value)[:40])


def _are_names(value: object) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(name, str) for name in value)


def fixed_canvas(options: DetectorOptions) -> tuple[int, int] | None:
    """Return height and width of the option ``size``; None for each image's own size."""
    size = _size(options)
    return None if size is None or size == "native" else (size[1], size[0])


def _size(options: DetectorOptions) -> FixedSize:
    """Return the option ``size`` without its short form; refuse what is not a size."""
    size = options.get("size")
    if size is None or size == "native":
        return size
    sides: Any = (size, size) if isinstance(size, Integral) else size
    is_pair = isinstance(sides, Sequence) and len(sides) == 2 and not isinstance(size, (str, bool))
    if not is_pair or not all(isinstance(side, Integral) for side in sides):
        raise ArgumentError(
            "size", "must be 'native', (width, height), or the side of a square", repr(size)[:40]
        )
    if min(sides) < 1 or math.prod(sides) > MAX_PIXELS:
        limit = f"width and height must be positive, and at most {MAX_PIXELS // 1_000_000} megapixels"
        raise ArgumentError("size", limit, _shown(sides))
    return int(sides[0]), int(sides[1])


@dataclass(frozen=True)
class SlotOptions:
    """Options of an opened model: the caller's, else the model's.

    Attributes:
        spec: Spec of the model.
        thresholds: Effective thresholds.
        canvas: Height and width of a fixed network input; None runs each image at its own size.
        resize: Whether an image keeps its aspect ratio in a fixed input, or is stretched to it.
        pad, shrink, scales, clip: See `DetectorOptions`.
    """

    spec: DetectorSpec
    thresholds: Thresholds
    canvas: tuple[int, int] | None = None
    resize: Resize = "letterbox"
    pad: bool = True
    shrink: bool = True
    scales: Scales = "full"
    clip: bool = False

    @staticmethod
    def resolve(spec: DetectorSpec, options: DetectorOptions) -> SlotOptions:
        """Combine checked options with a model's own values.

        Raises:
            ArgumentError: If the network does not accept the requested input size or number of passes.
        """
        renamed = {"conf": "score_threshold", "iou": "iou_threshold", "max_det": "max_detections"}
        given: dict[str, Any] = {name: options.get(name) for name in (*renamed, "top_k")}
        changes = {renamed.get(name, name): value for name, value in given.items() if value is not None}
        size, pad = _size(options) or spec.input.size, options.get("pad", True)
        _check_accepted(spec, size, pad)
        return SlotOptions(
            spec,
            dataclasses.replace(spec.thresholds, **changes),
            None if size is None or size == "native" else (size[1], size[0]),
            spec.input.resize,
            pad,
            options.get("shrink", True),
            _scales(spec, options),
            bool(options.get("clip")),
        )

    @property
    def info(self) -> ModelInfo:
        """Facts about the model."""
        spec = self.spec
        return ModelInfo(spec.name, spec.landmarks, self.thresholds, spec.coding.inclusive, spec.origin)

    def clipped(self, found: list[Detections]) -> list[Detections]:
        """Return the faces of a batch, cut at the edges of their images if that is an option."""
        return [faces.clip() for faces in found] if self.clip else found

    def place(self, height: int, width: int) -> Placement:
        """Return the position of a `height` x `width` image in the network input."""
        if self.canvas is None:
            return place_native(height, width, self.spec.input, pad=self.pad, shrink=self.shrink)
        place = place_stretch if self.resize == "stretch" else place_letterbox
        return place(height, width, self.canvas)

    def further(self, first: Sequence[Placement]) -> tuple[float, ...]:
        """Return the scales of the further passes over a batch.

        ``first`` has the placements in the first pass, in one canvas.  Without an image that
        `needs_further` passes there are none.
        """
        return self.reductions(first[0].canvas) if any(map(self.needs_further, first)) else ()

    def reductions(self, canvas: tuple[int, int]) -> tuple[float, ...]:
        """Return the scales of the further passes over a canvas, see `passes.reductions`."""
        return passes.reductions(canvas, self.spec, self.scales)

    def needs_further(self, first: Placement) -> bool:
        """Return whether an image takes part in the further passes of its batch."""
        return min(first.content) > self.content_limit

    @property
    def content_limit(self) -> float:
        """Shorter side up to which an image takes part in no further pass, see `passes.content_limit`."""
        return passes.content_limit(self.spec, self.scales)

    def merge_limits(self, finer: float, scale: float) -> Limits:
        """Return the limits of merging a further pass, see `passes.merge_limits`."""
        return passes.merge_limits(self.spec, finer, scale)

    def reduce(self, first: Placement, height: int, width: int, scale: float) -> Placement:
        """Return the position of a `height` x `width` image in the network input of a further pass."""
        multiple = self.spec.input.multiple if self.pad or self.spec.input.strict else 1
        return passes.reduce(first, height, width, scale, multiple)


def _scales(spec: DetectorSpec, options: DetectorOptions) -> Scales:
    scales = options.get("scales") or "full"
    if isinstance(scales, Integral):
        scales = int(scales)
    if spec.input.strict and spec.input.size is not None:
        if scales not in ("native", "full", 1):
            problem = f"{spec.name} accepts only {_shown(spec.input.size)}, which allows one pass; omit it"
            raise ArgumentError("scales", problem, scales)
        return "native"
    return scales


def _check_accepted(spec: DetectorSpec, size: FixedSize, pad: bool) -> None:
    given = spec.input
    if not given.strict:
        return
    multiples = f"{spec.name} accepts only multiples of {given.multiple}"
    if given.size is not None:
        if size is None or tuple(size) != given.size:
            problem = f"{spec.name} accepts only {_shown(given.size)}; omit it"
            raise ArgumentError("size", problem, _shown(size))
    elif size is None or size == "native":
        if not pad:
            raise ArgumentError("pad", f"{multiples}; leave it on")
    elif any(side % given.multiple for side in size):
        raise ArgumentError("size", multiples, _shown(size))


def _shown(size: FixedSize) -> str:
    return size if isinstance(size, str) else "x".join(map(str, size or ()))
