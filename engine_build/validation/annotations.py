"""Annotated faces, in the form of WIDER FACE's ``wider_face_val_bbx_gt.txt``, and AP by face size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from trt_mogface.errors import ImageError
from trt_mogface.evaluation.average_precision import SCORES, Floats, ImageResult, as_xywh, average_precision
from trt_mogface.evaluation.face_sizes import SIZES, of_size
from trt_mogface.reference.select import Selection

SMALLEST = 2.0
"""Longer side in pixels of the network input below which a face does not count."""

Annotations = Mapping[str, Floats]


def read_annotations(path: Path) -> Annotations:
    """Read annotated faces.

    Returns:
        float64 [n, 4], x, y, width, height in pixels of the image, by file name without folder.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(f"{path}: the annotations cannot be read ({error})") from error
    found: dict[str, Floats] = {}
    rows = iter(line.strip() for line in lines if line.strip())
    try:
        for name in rows:
            count = int(next(rows))
            # An image without faces still has one line, of zeros.
            boxes = [_box(next(rows)) for _ in range(max(count, 1))]
            found[Path(name).name] = np.array(boxes[:count], np.float64).reshape(-1, 4)
            if count < 0:
                raise ValueError("a negative count")
    except (ValueError, StopIteration) as error:
        raise ImageError(
            f"{path}: not in WIDER FACE's form; use a name, a count, and a line `x y w h` for each face"
        ) from error
    return found


def _box(line: str) -> list[float]:
    values = [float(value) for value in line.split()[:4]]
    if len(values) != 4 or not np.isfinite(values).all():
        raise ValueError("not four numbers")
    return values


def ap_by_size(
    names: Sequence[str],
    scales: Sequence[tuple[float, float]],
    found: Sequence[Selection],
    truth: Annotations,
) -> dict[str, float]:
    """Compute the AP of all annotated faces and of each class of `SIZES`, by size in the network input.

    Args:
        names: File name of each image.
        scales: Network pixels per image pixel, across and down, of each image.
        found: Candidates of each image, in pixels of the network input.
        truth: Annotated faces.

    Returns:
        AP by ``all`` and class; classes without a face are left out.
    """
    figures = {}
    for label in ("all", *SIZES):
        results = []
        for name, scale, selection in zip(names, scales, found):
            faces = truth.get(name, np.empty((0, 4))) * (scale * 2)
            counted = faces[:, 2:].max(axis=1, initial=0) >= SMALLEST
            if label != "all":
                counted &= of_size(faces, label)
            scores = selection.scores.astype(np.float64)
            results.append(ImageResult(as_xywh(selection.boxes), scores, faces, counted))
        if any(result.counted.any() for result in results):
            figures[label] = average_precision(results, SCORES)
    return figures
