"""How pictures are placed and faces chosen: the same for every executor, whatever runs the network."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from trt_mogface.errors import ImageError, ModelError
from trt_mogface.images import MAX_PIXELS
from trt_mogface.reference.resize import Placement, place_letterbox, place_native
from trt_mogface.spec import DetectorSpec, Thresholds


@dataclass(frozen=True)
class Settings:
    """What a caller chose, and the model's own values for the rest.

    Attributes:
        spec: The model.
        thresholds: In force.
        canvas: Height and width of a fixed network input; None runs each picture at its own size.
        pad: Whether a picture at its own size is padded to a multiple of the spec's.
    """

    spec: DetectorSpec
    thresholds: Thresholds
    canvas: tuple[int, int] | None = None
    pad: bool = True

    def place(self, height: int, width: int) -> Placement:
        """Where a picture of this size goes in the network's input."""
        if self.canvas:
            return place_letterbox(height, width, self.canvas)
        return place_native(height, width, self.spec.input, pad=self.pad)


@dataclass(frozen=True)
class Choices:
    """What a caller may choose; None leaves a value to the model.

    Attributes:
        size: Width and height of a fixed network input.
        pad: See `Settings`.
        conf, iou: Score and IoU thresholds, within 0..1.
        top_k: Candidates that enter the suppression.
        max_det: Most faces per picture.
    """

    size: tuple[int, int] | None = None
    pad: bool = True
    conf: float | None = None
    iou: float | None = None
    top_k: int | None = None
    max_det: int | None = None

    def check(self) -> None:
        """Refuse what no model can do, before one is loaded.

        Raises:
            ImageError: An impossible size.
            ModelError: A threshold outside 0..1.
        """
        if self.size is not None and (min(self.size) < 1 or self.size[0] * self.size[1] > MAX_PIXELS):
            raise ImageError(
                f"size {self.size[0]}x{self.size[1]}: use at least 1 pixel a side and at most "
                f"{MAX_PIXELS // 1_000_000} megapixels"
            )
        for name, value in (("conf", self.conf), ("iou", self.iou)):
            if value is not None and not 0 <= value <= 1:
                raise ModelError(f"{name} {value:g}: must lie within 0..1")

    def of(self, spec: DetectorSpec) -> Settings:
        """The settings for a model.

        Raises:
            ModelError: Limits that are not positive.
        """
        given = {
            "score_threshold": self.conf,
            "iou_threshold": self.iou,
            "top_k": self.top_k,
            "max_detections": self.max_det,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        thresholds = dataclasses.replace(spec.thresholds, **changes)  # type: ignore[arg-type]
        checked = dataclasses.replace(spec, thresholds=thresholds)  # a spec checks its own thresholds
        canvas = None if self.size is None else (self.size[1], self.size[0])
        return Settings(spec, checked.thresholds, canvas, self.pad)
