"""``trt-mogface eval``: average precision on annotated pictures."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from trt_mogface.backends.registry import Backend, open_backend
from trt_mogface.cli import options, output, precisions
from trt_mogface.detector import Detector
from trt_mogface.errors import EvaluationError, UsageError
from trt_mogface.evaluation.curves_page import curves_page
from trt_mogface.evaluation.detecting import at_a_time, detect_all
from trt_mogface.evaluation.evaluation import COLUMNS, Evaluation, evaluate
from trt_mogface.evaluation.predictions import read_predictions, write_prediction
from trt_mogface.evaluation.procedure import PROCEDURES, Procedure, procedures
from trt_mogface.evaluation.wider_face import Annotated as Picture
from trt_mogface.evaluation.wider_face import read_ground_truth, read_subset
from trt_mogface.models.cards import DEFAULT
from trt_mogface.reporting.tables import print_whole

app = typer.Typer(name="eval", help="Measure accuracy on annotated pictures.")
out = Console()
err = Console(stderr=True)


@dataclass(frozen=True)
class Row:
    """One evaluation.

    Attributes:
        label: What was evaluated.
        result: The figures.
        missing: Pictures without a text file.
        seconds: That detecting took; None where nothing was detected.
    """

    label: str
    result: Evaluation
    missing: Sequence[str] = ()
    seconds: float | None = None


@app.callback()
def group() -> None:
    """Measure accuracy on annotated pictures."""


@app.command()
def wider(
    gt: Annotated[Path, typer.Option(help="Folder of WIDER FACE's four .mat files, or a JSON file.")],
    images: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="DIR", help="WIDER_val/images: a folder for each event."),
    ] = None,
    predictions: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="DIR", help="Evaluate text files alone: EVENT/NAME.txt."),
    ] = None,
    subset: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Only these pictures: a line EVENT/NAME each, or a JSON file."),
    ] = None,
    model: Annotated[
        str, typer.Option("--model", "--engine", help="A model name, a contract ONNX file or an engine.")
    ] = DEFAULT,
    weights: options.Weights = None,
    precision: precisions.Precision = None,
    calib: precisions.Calib = None,
    calib_cache: precisions.CalibCache = None,
    procedure: Annotated[
        str, typer.Option(help=f"{', '.join(PROCEDURES)}; several with commas.")
    ] = "original",
    save: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="DIR", help="Keep the text files: DIR/PRECISION/PROCEDURE/EVENT/NAME.txt."),
    ] = None,
    json_path: output.Json = None,
    html: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Write a page with the curves of precision over recall."),
    ] = None,
    size: Annotated[
        str, typer.Option(help="Network input of the procedure original: native, or WxH to scale into.")
    ] = "native",
    threads: Annotated[Optional[int], typer.Option(min=1, help="CPU threads (all).")] = None,  # noqa: UP045
    device: Annotated[int, typer.Option(min=0, help="GPU of an engine.")] = 0,
) -> None:
    """WIDER FACE's easy, medium and hard AP, and AP by face size, of a detector or of its text files."""
    output.check_targets([json_path], html=html)
    truth = read_ground_truth(gt)
    if subset is not None:
        truth = read_subset(subset, truth)
    if predictions is not None:
        if any(given is not None for given in (images, precision, weights, calib, calib_cache, save)):
            raise UsageError("--predictions evaluates text files alone: leave --images and the model's out")
        rows = [_row(str(predictions), predictions, truth)]
    elif images is None:
        raise UsageError("give --images DIR to run a detector, or --predictions DIR for text files")
    else:
        paths = _pictures(images, truth)
        chosen, fixed = procedures(procedure), options.parse_size("--size", size)
        for each in chosen.values():
            each.choices(fixed)  # refused before anything is calibrated
        with tempfile.TemporaryDirectory() as made:
            files = precisions.model_files(model, weights, precision, calib, calib_cache, Path(made))
            rows = [
                _detected(
                    f"{Path(model).name}, {name}, {how}",
                    open_backend(file, each.choices(fixed), threads=threads, device=device),
                    each,
                    paths,
                    truth,
                    (Path(made) if save is None else save) / name / how,
                    at_a_time(file, threads),
                )
                for name, file in files
                for how, each in chosen.items()
            ]
    _report(rows, json_path, html)


def _pictures(images: Path, truth: Sequence[Picture]) -> list[Path]:
    """The pictures' files.

    Raises:
        EvaluationError: Some are missing: their faces would silently count as missed.
    """
    paths = [images / picture.event / f"{picture.name}.jpg" for picture in truth]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise EvaluationError(
            f"{images}: {len(missing)} of the ground truth's {len(paths)} pictures are missing, the first "
            f"is {missing[0].relative_to(images)}: name those that are there with --subset FILE"
        )
    return paths


def _detected(
    label: str,
    backend: Backend,
    procedure: Procedure,
    paths: Sequence[Path],
    truth: Sequence[Picture],
    folder: Path,
    together: int,
) -> Row:
    """Run the detector, write its text files and evaluate them."""
    with Detector(procedure.prepare(backend)) as detector:
        started = time.perf_counter()
        found = track(
            detect_all(detector, procedure, paths, together),
            label,
            total=len(paths),
            console=err,
            transient=True,
        )
        for picture, predicted in zip(truth, found):
            write_prediction(folder, picture, predicted)
        seconds = time.perf_counter() - started
    return _row(label, folder, truth, seconds)


def _row(label: str, folder: Path, truth: Sequence[Picture], seconds: float | None = None) -> Row:
    found = read_predictions(folder, truth)
    return Row(label, evaluate(truth, found.found), found.missing, seconds)


def _report(rows: Sequence[Row], json_path: Path | None, html: Path | None) -> None:
    if html is not None:
        output.write(html, curves_page({row.label: row.result for row in rows}))
    if json_path is not None:
        output.write(json_path, json.dumps([_plain(row) for row in rows], indent=1) + "\n")
    if json_path != output.STDOUT:
        print_whole(out, _table(rows))
    for row in rows:
        if row.missing:
            err.print(
                f"{escape(row.label)}: {len(row.missing)} pictures have no file, their faces count as "
                f"missed; the first is {escape(row.missing[0])}",
                soft_wrap=True,
                highlight=False,
            )


def _table(rows: Sequence[Row]) -> Table:
    result = rows[0].result
    table = Table(
        box=box.SIMPLE,
        title=f"{result.pictures} pictures, {result.faces['hard']} faces count",
        title_justify="left",
    )
    table.add_column(no_wrap=True)
    for name in (*(column.removesuffix(" px") for column in COLUMNS), "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            escape(row.label), *row.result.cells(), "" if row.seconds is None else f"{row.seconds:.1f}"
        )
    return table


def _plain(row: Row) -> dict[str, object]:
    return {
        "of": row.label,
        "ap": row.result.ap,
        "faces": dict(row.result.faces),
        "pictures": row.result.pictures,
        "boxes": row.result.boxes,
        "missing": list(row.missing),
        "seconds": row.seconds,
    }
