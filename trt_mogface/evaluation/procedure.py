"""Test procedures: as users of the library run a detector, or as the authors of MogFace did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from trt_mogface._names import parse_names
from trt_mogface.backends.options import DetectorOptions
from trt_mogface.detector import Detector
from trt_mogface.errors import ArgumentError
from trt_mogface.evaluation.average_precision import Floats
from trt_mogface.evaluation.box_voting import vote
from trt_mogface.evaluation.predictions import Predicted
from trt_mogface.evaluation.scales import MULTI, MULTI_HARD, MultiScale, Run, limit, runs
from trt_mogface.frame import Image
from trt_mogface.reference.passes import Scales

SCORE = 0.01
"""Score threshold of every procedure: average precision needs the uncertain faces too."""


@dataclass(frozen=True)
class Procedure:
    """Test procedure.

    Attributes:
        iou: IoU threshold of the suppression in each run; None takes the model's.
        published: Whether images are neither padded nor shrunk, and results are cut at the image's edges and
            rounded, as the authors do.
        multi_scale: Several runs of each image, merged by box voting; None for one run.
    """

    iou: float | None = None
    published: bool = False
    multi_scale: MultiScale | None = None

    def options(
        self, size: tuple[int, int] | Literal["native"] | None = None, scales: Scales | None = None
    ) -> DetectorOptions:
        """Return the options of the detector to test.

        In the published procedures 5,000 candidates enter the suppression, 750 faces stay, and there are no
        further passes.

        Raises:
            ArgumentError: If a published procedure is given a fixed size or further passes.
        """
        if not self.published:
            return DetectorOptions(conf=SCORE, iou=self.iou, size=size, scales=scales)
        for name, value in (("size", size), ("scales", scales)):
            if value not in (None, "native"):
                raise ArgumentError(name, "the published procedures scale images themselves; leave it out")
        return DetectorOptions(
            conf=SCORE,
            iou=self.iou,
            size="native",
            pad=False,
            shrink=False,
            scales="native",
            top_k=5000,
            max_det=750,
        )

    def predict(self, detect: Detector, image: Image) -> Predicted:
        """Return the predictions for an image, uint8 [H, W, 3] in BGR, of a detector with `options`."""
        height, width = image.shape[:2]
        if not self.published:
            boxes, scores, dropped = _corners(detect, image)
            return Predicted(_as_xywh(boxes), scores, dropped)
        if self.multi_scale is None:
            boxes, scores, dropped = _run(detect, image, Run(min(1.0, limit(height, width))))
        else:
            found = [_run(detect, image, run) for run in runs(height, width, self.multi_scale)]
            *arrays, counts = zip(*found)
            boxes, scores = map(np.concatenate, arrays)
            dropped = sum(counts)
            boxes, scores = vote(boxes, scores, self.multi_scale.vote_iou)
        boxes[:, :2] = boxes[:, :2].clip(0)
        boxes[:, 2:] = np.minimum(boxes[:, 2:], (width - 1, height - 1))
        rounded = _as_xywh(boxes).round(0 if self.multi_scale else 1)
        return Predicted(rounded, scores.round(3), dropped)


PROCEDURES = {
    "original": Procedure(),
    "single": Procedure(iou=0.3, published=True),
    "multi": Procedure(iou=0.3, published=True, multi_scale=MULTI),
    "multi-hard": Procedure(iou=0.4, published=True, multi_scale=MULTI_HARD),
}
"""``original`` as a user's `Detector` runs; the others as in ``test_single.py`` and ``test_multi.py`` of the
authors' repository (``multi-hard`` is its ``--test_hard 1``, by which MogFace has 97.0 / 96.3 / 93.0).  The
authors resize floats and this resizes bytes: at most half a gray level apart."""


def procedures(names: str) -> dict[str, Procedure]:
    """Return procedures by their names, which are separated by commas."""
    return {name: PROCEDURES[name] for name in parse_names("procedure", names, PROCEDURES)}


def _corners(detect: Detector, image: Image) -> tuple[Floats, Floats, int]:
    """Return corners that are pixels of the face (x1 - x0 + 1 wide), scores and `Predicted.dropped`."""
    found = detect(image)
    boxes = found.xyxy.astype(np.float64)
    if not detect.info.inclusive_boxes:
        boxes[:, 2:] -= 1
    return boxes, found.confidence.astype(np.float64), found.dropped


def _as_xywh(boxes: Floats) -> Floats:
    """Convert inclusive corners to x, y, w, h."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2] + 1], axis=1)


def _run(detect: Detector, image: Image, run: Run) -> tuple[Floats, Floats, int]:
    """Return corners in the image, scores and `Predicted.dropped` of one run."""
    turned = np.ascontiguousarray(image[:, ::-1]) if run.flip else image
    scaled = turned if run.scale == 1 else cv2.resize(turned, None, fx=run.scale, fy=run.scale)
    boxes, scores, dropped = _corners(detect, scaled.astype(np.uint8, copy=False))
    extent = (boxes[:, 2:] - boxes[:, :2] + 1) / run.scale
    boxes[:, :2] /= run.scale
    boxes[:, 2:] = boxes[:, :2] + extent - 1
    if run.flip:
        boxes[:, [0, 2]] = image.shape[1] - boxes[:, [2, 0]] - 1
    kept = run.keeps(boxes)
    return boxes[kept], scores[kept], dropped
