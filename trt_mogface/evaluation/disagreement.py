"""Differences between the faces of two detectors, on one image and in sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_mogface.detections import Detections
from trt_mogface.evaluation.average_precision import as_xywh
from trt_mogface.evaluation.matching import match
from trt_mogface.reference.decode import Floats


@dataclass(frozen=True, eq=False)
class Disagreement:
    """Differences between detectors A and B on the same images: numbers only, some 30 bytes a face.

    Attributes:
        ious: float32 [m], IoU of the two boxes of a face that both found.
        score_differences: float32 [m], B's score minus A's.
        coordinate_differences: float32 [m, 4], absolute differences of x0, y0, x1, y1 in pixels.
        sizes: float32 [m], side in pixels of a square of the two boxes' mean area.
        only_a_scores, only_b_scores: float32 [n], scores of faces that only one of the two found.
        dropped_a, dropped_b: Number of candidates that were not finite; above 0 the model is broken.
    """

    ious: Floats
    score_differences: Floats
    coordinate_differences: Floats
    sizes: Floats
    only_a_scores: Floats
    only_b_scores: Floats
    dropped_a: int = 0
    dropped_b: int = 0

    @property
    def matched(self) -> int:
        """Number of faces that both found."""
        return len(self.ious)

    @property
    def only_a(self) -> int:
        """Number of faces that only A found."""
        return len(self.only_a_scores)

    @property
    def only_b(self) -> int:
        """Number of faces that only B found."""
        return len(self.only_b_scores)

    @property
    def relative_differences(self) -> Floats:
        """`coordinate_differences` as fractions of the faces' sizes, float32 [m, 4]."""
        return self.coordinate_differences / self.sizes[:, None]

    @property
    def amount(self) -> float:
        """Amount of disagreement, to rank images by.

        The sum of the score differences over all faces, where a face that was not found scores 0, and of
        1 - IoU over the faces that both found.
        """
        parts = (np.abs(self.score_differences), 1 - self.ious, self.only_a_scores, self.only_b_scores)
        return float(sum(part.sum(dtype=np.float64) for part in parts))

    def to_dict(self) -> dict[str, float | None]:
        """Return plain numbers; a mean or a maximum over no face is None."""
        return {
            "faces_a": self.matched + self.only_a,
            "faces_b": self.matched + self.only_b,
            "matched": self.matched,
            "only_a": self.only_a,
            "only_b": self.only_b,
            "iou": _mean(self.ious),
            "score_difference": _mean(np.abs(self.score_differences)),
            "score_difference_max": _max(np.abs(self.score_differences)),
            "coordinate_difference": _mean(self.coordinate_differences),
            "coordinate_difference_max": _max(self.coordinate_differences),
            "relative_difference": _mean(self.relative_differences),
            "relative_difference_max": _max(self.relative_differences),
            "dropped_a": self.dropped_a,
            "dropped_b": self.dropped_b,
            "disagreement": self.amount,
        }


def disagreement(a: Detections, b: Detections) -> Disagreement:
    """Compare the faces of two detectors on one image, matched by `trt_mogface.evaluation.matching`.

    Raises:
        ValueError: If the images differ in size, so they are not the same.
    """
    if a.image_size != b.image_size:
        raise ValueError(f"images differ in size: {a.image_size}, {b.image_size}")
    pairs = match(a.xyxy, b.xyxy)
    boxes_a, boxes_b = a.xyxy[pairs.a], b.xyxy[pairs.b]
    return Disagreement(
        ious=pairs.ious.astype(np.float32),
        score_differences=b.confidence[pairs.b] - a.confidence[pairs.a],
        coordinate_differences=np.abs(boxes_b - boxes_a),
        sizes=np.sqrt((_areas(boxes_a) + _areas(boxes_b)) / 2).astype(np.float32),
        only_a_scores=np.delete(a.confidence, pairs.a),
        only_b_scores=np.delete(b.confidence, pairs.b),
        dropped_a=a.dropped,
        dropped_b=b.dropped,
    )


def in_sum(parts: Sequence[Disagreement]) -> Disagreement:
    """Return the disagreement on all images together, each face of the same weight."""
    none = np.empty(0, np.float32)
    empty = Disagreement(none, none, none.reshape(0, 4), none, none, none)
    *arrays, dropped_a, dropped_b = zip(*(vars(part).values() for part in (empty, *parts)))
    joined: list[Any] = [*map(np.concatenate, arrays), sum(dropped_a), sum(dropped_b)]
    return Disagreement(*joined)


def summary(total: Disagreement, images: int) -> list[tuple[str, str]]:
    """Return a disagreement in words and numbers, as the rows of a table."""
    numbers = total.to_dict()
    rows = [
        ("images", str(images)),
        ("faces of A", f"{numbers['faces_a']}"),
        ("faces of B", f"{numbers['faces_b']}"),
        ("found by both", _with_share(total.matched, total.matched + total.only_a + total.only_b)),
        ("only A", _with_best(total.only_a_scores)),
        ("only B", _with_best(total.only_b_scores)),
    ]
    if total.matched:
        rows += [
            ("mean IoU", f"{numbers['iou']:.4f}"),
            ("score difference", _mean_and_max(np.abs(total.score_differences), ".4f")),
            ("coordinate difference, px", _mean_and_max(total.coordinate_differences, ".2f")),
            ("coordinate difference, of the face's size", _mean_and_max(total.relative_differences, ".2%")),
        ]
    if total.dropped_a or total.dropped_b:
        rows.append(("candidates not finite", f"{total.dropped_a} of A, {total.dropped_b} of B"))
    return rows


def _mean(values: Floats) -> float | None:
    return float(values.mean(dtype=np.float64)) if values.size else None


def _max(values: Floats) -> float | None:
    return float(values.max()) if values.size else None


def _areas(boxes: Floats) -> NDArray[np.float64]:
    """Return areas, float64 [n], with the + 1 convention of the IoU: positive for every matched box."""
    areas: NDArray[np.float64] = (as_xywh(boxes)[:, 2:] + 1).prod(axis=1)
    return areas


def _with_share(count: int, total: int) -> str:
    return f"{count} of {total} ({count / total:.1%})" if total else "0"


def _with_best(scores: Floats) -> str:
    return f"{len(scores)}, best score {scores.max():.3f}" if scores.size else "0"


def _mean_and_max(values: Floats, form: str) -> str:
    return f"mean {values.mean(dtype=np.float64):{form}}, max {values.max():{form}}"
