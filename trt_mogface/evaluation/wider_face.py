"""Ground truth of WIDER FACE: the official MATLAB files, or the same facts as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from trt_mogface._text import as_path, read_lines, read_text
from trt_mogface.errors import EvaluationError, first_line
from trt_mogface.evaluation.average_precision import Flags, Floats
from trt_mogface.evaluation.matlab import read_matlab
from trt_mogface.images import SUFFIXES

T = TypeVar("T")

SETTINGS = ("easy", "medium", "hard")

UNUSABLE = (ValueError, msgspec.MsgspecError, RecursionError)
"""Exceptions of a text that is not the expected JSON."""

MAX_NAME = 240
"""Bytes of a name with a suffix to come; file systems take 255."""

MAX_COORDINATE = 1e7
"""Largest magnitude of a coordinate in pixels; the squares of larger ones would lose their meaning."""


@dataclass(frozen=True)
class Annotated:
    """Annotated faces of one image.

    Attributes:
        event: Folder of the image.
        name: File name without suffix.
        faces: float64 [f, 4], x, y, w, h in pixels of the image.
        counted: Flags by setting, bool [f]: whether a face counts in it.
    """

    event: str
    name: str
    faces: Floats
    counted: Mapping[str, Flags]

    @property
    def key(self) -> str:
        """``EVENT/NAME``, unique within the ground truth."""
        return f"{self.event}/{self.name}"


class _Name(msgspec.Struct):
    """Names of an image in JSON; other fields are ignored."""

    event: str
    file: str


class _Entry(_Name):
    """An image in JSON; the settings list faces that count, from 0."""

    boxes_xywh: list[tuple[float, float, float, float]]
    easy: list[int]
    medium: list[int]
    hard: list[int]


def read_ground_truth(path: Path) -> list[Annotated]:
    """Read the annotated faces of every image.

    Args:
        path: Folder with ``wider_face_val.mat`` and ``wider_{easy,medium,hard}_val.mat``, or a JSON file: a
            list of ``{"event", "file", "boxes_xywh": [[x, y, w, h], ...], "easy": [0-based, ...], ...}``.

    Raises:
        EvaluationError: If a file is missing or has another form.
    """
    read: Callable[[Path], Iterator[Annotated]] = (
        _from_json if path.suffix.lower() == ".json" else _from_matlab
    )
    try:
        images = list(read(path))
    except (*UNUSABLE, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise EvaluationError(
            f"{path}: not WIDER FACE's ground truth ({type(error).__name__}: {error!s:.80}); give the folder "
            "of wider_face_val.mat and wider_{easy,medium,hard}_val.mat"
        ) from error
    if not images:
        raise EvaluationError(f"{path}: the ground truth names no image")
    name, times = Counter(image.key for image in images).most_common(1)[0]
    if times > 1:
        raise EvaluationError(f"{path}: the ground truth names {name} {times} times; leave one entry")
    return images


def ground_truth_files(path: Path) -> list[Path]:
    """Return the files that `read_ground_truth` reads."""
    if path.suffix.lower() == ".json":
        return [path]
    return [path / f"wider_{name}_val.mat" for name in ("face", *SETTINGS)]


def read_subset(path: Path, truth: Sequence[Annotated]) -> list[Annotated]:
    """Return the part of the ground truth that a file names.

    Args:
        path: Text file with a line ``EVENT/NAME`` for each image, with or without extension, or a JSON file
            as for `read_ground_truth`, of which only the names are read.
        truth: Annotated faces of all images.

    Raises:
        EvaluationError: If the file is unreadable, names no image, or names an unknown one.
    """
    if path.suffix.lower() == ".json":
        text = _read(path, read_text)
        try:
            names = [f"{entry.event}/{entry.file}" for entry in msgspec.json.decode(text, type=list[_Name])]
        except UNUSABLE as error:
            raise EvaluationError(f"{path}: not a JSON list of images with event and file") from error
    else:
        names = [as_path(line) for line in _read(path, read_lines)]
    known = {image.key: image for image in truth}
    names = [name if name in known else _without_suffix(name) for name in names]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        problem = f"{unknown[0]!r:.120} is not in the ground truth" if unknown else "it names no image"
        raise EvaluationError(f"{path}: {problem}; write a line EVENT/NAME for each image")
    return [known[name] for name in dict.fromkeys(names)]


def _without_suffix(name: str) -> str:
    path = Path(name)
    return name.removesuffix(path.suffix) if path.suffix.lower() in SUFFIXES else name


def _from_matlab(folder: Path) -> Iterator[Annotated]:
    names = "event_list", "file_list", "face_bbx_list"
    events, files, boxes = _matlab(folder / "wider_face_val.mat", *names)
    lists = {setting: _matlab(folder / f"wider_{setting}_val.mat", "gt_list")[0] for setting in SETTINGS}
    for at, event in enumerate(events[:, 0]):
        for row, name in enumerate(files[at, 0][:, 0]):
            faces = _boxes(boxes[at, 0][row, 0])
            # MATLAB counts from 1.
            indices = {key: rows[at, 0][row, 0].ravel().astype(np.int64) - 1 for key, rows in lists.items()}
            counted = {setting: _flags(found, len(faces)) for setting, found in indices.items()}
            yield Annotated(_name(event), _name(name), faces, counted)


def _matlab(path: Path, *names: str) -> list[Any]:
    """Return variables of a file."""
    if not path.is_file():
        raise EvaluationError(
            f"{path}: no such file; the ground truth comes with WIDER FACE's evaluation code"
        )
    try:
        content = read_matlab(path, names)
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path}: not a MATLAB file ({first_line(error)})") from error
    return [content[name] for name in names]


def _from_json(path: Path) -> Iterator[Annotated]:
    for entry in msgspec.json.decode(_read(path, read_text), type=list[_Entry]):
        faces = _boxes(entry.boxes_xywh)
        counted = {name: _flags(np.array(getattr(entry, name), np.int64), len(faces)) for name in SETTINGS}
        yield Annotated(_name(entry.event), _name(entry.file), faces, counted)


def _name(text: object) -> str:
    """Return the name of an event or an image, which becomes part of paths."""
    if (
        not isinstance(text, str)
        or text in ("", ".", "..")
        or not text.isprintable()
        or len(text.encode()) > MAX_NAME
        or any(separator in text for separator in "/\\")
    ):
        raise ValueError(f"{text!r:.40} is not the name of a file")
    return text


def _read(path: Path, read: Callable[[Path], T]) -> T:
    try:
        return read(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise EvaluationError(f"{path}: cannot be read ({reason})") from error


def _boxes(values: object) -> Floats:
    boxes = np.asarray(values, np.float64).reshape(-1, 4)
    if not (np.abs(boxes) <= MAX_COORDINATE).all():
        raise ValueError("a box is not finite, or larger than any image")
    return boxes


def _flags(indices: Any, count: int) -> Flags:
    if indices.size and not 0 <= indices.min() <= indices.max() < count:
        raise ValueError("a list names a face that its image does not have")
    return np.isin(np.arange(count), indices)
