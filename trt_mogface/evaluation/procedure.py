"""How a detector is tested: as its users run it, or as the authors of MogFace did."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_mogface.backends.options import Choices
from trt_mogface.backends.registry import Backend
from trt_mogface.detector import Detector
from trt_mogface.errors import UsageError
from trt_mogface.evaluation.average_precision import Floats
from trt_mogface.evaluation.box_voting import vote
from trt_mogface.evaluation.predictions import Predicted
from trt_mogface.evaluation.scales import MULTI, MULTI_HARD, MultiScale, Run, limit, runs

SCORE = 0.01
"""Score threshold of every procedure: average precision needs the unsure faces too."""

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Procedure:
    """One way to test.

    Attributes:
        iou: Of the suppression in each run; None takes the model's.
        published: Whether pictures are neither padded nor shrunk by the model's rule, and results are cut at
            the picture's edges and rounded, as the authors do.
        multi_scale: Several runs of each picture, merged by box voting; None for one run.
    """

    iou: float | None = None
    published: bool = False
    multi_scale: MultiScale | None = None

    def choices(self, size: tuple[int, int] | None = None) -> Choices:
        """What the detector of this procedure is opened with.

        Of the published ones, 5,000 candidates enter the suppression and 750 faces stay.

        Args:
            size: Width and height of a fixed network input; None for each picture's own size.

        Raises:
            UsageError: The published procedures have no fixed size.
        """
        if not self.published:
            return Choices(conf=SCORE, iou=self.iou, size=size)
        if size is not None:
            raise UsageError("--size: the published procedures run pictures at sizes of their own")
        return Choices(conf=SCORE, iou=self.iou, pad=False, top_k=5000, max_det=750)

    def prepare(self, backend: Backend) -> Backend:
        """Take the model's rule for long sides from a backend, where the procedure has none."""
        if self.published:
            settings = backend.settings
            resize = dataclasses.replace(settings.spec.input, longest_over=None, longest_to=None)
            spec = dataclasses.replace(settings.spec, input=resize)
            backend.settings = dataclasses.replace(settings, spec=spec)
        return backend

    def predict(self, detect: Detector, image: Image) -> Predicted:
        """The faces of a picture, uint8 [H, W, 3] in BGR.

        Args:
            detect: Opened as `choices` and `prepare` say.
            image: The picture.
        """
        height, width = image.shape[:2]
        if not self.published:
            boxes, scores = _faces(detect, image)
        elif self.multi_scale is None:
            boxes, scores = _run(detect, image, Run(min(1.0, limit(height, width))))
            boxes, scores = _cut(boxes, height, width).round(1), scores.round(3)
        else:
            found = [_run(detect, image, run) for run in runs(height, width, self.multi_scale)]
            boxes, scores = (np.concatenate(parts) for parts in zip(*found))
            boxes, scores = vote(boxes, scores, self.multi_scale.vote_iou)
            boxes, scores = _cut(boxes, height, width).round(), scores.round(3)
        return Predicted(boxes, scores)


PROCEDURES = {
    "original": Procedure(),
    "single": Procedure(iou=0.3, published=True),
    "multi": Procedure(iou=0.3, published=True, multi_scale=MULTI),
    "multi-hard": Procedure(iou=0.4, published=True, multi_scale=MULTI_HARD),
}
"""``original``: as a user's `Detector` does it; the others as in ``test_single.py`` and ``test_multi.py`` of
the authors' repository (``multi-hard`` is its ``--test_hard 1``, by which MogFace has 97.0 / 96.3 / 93.0).
They resize floats where this resizes bytes: at most half a gray level apart."""


def procedures(names: str) -> dict[str, Procedure]:
    """Procedures by their names, with commas.

    Raises:
        UsageError: An unknown name.
    """
    wanted = [name.strip() for name in names.split(",")]
    for name in wanted:
        if name not in PROCEDURES:
            raise UsageError(f"--procedure {name:.40}: unknown, use {', '.join(PROCEDURES)}")
    return {name: PROCEDURES[name] for name in wanted}


def _faces(detect: Detector, image: Image) -> tuple[Floats, Floats]:
    """x, y, w, h and scores."""
    boxes, scores = _corners(detect, image)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2] + 1], axis=1), scores


def _corners(detect: Detector, image: Image) -> tuple[Floats, Floats]:
    """Corners that are pixels of the face (a box from x0 to x1 is x1 - x0 + 1 wide), and scores."""
    found = detect(image)
    boxes = found.xyxy.astype(np.float64)
    if not detect.spec.coding.inclusive:
        boxes[:, 2:] -= 1
    return boxes, found.confidence.astype(np.float64)


def _run(detect: Detector, image: Image, run: Run) -> tuple[Floats, Floats]:
    """Corners in the picture, and scores, of the faces that count in one run."""
    turned = np.ascontiguousarray(image[:, ::-1]) if run.flip else image
    scaled = turned if run.scale == 1 else cv2.resize(turned, None, fx=run.scale, fy=run.scale)
    boxes, scores = _corners(detect, scaled.astype(np.uint8, copy=False))
    extent = (boxes[:, 2:] - boxes[:, :2] + 1) / run.scale
    boxes[:, :2] /= run.scale
    boxes[:, 2:] = boxes[:, :2] + extent - 1
    if run.flip:
        boxes[:, [0, 2]] = image.shape[1] - boxes[:, [2, 0]] - 1
    kept = run.keeps(boxes)
    return boxes[kept], scores[kept]


def _cut(boxes: Floats, height: int, width: int) -> Floats:
    """Corners to x, y, w, h within the picture."""
    low = boxes[:, :2].clip(0)
    high = np.minimum(boxes[:, 2:], (width - 1, height - 1))
    return np.concatenate([low, high - low + 1], axis=1)
