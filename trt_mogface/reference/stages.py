"""Selection between the networks of a cascade: from one network's outputs to the boxes of the next one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from trt_mogface.reference import cascade
from trt_mogface.reference.cascade import Boxes, Ranking
from trt_mogface.reference.decode import Floats
from trt_mogface.reference.nms import Indices
from trt_mogface.spec import Thresholds

PROPOSAL_SCORE, REFINED_SCORE = 0.7, 0.8
LEVEL_OVERLAP, PROPOSAL_OVERLAP, REFINED_OVERLAP = 0.5, 0.7, 0.7
"""Published thresholds of the first two networks; those of the last are the model's."""

REFINED_SIDE, OUTPUT_SIDE = 24, 48
"""Sides of the crops that the second and the third network look at."""


class Limits(NamedTuple):
    """Largest numbers of candidates; beyond them the best stay, and the others are counted.

    An image of 1024 pixels with hundreds of faces has at most 5,407 of a level, 3,898 of the second network
    and 598 of the third.

    Attributes:
        cells: Candidates of a pyramid level.
        proposals: Candidates of all levels.
        refined, output: Boxes that the second and the third network look at.
    """

    cells: int = 8192
    proposals: int = 8192
    refined: int = 4096
    output: int = 1024


LIMITS = Limits()
"""Limits of the CPU, and of engines."""


class Output(NamedTuple):
    """Outputs of a network for n candidates: scores [n], offsets [n, 4] and landmarks [n, 10] or none."""

    scores: Floats
    offsets: Floats
    landmarks: Floats


class Proposals(NamedTuple):
    """Windows that the first network accepts: boxes [n, 4], scores [n] and offsets [n, 4], best first."""

    boxes: Boxes
    scores: Floats
    offsets: Floats


@dataclass
class Selection:
    """Selection of one image's candidates on their way through the networks.

    Attributes:
        size: Height and width of the image.
        rank: Order of candidates by their scores.
        limits: Largest numbers of candidates.
        dropped: Number of candidates that were not finite.
        truncated: Number of candidates beyond the largest numbers of a stage.
    """

    size: tuple[int, int]
    rank: Ranking = cascade.published_ranking
    limits: Limits = LIMITS
    dropped: int = 0
    truncated: int = 0

    def windows(self, scores: Floats, offsets: Floats, scale: float) -> Proposals:
        """Return what the first network accepts in a pyramid level.

        Args:
            scores: float32 [rows, columns].
            offsets: float32 [4, rows, columns].
            scale: Scale of the level.
        """
        columns = scores.shape[1]
        scores, offsets = scores.ravel(), offsets.reshape(4, -1).T
        index = self._accepted(scores, offsets, PROPOSAL_SCORE)
        index = index[self._limited(scores[index], self.limits.cells)]
        boxes = cascade.windows(index, columns, scale)
        keep = cascade.suppress(boxes, scores[index], LEVEL_OVERLAP, rank=self.rank)
        return Proposals(boxes[keep], scores[index[keep]], offsets[index[keep]])

    def proposed(self, levels: Sequence[Proposals]) -> Boxes:
        """Return the boxes to be cropped for the second network, from the windows of all levels."""
        if not levels:
            return np.empty((0, 4))
        boxes, scores, offsets = map(np.concatenate, zip(*levels))
        index = self._limited(scores, self.limits.proposals)
        index = index[cascade.suppress(boxes[index], scores[index], PROPOSAL_OVERLAP, rank=self.rank)]
        return self._squares(boxes[index], offsets[index], self.limits.refined)

    def refined(self, boxes: Boxes, output: Output) -> Boxes:
        """Return the boxes to be cropped for the third network, from boxes that the second has seen."""
        boxes = cascade.cut(boxes, *self.size)
        index = self._accepted(output.scores, output.offsets, REFINED_SCORE)
        index = index[cascade.suppress(boxes[index], output.scores[index], REFINED_OVERLAP, rank=self.rank)]
        return self._squares(boxes[index], output.offsets[index], self.limits.output)

    def faces(self, boxes: Boxes, output: Output, thresholds: Thresholds) -> tuple[Boxes, Floats, Boxes]:
        """Return boxes, scores and landmarks of the faces, best first, from boxes that the third has seen."""
        boxes = cascade.cut(boxes, *self.size)
        values = np.concatenate([output.offsets, output.landmarks], axis=1)
        index = self._accepted(output.scores, values, thresholds.score_threshold)
        index = index[cascade.best(output.scores[index], thresholds.top_k)]
        landmarks = cascade.place_landmarks(boxes[index], output.landmarks[index])
        found, scores = cascade.calibrate(boxes[index], output.offsets[index]), output.scores[index]
        fits = cascade.in_single_precision(found) & cascade.in_single_precision(landmarks)
        self.dropped += int(np.count_nonzero(~fits))
        found, scores, landmarks = found[fits], scores[fits], landmarks[fits]
        keep = cascade.suppress(found, scores, thresholds.iou_threshold, smaller=True, rank=self.rank)
        keep = keep[: thresholds.max_detections]
        return found[keep], scores[keep], landmarks[keep]

    def _accepted(self, scores: Floats, values: Floats, threshold: float) -> Indices:
        index, dropped = cascade.accepted(scores, values, threshold)
        self.dropped += dropped
        return index

    def _limited(self, scores: Floats, limit: int) -> Indices:
        """Return the indices of the best candidates, and count the others."""
        keep = cascade.best(scores, limit)
        self.truncated += len(scores) - len(keep)
        return keep

    def _squares(self, boxes: Boxes, offsets: Floats, limit: int) -> Boxes:
        """Return the squares around calibrated boxes that can be cropped, in the order of the boxes."""
        squares = cascade.square(cascade.calibrate(boxes, offsets))
        squares = squares[cascade.croppable(squares, *self.size)]
        self.truncated += max(0, len(squares) - limit)
        return squares[:limit]
