"""Evaluate a detector, or a folder of predictions, on annotated images."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trt_mogface.backends.options import DetectorOptions
from trt_mogface.detector import Detector
from trt_mogface.errors import EvaluationError
from trt_mogface.evaluation.detecting import at_a_time, detect_all
from trt_mogface.evaluation.evaluation import Evaluation, evaluate
from trt_mogface.evaluation.predictions import Predicted, read_predictions, write_prediction
from trt_mogface.evaluation.procedure import Procedure
from trt_mogface.evaluation.wider_face import Annotated

Watch = Callable[[Iterable[Predicted], str], Iterable[Predicted]]
"""Passes predictions through, such as to show progress under a label."""


@dataclass(frozen=True)
class Row:
    """One evaluation.

    Attributes:
        label: What was evaluated.
        result: Figures.
        missing: Images without a file of predictions.
        seconds: Time of the detection; None if predictions were read.
        dropped: Number of candidates that were not finite; above 0 the model is broken.
    """

    label: str
    result: Evaluation
    missing: Sequence[str] = ()
    seconds: float | None = None
    dropped: int = 0

    def to_dict(self) -> dict[str, object]:
        """Return the figures as plain data, for JSON."""
        found = self.result
        figures = {"ap": found.ap, "faces": dict(found.faces), "images": found.images, "boxes": found.boxes}
        more = {"missing": list(self.missing), "seconds": self.seconds, "dropped": self.dropped}
        return {"label": self.label, **figures, **more}


def image_files(folder: Path, truth: Sequence[Annotated]) -> dict[Path, Annotated]:
    """Return the annotated images by file.

    Raises:
        EvaluationError: If files are missing; their faces would silently count as missed.
    """
    paths = {folder / image.event / f"{image.name}.jpg": image for image in truth}
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise EvaluationError(
            f"{folder}: {len(missing)} of the ground truth's {len(paths)} images are missing, the first is "
            f"{missing[0].relative_to(folder)}; name those that exist with --subset FILE"
        )
    return paths


def evaluate_predictions(
    label: str, folder: Path, truth: Sequence[Annotated], seconds: float | None = None
) -> Row:
    """Evaluate a folder of text files; see `trt_mogface.evaluation.predictions`."""
    predictions = read_predictions(folder, truth)
    return Row(label, evaluate(truth, predictions.found), predictions.missing, seconds)


def evaluate_model(
    label: str,
    model: Path,
    procedure: Procedure,
    options: DetectorOptions,
    images: Mapping[Path, Annotated],
    folder: Path,
    *,
    device: int = 0,
    watch: Watch = lambda predictions, _: predictions,
) -> Row:
    """Run a detector, write its predictions as text files to `folder` and evaluate them.

    Args:
        label: Name of the row.
        model: Contract file or engine.
        procedure: Test procedure.
        options: Options of the detector, which include `Procedure.options`.
        images: Annotated images by file.
        folder: Folder for the text files.
        device: Number of the GPU that runs an engine.
        watch: Passes the predictions through.

    Raises:
        EvaluationError: If nothing in an image is finite, or the predictions cannot be ranked.
    """
    with Detector(model, device=device, **options) as detector:
        started = time.perf_counter()
        together = at_a_time(model, options.get("threads"))
        found = watch(detect_all(detector, procedure, list(images), together), label)
        dropped = 0
        for image, predicted in zip(images.values(), found):
            dropped += predicted.dropped
            if predicted.dropped and not len(predicted.scores):
                raise EvaluationError(
                    f"{label}: none of {predicted.dropped} candidates in {image.key} is finite; "
                    "the model is broken, or overflows at this precision"
                )
            write_prediction(folder, image, predicted)
        seconds = time.perf_counter() - started
    row = evaluate_predictions(label, folder, list(images.values()), seconds)
    return dataclasses.replace(row, dropped=dropped)
