"""The record of an evaluation beside its text files, by which another run knows what it may reuse."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trt_mogface._files import cannot_write, write_text
from trt_mogface._url import is_url
from trt_mogface.backends.options import DetectorOptions
from trt_mogface.errors import EvaluationError
from trt_mogface.evaluation.predictions import has_prediction
from trt_mogface.evaluation.procedure import Procedure
from trt_mogface.evaluation.wider_face import Annotated
from trt_mogface.models.files import digest_of

RECORD = "run.jsonl"
"""Name of the file: a line on the model and the options, then one for each image with broken candidates."""


def identity(model: str | Path, procedure: Procedure, options: DetectorOptions) -> dict[str, str]:
    """Return everything that predictions depend on, but the images; a model on a server is its address."""
    chosen = {name: value for name, value in options.items() if name != "threads"}
    known = {"model": str(model)} if is_url(str(model)) else {"model_sha256": digest_of(Path(model))}
    return {
        **known,
        "procedure": repr(procedure),
        "options": repr(sorted(chosen.items())),
    }


def begin(folder: Path, made_by: dict[str, str]) -> None:
    """Begin the record of a new run.

    Raises:
        OutputError: If it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    write_text(folder / RECORD, json.dumps(made_by) + "\n")


def note_dropped(folder: Path, image: Annotated, dropped: int) -> None:
    """Add an image with candidates that were not finite, which its text file does not tell.

    Raises:
        OutputError: If it cannot be written.
    """
    path = folder / RECORD
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"image": image.key, "dropped": dropped}) + "\n")
    except OSError as error:
        raise cannot_write(path, error) from error


def reusable(folder: Path, made_by: dict[str, str], images: Iterable[Annotated]) -> set[str]:
    """Return the keys of the images whose predictions are whole, and those of a sound network.

    Raises:
        EvaluationError: If the predictions are those of another model, or of other options.
    """
    done = {image.key for image in images if has_prediction(folder, image)}
    if not done:
        return done
    found, *broken = _read(folder / RECORD)
    differing = [name for name, value in made_by.items() if found.get(name) != value]
    if differing:
        problem = f"the predictions are those of another run ({', '.join(differing)} differ)"
        raise EvaluationError(f"{folder}: {problem}; choose another folder, or omit --resume")
    return done - {line.get("image") for line in broken}


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if not lines or not all(isinstance(line, dict) for line in lines):
            raise ValueError("not a record")
    except (OSError, ValueError, RecursionError) as error:
        problem = "says not which model made the predictions beside it"
        raise EvaluationError(f"{path}: {problem}; choose another folder, or omit --resume") from error
    return lines
