"""`CascadeOptions`: options of an opened cascade, whatever runs it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from trt_mogface.backends.options import DetectorOptions, fixed_canvas
from trt_mogface.errors import ArgumentError
from trt_mogface.reference.resize import Placement, place_letterbox
from trt_mogface.spec import Thresholds


@dataclass(frozen=True)
class CascadeOptions:
    """Options of an opened cascade: the caller's, else the model's.

    Attributes:
        thresholds: Effective thresholds of the last network.
        canvas: Height and width of the box that images are scaled into; None for each image's own size.
        clip: See `DetectorOptions`.
    """

    thresholds: Thresholds
    canvas: tuple[int, int] | None
    clip: bool

    @staticmethod
    def resolve(name: str, thresholds: Thresholds, options: DetectorOptions) -> CascadeOptions:
        """Combine checked options with a model's own thresholds.

        Raises:
            ArgumentError: If a number of passes is requested: the pyramid is part of the model.
        """
        scales = options.get("scales")
        if isinstance(scales, Integral):
            raise ArgumentError("scales", f"{name} has a pyramid of its own; omit it", scales)
        renamed = {"conf": "score_threshold", "iou": "iou_threshold", "max_det": "max_detections"}
        given: dict[str, Any] = {key: options.get(key) for key in (*renamed, "top_k")}
        changes = {renamed.get(key, key): value for key, value in given.items() if value is not None}
        effective = dataclasses.replace(thresholds, **changes)
        return CascadeOptions(effective, fixed_canvas(options), bool(options.get("clip")))

    def place(self, height: int, width: int) -> Placement:
        """Return the scale of a `height` x `width` image; nothing is padded."""
        if self.canvas is None:
            return Placement((1.0, 1.0), (height, width), (height, width))
        placed = place_letterbox(height, width, self.canvas)
        return dataclasses.replace(placed, canvas=placed.content)
