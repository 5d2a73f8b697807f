"""HTML page of a comparison: numbers, plots, and the worst images with the boxes of both detectors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
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
from trt_mogface.reporting.html import (
    Box,
    Section,
    bullets,
    facts,
    legend,
    link,
    page,
    photo,
    plot,
    plots,
    table,
)
from trt_mogface.reporting.plots import fit_counts

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes

LONGEST_SIDE = 1600
"""Longest side of an image in the page, in pixels."""

FULL_SIZE = 60
"""Images that are shown at `LONGEST_SIDE`; more are smaller, so that the page does not grow."""

SHORTEST = 320
"""Longest side below which no image is scaled, however many there are."""

BOTH, ONLY_A, ONLY_B = "both", "only-a", "only-b"
LEGEND = ((BOTH, "found by both: the boxes of A and B"), (ONLY_A, "only by A"), (ONLY_B, "only by B"))

MOST_BINS = 41
FEWEST_BINS = 9

HEAD = ("image", "disagreement", "both", "only A", "only B", "IoU", "scores")
OVERVIEW = (
    "The disagreement of an image is the sum of the score differences over all faces, where a face that "
    "was not found scores 0, and of 1 - IoU over the faces that both found. IoU and scores are means "
    "over the faces that both found, which are labeled with A's score and B's. Click a photo, or press "
    "Enter on it, to enlarge it."
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
        Section(parts=[facts("Detectors", [("A", a), ("B", b)])]),
        Section("Faces of A and B", parts=[facts("Counts and differences", summary(total, images))]),
    ]
    if total.matched:
        sections.append(Section("Faces that both found", parts=[_histograms(total)]))
    if worst:
        rows = [(link(row[0], _anchor(i)), *row[1:]) for i, row in enumerate(each.row() for each in worst)]
        parts = [table("Images, worst first", HEAD, rows), legend(LEGEND)]
        side = longest_side(len(worst))
        sections.append(Section("Images", OVERVIEW, parts))
        sections += [_shown(each, _anchor(i), side) for i, each in enumerate(worst)]
    if unusable:
        sections.append(Section("Images that were not compared", parts=[bullets(unusable)]))
    return page(f"{a} and {b} compared", sections)


def longest_side(images: int) -> int:
    """Return the longest side of an image in a page of this many, in pixels."""
    return max(SHORTEST, round(LONGEST_SIDE * math.sqrt(min(1, FULL_SIZE / images))))


def boxes(a: Detections, b: Detections) -> Iterator[Box]:
    """Yield the boxes of A and B; last, so that nothing hides them, the faces that one side misses."""
    corners_a, corners_b = _fractions(a), _fractions(b)
    pairs = match(a.xyxy, b.xyxy)
    for i, j in zip(pairs.a.tolist(), pairs.b.tolist()):
        yield _box(BOTH, corners_b[j], "")
        yield _box(BOTH, corners_a[i], f"{a.confidence[i]:.2f} {b.confidence[j]:.2f}")
    for kind, faces, corners, paired in ((ONLY_A, a, corners_a, pairs.a), (ONLY_B, b, corners_b, pairs.b)):
        for index in np.delete(np.arange(len(faces)), paired).tolist():
            yield _box(kind, corners[index], f"{kind[-1].upper()} {faces.confidence[index]:.2f}")


def _fractions(faces: Detections) -> Floats:
    """Return x0, y0, x1, y1 in fractions of the image's sides, float32 [n, 4]."""
    height, width = faces.image_size
    sides = np.array([width, height, width, height], np.float32)
    return (faces.clip().xyxy / sides).astype(np.float32)


def _box(kind: str, corners: Floats, label: str) -> Box:
    x0, y0, x1, y1 = corners.tolist()
    return Box(kind, (x0, y0, x1, y1), label)


def _anchor(number: int) -> str:
    return f"image-{number + 1}"


def _histograms(total: Disagreement) -> Markup:
    faces = f"of the {total.matched} faces that both found"
    most = max(float(np.abs(total.score_differences).max()), 1e-3)

    def scores(axes: Axes) -> None:
        _histogram(axes, total.score_differences, (-most, most), "score of B minus score of A")

    def overlaps(axes: Axes) -> None:
        _histogram(axes, total.ious, (MATCH_IOU, 1), "IoU")

    differences = f"Histogram of the score differences {faces}: at most {most:.4f}."
    ious = f"Histogram of the IoU {faces}: at least {total.ious.min():.4f}."
    return plots(
        [
            plot(scores, f"Score differences {faces}", differences),
            plot(overlaps, f"IoU of the boxes {faces}", ious),
        ]
    )


def _histogram(axes: Axes, values: Floats, ends: tuple[float, float], across: str) -> None:
    # An odd number, so that zero is the middle of a bin.
    bins = int(np.clip(2 * math.isqrt(len(values)) + 1, FEWEST_BINS, MOST_BINS))
    counts, _, _ = axes.hist(values, bins, range=ends)
    axes.set(xlabel=across, ylabel="faces", xlim=ends)
    axes.locator_params(axis="x", nbins=5)
    axes.grid(axis="y")
    fit_counts(axes, np.asarray(counts).tolist())


def _shown(each: ComparedImage, anchor: str, side: int) -> Section:
    found, name = each.found, str(each.path)
    text = f"{found.matched} found by both, {found.only_a} only by A, {found.only_b} only by B"
    try:
        image = read_image(each.path)
    except ImageError as error:  # it was readable when it was compared
        return Section(name, f"{text}; {error}", (), anchor, is_listed=False)
    if image.shape[:2] != each.a.image_size:
        return Section(
            name, f"{text}; the file has changed since it was compared", (), anchor, is_listed=False
        )
    shown = photo(_scaled(image, side), boxes(each.a, each.b), name)
    return Section(name, text, [shown], anchor, is_listed=False)


def _scaled(image: Image, side: int) -> Image:
    """Return an image whose longest side is at most `side`."""
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    height, width = (max(1, round(length * scale)) for length in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
