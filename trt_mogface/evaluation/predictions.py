"""Predictions as WIDER FACE's text files: a name, a count, and a line ``x y w h score`` for each face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trt_mogface.errors import EvaluationError, OutputError
from trt_mogface.evaluation.average_precision import Floats
from trt_mogface.evaluation.wider_face import Annotated


@dataclass(frozen=True)
class Predicted:
    """One picture's predictions.

    Attributes:
        boxes: float64 [p, 4], x, y, w, h in pixels of the picture.
        scores: float64 [p].
    """

    boxes: Floats
    scores: Floats


NOTHING = Predicted(np.empty((0, 4)), np.empty(0))


@dataclass(frozen=True)
class Predictions:
    """What a folder says of a set of pictures.

    Attributes:
        found: For each picture, in order.
        missing: Pictures without a file; their faces count as missed.
    """

    found: Sequence[Predicted]
    missing: Sequence[str]


def read_predictions(folder: Path, truth: Sequence[Annotated]) -> Predictions:
    """Read ``FOLDER/EVENT/NAME.txt`` of each picture; other files are left alone.

    An empty file is a picture without predictions.

    Raises:
        EvaluationError: No file of these pictures at all; one with a wrong count, a line that is not five
            numbers, or a number that is not finite.
    """
    paths = [_path(folder, picture) for picture in truth]
    there = [path.is_file() for path in paths]
    if not any(there):
        raise EvaluationError(
            f"{folder}: holds none of the {len(truth)} pictures' files: {paths[0].relative_to(folder)} "
            "would be the first"
        )
    found = [_read(path) if exists else NOTHING for path, exists in zip(paths, there)]
    return Predictions(found, [picture.key for picture, exists in zip(truth, there) if not exists])


def write_prediction(folder: Path, picture: Annotated, predicted: Predicted) -> None:
    """Write ``FOLDER/EVENT/NAME.txt``: two decimals of a pixel and six of a score.

    Raises:
        OutputError: The place cannot be written.
    """
    path = _path(folder, picture)
    lines = [
        "{:.2f} {:.2f} {:.2f} {:.2f} {:.6f}".format(*box, score)
        for box, score in zip(predicted.boxes, predicted.scores)
    ]
    text = "\n".join([f"{picture.key}.jpg", str(len(lines)), *lines, ""])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not by way of a temporary file: the disk would be waited for thousands of times, and whoever reads a
        # file that was cut off sees it by its count.
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error


def _path(folder: Path, picture: Annotated) -> Path:
    return folder / picture.event / f"{picture.name}.txt"


def _read(path: Path) -> Predicted:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{path}: cannot be read ({error})") from error
    lines = [line for line in lines if line.strip()]
    if not lines:
        return NOTHING
    count, rows = lines[1].strip() if len(lines) > 1 else "none", lines[2:]
    if count != str(len(rows)):
        raise EvaluationError(f"{path}: its second line says {count:.20} faces, {len(rows)} lines follow")
    try:
        values = np.array([row.split() for row in rows], np.float64).reshape(len(rows), 5)
    except ValueError as error:
        raise EvaluationError(f"{path}: a line is not `x y w h score`") from error
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise EvaluationError(f"{path}: line {row + 3} holds a number that is not finite: {rows[row]:.80}")
    return Predicted(values[:, :4], values[:, 4])
