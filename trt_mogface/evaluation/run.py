"""Evaluate a detector, or a folder of predictions, on annotated images."""

from __future__ import annotations

import dataclasses
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trt_mogface.backends.options import DetectorOptions
from trt_mogface.detector import Detector
from trt_mogface.errors import EvaluationError, ImageError
from trt_mogface.evaluation.detecting import Failed, at_a_time, detect_all
from trt_mogface.evaluation.evaluation import Evaluation, evaluate
from trt_mogface.evaluation.hints import hints
from trt_mogface.evaluation.predictions import (
    Predicted,
    prediction_file,
    read_predictions,
    write_prediction,
)
from trt_mogface.evaluation.procedure import Procedure
from trt_mogface.evaluation.resuming import begin, identity, note_dropped, reusable
from trt_mogface.evaluation.wider_face import Annotated
from trt_mogface.images import SUFFIXES

Results = Iterable[Predicted | Failed]

Watch = Callable[[Results, str, int], Results]
"""Passes results through, such as to show progress under a label; the number is that of the images."""


@dataclass(frozen=True)
class Row:
    """One evaluation.

    Attributes:
        label: What was evaluated.
        result: Figures.
        missing: Images without a file of predictions; their faces count as missed.
        seconds: Time of the detection; None if predictions were read.
        dropped: Number of candidates that were not finite; above 0 the model is broken.
        failed: Reason for each image that could not be used, by file; their faces count as missed too.
        hints: Likely mistakes in the ground truth or the predictions.
    """

    label: str
    result: Evaluation
    missing: Sequence[str] = ()
    seconds: float | None = None
    dropped: int = 0
    failed: Mapping[Path, str] = field(default_factory=dict)
    hints: Sequence[str] = ()

    def to_dict(self) -> dict[str, object]:
        """Return the figures as plain data, for JSON."""
        found = self.result
        figures = {"ap": found.ap, "faces": dict(found.faces), "images": found.images, "boxes": found.boxes}
        more = {"missing": list(self.missing), "seconds": self.seconds, "dropped": self.dropped}
        failed = [{"image": str(path), "error": reason} for path, reason in self.failed.items()]
        return {"label": self.label, **figures, **more, "failed": failed, "hints": list(self.hints)}


def image_files(folder: Path, truth: Sequence[Annotated]) -> dict[Path, Annotated]:
    """Return the annotated images by file, ``FOLDER/EVENT/NAME`` with the extension of any image format.

    Raises:
        EvaluationError: If files are missing, whose faces would silently count as missed, or a name fits
            several files.
    """
    named: dict[Path, dict[str, list[Path]]] = {}
    paths: dict[Path, Annotated] = {}
    missing: list[str] = []
    for image in truth:
        place = folder / image.event / image.name
        if place.parent not in named:
            named[place.parent] = _named_in(place.parent)
        fitting = named[place.parent].get(place.name, [])
        if len(fitting) > 1:
            names = " and ".join(path.name for path in fitting[:2])
            raise EvaluationError(f"{folder}: {image.key} fits {names}; leave one of them in {place.parent}")
        if not fitting:
            missing.append(image.key)
        elif paths.setdefault(fitting[0], image) is not image:
            other = paths[fitting[0]].key
            raise EvaluationError(f"{fitting[0]}: fits {other} and {image.key} of the ground truth")
    if missing:
        raise EvaluationError(
            f"{folder}: {len(missing)} of the ground truth's {len(truth)} images are missing, the first is "
            f"{missing[0]}; name those that exist with --subset FILE"
        )
    return paths


def _named_in(folder: Path) -> dict[str, list[Path]]:
    """Return the images of a folder by their names, with and without extension."""
    named: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() in SUFFIXES and path.is_file():
            for name in (path.name, path.stem):
                named[name].append(path)
    return named


def evaluate_predictions(
    label: str, folder: Path, truth: Sequence[Annotated], seconds: float | None = None
) -> Row:
    """Evaluate a folder of text files; see `trt_mogface.evaluation.predictions`."""
    predictions = read_predictions(folder, truth)
    result = evaluate(truth, predictions.found)
    return Row(label, result, predictions.missing, seconds, hints=hints(truth, predictions.found))


def evaluate_model(
    label: str,
    model: str | Path,
    procedure: Procedure,
    options: DetectorOptions,
    images: Mapping[Path, Annotated],
    folder: Path,
    *,
    device: int | None = None,
    watch: Watch = lambda results, *_: results,
    resume: bool = False,
) -> Row:
    """Run a detector, write its predictions as text files to `folder` and evaluate them.

    The faces of images that cannot be used count as missed.

    Args:
        label: Name of the row.
        model: Contract file, engine, folder of a cascade, or address on a server.
        procedure: Test procedure.
        options: Options of the detector, which include `Procedure.options`.
        images: Annotated images by file.
        folder: Folder for the text files.
        device: Number of the GPU; see `trt_mogface.Detector`.
        watch: Passes the predictions through.
        resume: Whether to reuse the text files that `folder` has of an interrupted run.

    Raises:
        ImageError: If no image can be used.
        EvaluationError: If nothing in an image is finite, the predictions cannot be ranked, or those to reuse
            are of another model.
        OutputError: If a file cannot be written.
    """
    made_by = identity(model, procedure, options)
    done = reusable(folder, made_by, images.values()) if resume else set()
    left = {path: image for path, image in images.items() if image.key not in done}
    if not done:
        begin(folder, made_by)
    failed: dict[Path, str] = {}
    dropped = 0
    with Detector(model, device=device, **options) as detector:
        started = time.perf_counter()
        together = at_a_time(model, options.get("threads"))
        found = watch(detect_all(detector, procedure, list(left), together), label, len(left))
        for (path, image), result in zip(left.items(), found):
            if isinstance(result, Failed):
                failed[path] = result.reason
                prediction_file(folder, image).unlink(missing_ok=True)  # that of an earlier run
            else:
                dropped += result.dropped
                _write(folder, image, result, label)
        seconds = time.perf_counter() - started
    if len(failed) == len(images):
        path, reason = next(iter(failed.items()))
        raise ImageError(f"images: none of the {len(images)} could be used; the first is {path}: {reason}")
    row = evaluate_predictions(label, folder, list(images.values()), None if done else seconds)
    missing = set(row.missing) - {images[path].key for path in failed}
    return dataclasses.replace(row, dropped=dropped, failed=failed, missing=sorted(missing))


def _write(folder: Path, image: Annotated, predicted: Predicted, label: str) -> None:
    if predicted.dropped and not len(predicted.scores):
        raise EvaluationError(
            f"{label}: none of {predicted.dropped} candidates in {image.key} is finite; "
            "the model is broken, or overflows at this precision"
        )
    if predicted.dropped:
        note_dropped(folder, image, predicted.dropped)
    write_prediction(folder, image, predicted)
