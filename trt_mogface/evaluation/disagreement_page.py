"""What two detectors disagree on as one HTML page: numbers, plots, the worst pictures with both's boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_mogface.detections import Detections
from trt_mogface.errors import ImageError
from trt_mogface.evaluation.average_precision import MATCH_IOU
from trt_mogface.evaluation.disagreement import Disagreement, summary
from trt_mogface.evaluation.matching import match
from trt_mogface.images import read_image
from trt_mogface.reporting.drawing import Color, extent, label
from trt_mogface.reporting.html import Section, page, picture, plot, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST_SIDE = 900
"""Of a picture in the page, in pixels."""

# Okabe and Ito's colors, which the color-blind tell apart; BGR.
BOTH = (115, 158, 0)
ONLY_A = (178, 114, 0)
ONLY_B = (0, 94, 213)
LEGEND = (("found by both (each side's box)", BOTH), ("only A", ONLY_A), ("only B", ONLY_B))

PAPER = (255, 255, 255)
BINS = 40

HEAD = ("picture", "disagrees", "both", "only A", "only B", "IoU", "scores")

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture's faces by A and by B, and how far apart they are; its pixels are read when drawn."""

    path: Path
    a: Detections
    b: Detections
    found: Disagreement

    def row(self) -> tuple[str, ...]:
        """The cells under `HEAD`."""
        numbers = self.found.to_dict()
        iou, scores = (
            "-" if value is None else f"{value:.3f}"
            for value in (numbers["iou"], numbers["score_difference"])
        )
        counts = (str(numbers[name]) for name in ("matched", "only_a", "only_b"))
        return (str(self.path), f"{self.found.amount:.3f}", *counts, iou, scores)


def disagreement_page(
    a: str, b: str, total: Disagreement, pictures: int, worst: Sequence[Picture], unusable: Sequence[str] = ()
) -> str:
    """The page, to be written as UTF-8.

    Args:
        a, b: What the two are called.
        total: On all pictures.
        pictures: Their number.
        worst: Those to be shown, worst first.
        unusable: What was wrong with each picture that is not among them.

    Raises:
        MissingExtraError: See `trt_mogface.reporting.html.check_packages`.
    """
    sections = [
        Section(text=f"A is {a}"),
        Section(text=f"B is {b}", parts=[table(["", ""], summary(total, pictures))]),
        *_plots(total),
        *_overview(worst),
        *map(_shown, worst),
    ]
    if unusable:
        sections.append(Section("Not compared", parts=[table([""], [(reason,) for reason in unusable])]))
    text = page(f"{a} and {b} compared", sections)
    # The name of a file need not be text.
    return text.encode("utf-8", "backslashreplace").decode()


def drawn(image: Image, a: Detections, b: Detections) -> Image:
    """A picture, scaled down to `LONGEST_SIDE`, with the boxes of A and B in the colors of `LEGEND`.

    Args:
        image: uint8 [H, W, 3], BGR.
        a, b: Faces in its pixels.
    """
    scale = min(1.0, LONGEST_SIDE / max(image.shape[:2]))
    canvas = _scaled(image, scale)
    boxes_a, boxes_b = a.clip().xyxy * scale, b.clip().xyxy * scale
    pairs = match(a.xyxy, b.xyxy)
    for i, j in zip(pairs.a, pairs.b):
        _outline(canvas, boxes_a[i], BOTH, 1)
        _outline(canvas, boxes_b[j], BOTH, 1)
        _label(canvas, boxes_a[i], f"{a.confidence[i]:.2f} {b.confidence[j]:.2f}", BOTH)
    # Last, so that nothing hides what one side misses.
    for faces, boxes, paired, color in ((a, boxes_a, pairs.a, ONLY_A), (b, boxes_b, pairs.b, ONLY_B)):
        for index in np.delete(np.arange(len(faces)), paired):
            _outline(canvas, boxes[index], color, 2)
            _label(canvas, boxes[index], f"{faces.confidence[index]:.2f}", color)
    return canvas


def _plots(total: Disagreement) -> list[Section]:
    return [Section("Faces that both found", parts=[plot(_histograms(total))])] if total.matched else []


def _histograms(total: Disagreement) -> Figure:
    """Both in one figure: two SVGs in one page could give two things the same name."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3), layout="constrained")
    scores, overlaps = figure.subplots(1, 2)
    most = max(float(np.abs(total.score_differences).max()), 1e-3)
    scores.hist(total.score_differences, BINS, range=(-most, most), color="tab:blue")
    scores.set_xlabel("score of B less score of A")
    overlaps.hist(total.ious, BINS, range=(MATCH_IOU, 1), color="tab:blue")
    overlaps.set_xlabel("IoU of A's and B's box")
    for axes in (scores, overlaps):
        axes.set_ylabel("faces")
        axes.set_yscale("symlog")  # the few far from the others are what one looks for
    return figure


def _overview(worst: Sequence[Picture]) -> list[Section]:
    if not worst:
        return []
    text = (
        "A picture's disagreement is the sum over all faces of how far apart the two scores are, where a "
        "face that was not found scores 0, and of 1 - IoU for those that both found. IoU and scores are "
        "means over the latter, which are labeled with A's score and B's."
    )
    rows = [each.row() for each in worst]
    return [Section("Pictures, worst first", text, [table(HEAD, rows), picture(_legend(), "legend")])]


def _shown(each: Picture) -> Section:
    found = each.found
    text = f"{found.matched} found by both, {found.only_a} only by A, {found.only_b} only by B"
    try:
        image = read_image(each.path)
    except ImageError as error:  # it was there when it was compared
        return Section(str(each.path), f"{text}; {error}")
    if image.shape[:2] != each.a.image_size:
        return Section(str(each.path), f"{text}; the file has changed since it was compared")
    return Section(str(each.path), text, [picture(drawn(image, each.a, each.b), str(each.path))])


def _scaled(image: Image, scale: float) -> Image:
    """A copy of an image."""
    if scale == 1:
        return np.array(image, order="C")
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _outline(canvas: Image, box: Floats, color: Color, thickness: int) -> None:
    x0, y0, x1, y1 = box.round().astype(int).tolist()
    cv2.rectangle(canvas, (x0, y0), (x1, y1), color, thickness)


def _label(canvas: Image, box: Floats, text: str, color: Color) -> None:
    """Text above a box; none on a face too small for it, which it would hide."""
    x0, y0, x1, _ = box.round().astype(int).tolist()
    if x1 - x0 >= extent(text)[0] / 2:
        label(canvas, text, (x0, y0), 1, color, PAPER)


def _legend() -> Image:
    """The colors and what they stand for, side by side, uint8 [H, W, 3]."""
    legend = np.full((24, 380, 3), PAPER, np.uint8)
    x = 4
    for text, color in LEGEND:
        cv2.rectangle(legend, (x, 6), (x + 12, 18), color, cv2.FILLED)
        label(legend, text, (x + 18, 20), 1, PAPER)
        x += 36 + extent(text)[0]
    return legend
