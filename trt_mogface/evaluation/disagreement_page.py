"""HTML page of a comparison: numbers, plots, and the worst images with the boxes of both detectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from trt_mogface.detections import Detections
from trt_mogface.errors import ImageError
from trt_mogface.evaluation.average_precision import MATCH_IOU
from trt_mogface.evaluation.disagreement import Disagreement, summary
from trt_mogface.evaluation.matching import match
from trt_mogface.frame import Image
from trt_mogface.images import read_image
from trt_mogface.reference.decode import Floats
from trt_mogface.reporting.drawing import Color, extent, label
from trt_mogface.reporting.html import Section, page, picture, plot, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST_SIDE = 900
"""Longest side of an image in the page, in pixels."""

# Colors of Okabe and Ito, distinguishable with color blindness; BGR.
BOTH = (115, 158, 0)
ONLY_A = (178, 114, 0)
ONLY_B = (0, 94, 213)
LEGEND = (("found by both (each side's box)", BOTH), ("only A", ONLY_A), ("only B", ONLY_B))

PAPER = (255, 255, 255)
BINS = 40

HEAD = ("image", "disagreement", "both", "only A", "only B", "IoU", "scores")
OVERVIEW = (
    "The disagreement of an image is the sum of the score differences over all faces, where a face that "
    "was not found scores 0, and of 1 - IoU over the faces that both found. IoU and scores are means "
    "over the faces that both found, which are labeled with A's score and B's."
)


@dataclass(frozen=True, eq=False)
class ComparedImage:
    """Faces of one image by A and by B, and their differences; its pixels are read when drawn."""

    path: Path
    a: Detections
    b: Detections
    found: Disagreement

    def row(self) -> tuple[str, ...]:
        """Return the cells under `HEAD`."""
        numbers = self.found.to_dict()
        counts = (str(numbers[name]) for name in ("matched", "only_a", "only_b"))
        means = (numbers["iou"], numbers["score_difference"])
        cells = ("-" if value is None else f"{value:.3f}" for value in means)
        return (str(self.path), f"{self.found.amount:.3f}", *counts, *cells)


def disagreement_page(
    a: str,
    b: str,
    total: Disagreement,
    images: int,
    worst: Sequence[ComparedImage],
    unusable: Sequence[str] = (),
) -> str:
    """Return the page, to be written as UTF-8.

    Args:
        a, b: Names of the two detectors.
        total: Disagreement on all images.
        images: Number of images compared.
        worst: Images to show, worst first.
        unusable: Message for each image that could not be compared.

    Raises:
        MissingExtraError: If Jinja2 or matplotlib is not installed.
    """
    sections = [
        Section(text=f"A is {a}"),
        Section(text=f"B is {b}", parts=[table(["", ""], summary(total, images))]),
    ]
    if total.matched:
        sections.append(Section("Faces that both found", parts=[plot(_histograms(total))]))
    if worst:
        parts = [table(HEAD, [each.row() for each in worst]), picture(_legend(), "legend")]
        sections += [Section("Images, worst first", OVERVIEW, parts), *map(_shown, worst)]
    if unusable:
        sections.append(Section("Not compared", parts=[table([""], [(reason,) for reason in unusable])]))
    text = page(f"{a} and {b} compared", sections)
    # The name of a file need not be valid text.
    return text.encode("utf-8", "backslashreplace").decode()


def drawn(image: Image, a: Detections, b: Detections) -> Image:
    """Return an image, scaled down to `LONGEST_SIDE`, with the boxes of A and B in the colors of `LEGEND`."""
    scale = min(1.0, LONGEST_SIDE / max(image.shape[:2]))
    canvas = _scaled(image, scale)
    boxes_a, boxes_b = a.clip().xyxy * scale, b.clip().xyxy * scale
    pairs = match(a.xyxy, b.xyxy)
    for i, j in zip(pairs.a, pairs.b):
        _outline(canvas, boxes_a[i], BOTH, 1)
        _outline(canvas, boxes_b[j], BOTH, 1)
        _label(canvas, boxes_a[i], f"{a.confidence[i]:.2f} {b.confidence[j]:.2f}", BOTH)
    # Last, so that nothing hides the faces that one side misses.
    for faces, boxes, paired, color in ((a, boxes_a, pairs.a, ONLY_A), (b, boxes_b, pairs.b, ONLY_B)):
        for index in np.delete(np.arange(len(faces)), paired):
            _outline(canvas, boxes[index], color, 2)
            _label(canvas, boxes[index], f"{faces.confidence[index]:.2f}", color)
    return canvas


def _histograms(total: Disagreement) -> Figure:
    """Return one figure of two plots: the element names of two SVGs could collide in one page."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3), layout="constrained")
    scores, overlaps = figure.subplots(1, 2)
    most = max(float(np.abs(total.score_differences).max()), 1e-3)
    scores.hist(total.score_differences, BINS, range=(-most, most), color="tab:blue")
    scores.set_xlabel("score of B minus score of A")
    overlaps.hist(total.ious, BINS, range=(MATCH_IOU, 1), color="tab:blue")
    overlaps.set_xlabel("IoU of A's and B's box")
    for axes in (scores, overlaps):
        axes.set_ylabel("faces")
        axes.set_yscale("symlog")  # outliers are few, and of interest
    return figure


def _shown(each: ComparedImage) -> Section:
    found = each.found
    text = f"{found.matched} found by both, {found.only_a} only by A, {found.only_b} only by B"
    try:
        image = read_image(each.path)
    except ImageError as error:  # it was readable when it was compared
        return Section(str(each.path), f"{text}; {error}")
    if image.shape[:2] != each.a.image_size:
        return Section(str(each.path), f"{text}; the file has changed since it was compared")
    return Section(str(each.path), text, [picture(drawn(image, each.a, each.b), str(each.path))])


def _scaled(image: Image, scale: float) -> Image:
    """Return a scaled copy."""
    if scale == 1:
        return np.array(image, order="C")
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _outline(canvas: Image, box: Floats, color: Color, thickness: int) -> None:
    x0, y0, x1, y1 = box.round().astype(int).tolist()
    cv2.rectangle(canvas, (x0, y0), (x1, y1), color, thickness)


def _label(canvas: Image, box: Floats, text: str, color: Color) -> None:
    """Write a text above a box, unless the face is so small that the text would hide it."""
    x0, y0, x1, _ = box.round().astype(int).tolist()
    if x1 - x0 >= extent(text)[0] / 2:
        label(canvas, text, (x0, y0), 1, color, PAPER)


def _legend() -> Image:
    """Return the colors and their meanings side by side, uint8 [H, W, 3]."""
    legend = np.full((24, 380, 3), PAPER, np.uint8)
    x = 4
    for text, color in LEGEND:
        cv2.rectangle(legend, (x, 6), (x + 12, 18), color, cv2.FILLED)
        label(legend, text, (x + 18, 20), 1, PAPER)
        x += 36 + extent(text)[0]
    return legend
