"""Predictions as WIDER FACE's text files: a name, a count, and a line ``x y w h score`` for each face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from trt_mogface._files import cannot_write, whole_file
from trt_mogface._text import read_lines
from trt_mogface.errors import EvaluationError
from trt_mogface.evaluation.average_precision import Floats
from trt_mogface.evaluation.wider_face import Annotated
from trt_mogface.images import SUFFIXES


@dataclass(frozen=True)
class Predicted:
    """Predictions for one image.

    Attributes:
        boxes: float64 [p, 4], x, y, w, h in pixels of the image.
        scores: float64 [p].
        dropped: Number of candidates that were not finite; above 0 the model is broken.
    """

    boxes: Floats
    scores: Floats
    dropped: int = 0


NOTHING = Predicted(np.empty((0, 4)), np.empty(0))


@dataclass(frozen=True)
class Predictions:
    """Predictions of a folder for a set of images.

    Attributes:
        found: Predictions for each image, in order.
        missing: Images without a file; their faces count as missed.
    """

    found: Sequence[Predicted]
    missing: Sequence[str]


def read_predictions(folder: Path, truth: Sequence[Annotated]) -> Predictions:
    """Read ``FOLDER/EVENT/NAME.txt`` of each image; other files are ignored.

    An empty file stands for an image without predictions.

    Raises:
        EvaluationError: If no image has a file, or a file has a wrong count, a line that is not five numbers
            or a number that is not finite.
    """
    paths = [_existing(prediction_file(folder, image)) for image in truth]
    exist = [path.is_file() for path in paths]
    if not any(exist):
        raise EvaluationError(
            f"{folder}: no predictions for any of the {len(truth)} images; the first file would be "
            f"{paths[0].relative_to(folder)}"
        )
    found = [_read(path) if exists else NOTHING for path, exists in zip(paths, exist)]
    return Predictions(found, [image.key for image, exists in zip(truth, exist) if not exists])


def write_prediction(folder: Path, image: Annotated, predicted: Predicted) -> None:
    """Write ``FOLDER/EVENT/NAME.txt`` with two decimals of a pixel and six of a score.

    Raises:
        OutputError: If the file cannot be written.
    """
    path = prediction_file(folder, image)
    faces = zip(predicted.boxes, predicted.scores)
    lines = ["{:.2f} {:.2f} {:.2f} {:.2f} {:.6f}".format(*box, score) for box, score in faces]
    name = image.key if PurePosixPath(image.name).suffix.lower() in SUFFIXES else f"{image.key}.jpg"
    text = "\n".join([name, str(len(lines)), *lines, ""])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    with whole_file(path, durable=False) as temporary:  # the disk would be waited for thousands of times
        temporary.write_text(text, encoding="utf-8")


def has_prediction(folder: Path, image: Annotated) -> bool:
    """Return whether an image has a whole file that `write_prediction` has written."""
    path = prediction_file(folder, image)
    try:
        _read(path)
        return path.read_bytes().endswith(b"\n")  # an empty file may be the work of a power failure
    except (EvaluationError, OSError):
        return False


def _existing(path: Path) -> Path:
    """Return a file, or the one whose extension has capitals if only that exists."""
    other = path.with_name(f"{path.name.removesuffix('.txt')}.TXT")
    return other if other.is_file() and not path.is_file() else path


def prediction_file(folder: Path, image: Annotated) -> Path:
    """Return the path ``FOLDER/EVENT/NAME.txt``."""
    return folder / image.event / f"{image.name}.txt"


def _read(path: Path) -> Predicted:
    try:
        lines = read_lines(path)
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path}: cannot be read ({error})") from error
    if not lines:
        return NOTHING
    count, rows = lines[1] if len(lines) > 1 else "none", lines[2:]
    if count != str(len(rows)):
        raise EvaluationError(f"{path}: the second line says {count:.20} faces, {len(rows)} lines follow")
    try:
        values = np.array([row.split() for row in rows], np.float64).reshape(len(rows), 5)
    except ValueError as error:
        raise EvaluationError(f"{path}: a line is not `x y w h score`") from error
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise EvaluationError(f"{path}: line {row + 3} has a number that is not finite: {rows[row]:.80}")
    return Predicted(values[:, :4], values[:, 4])
