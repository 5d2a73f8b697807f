"""``trt-mogface eval``: average precision on annotated images."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.progress import track
from rich.table import Column, Table

from trt_mogface.cli import options, output
from trt_mogface.cli.groups import with_groups
from trt_mogface.cli.images import SOME_FAILED, not_finite
from trt_mogface.cli.precisions import PrecisionGroup, model_files
from trt_mogface.errors import MogFaceError, UsageError
from trt_mogface.evaluation.curves_page import curves_page
from trt_mogface.evaluation.evaluation import COLUMNS, ap_cells
from trt_mogface.evaluation.predictions import prediction_file
from trt_mogface.evaluation.procedure import PROCEDURES, SCORE, procedures
from trt_mogface.evaluation.resuming import RECORD
from trt_mogface.evaluation.run import Row, evaluate_model, evaluate_predictions, image_files
from trt_mogface.evaluation.wider_face import ground_truth_files, read_ground_truth, read_subset
from trt_mogface.models.cards import DEFAULT
from trt_mogface.reporting.tables import print_whole

in_images = options.Panel("Images")
PROCEDURES_SCALES = "full; native in published procedures"
HOW_HELP = f"{', '.join(PROCEDURES)}; several with commas."
RESUME_HELP = "Reuse the text files that --save has of an interrupted run."
SAVE_HELP = "Keep the text files: DIR/PRECISION/PROCEDURE/EVENT/NAME.txt."

eval = typer.Typer(help="Measure accuracy on annotated images.", add_completion=False)


@eval.callback()
def group() -> None:
    """Measure accuracy on annotated images."""


@eval.command()
@with_groups
def wider(
    *,
    gt: Annotated[Path, in_images("DIR|FILE", "Folder of WIDER FACE's four .mat files, or a JSON file.")],
    images: Annotated[Path | None, in_images("DIR", "WIDER_val/images: a folder for each event.")] = None,
    predictions: Annotated[
        Path | None, in_images("DIR", "Evaluate text files EVENT/NAME.txt instead of a detector.")
    ] = None,
    subset: Annotated[
        Path | None, in_images("FILE", "Images to use: a line EVENT/NAME each, or a JSON file.")
    ] = None,
    model: options.Model = DEFAULT,
    precision: PrecisionGroup,
    procedure: Annotated[
        str, options.in_detection("LIST", HOW_HELP, autocompletion=options.completion(lambda: PROCEDURES))
    ] = "original",
    conf: Annotated[
        float | None, options.in_detection("0..1", "Score threshold.", show_default=SCORE)
    ] = None,
    size: options.NetworkSize = None,
    scales: Annotated[
        str | None, options.in_detection("native|full|N", options.SCALES_HELP, show_default=PROCEDURES_SCALES)
    ] = None,
    threads: options.Threads = None,
    device: options.Device = None,
    providers: options.Providers = None,
    report: options.ReportGroup,
    save: Annotated[Path | None, options.in_output("DIR", SAVE_HELP)] = None,
    resume: Annotated[bool, options.in_output("", RESUME_HELP, "--resume")] = False,
) -> int:
    """WIDER FACE's easy, medium and hard AP, and AP by face size, of a detector or of its text files.

    The faces of images that cannot be used count as missed. A model with candidates that are not finite is
    broken. Both are counted (exit status 1).
    """
    truth = read_ground_truth(gt)
    if subset is not None:
        truth = read_subset(subset, truth)
    read = [*ground_truth_files(gt), subset, *precision.inputs(model)]
    if predictions is not None:
        read += [prediction_file(predictions, image) for image in truth]
    files = {} if images is None else image_files(images, truth)
    written = [report.json_path, precision.written]
    output.check_targets(written, [*read, *files], html=report.html, folder=save)
    if resume and save is None:
        raise UsageError("--resume reuses the text files of --save DIR; name it")
    if predictions is not None:
        if images is not None or save is not None or precision != PrecisionGroup():
            raise UsageError("--predictions evaluates text files; leave out --images and the model's options")
        return _report([evaluate_predictions(str(predictions), predictions, truth)], report)
    if images is None:
        raise UsageError("give --images DIR to run a detector, or --predictions DIR for text files")
    fixed, named = options.parse_size("size", size), options.parse_providers(providers)
    options.check_device(device, model, named)
    passes = None if scales is None else options.parse_scales(scales)
    # Refused before anything is calibrated.
    chosen = procedures(procedure)
    tests = {
        name: (each, each.options(fixed, passes) | {"threads": threads, "providers": named})
        for name, each in chosen.items()
    }
    if conf is not None:
        for _, detector_options in tests.values():
            detector_options["conf"] = conf
    run_at = "native" if next(iter(chosen.values())).published else fixed  # of the first, if they differ
    watch = partial(track, console=output.err, transient=True, disable=not output.err.is_terminal)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as made, _reported_if_ended(rows, report):
        for name, file in model_files(model, precision, Path(made), run_at):
            for how, (each, detector_options) in tests.items():
                label, folder = f"{Path(model).name}, {name}, {how}", (save or Path(made)) / name / how
                texts = [prediction_file(folder, image) for image in truth]
                output.check_targets((), [*read, *files], inside=[*texts, folder / RECORD])
                rows.append(
                    evaluate_model(
                        *(label, file, each, detector_options, files, folder),
                        device=device,
                        watch=lambda results, label, total: watch(results, label, total=total),
                        resume=resume,
                    )
                )
    return _report(rows, report)


@contextmanager
def _reported_if_ended(rows: Sequence[Row], report: options.ReportGroup) -> Iterator[None]:
    """Return a context that reports the rows that are complete if it is ended by a signal or an error."""
    try:
        yield
    except (KeyboardInterrupt, MogFaceError):
        if rows:
            _report(rows, report)
        raise


def _report(rows: Sequence[Row], files: options.ReportGroup) -> int:
    """Write and print rows, and what is wrong with them; return the exit status."""
    reasons = {item: None for row in rows for item in row.failed.items()}  # the same file in each row
    problems = [f"{path}: {reason}" for path, reason in reasons]
    problems += [f"{row.label}: {problem}" for row in rows for problem in _problems(row)]
    if files.html is not None:
        output.write(files.html, curves_page({_named(row): row.result for row in rows}, problems))
    output.write(files.json_path, json.dumps([row.to_dict() for row in rows], indent=1) + "\n")
    if files.json_path != output.STDOUT:
        print_whole(output.out, _table(rows))
    for problem in problems:
        output.say(f"trt-mogface: {problem}")
    return SOME_FAILED if any(row.failed or row.dropped for row in rows) else 0


def _problems(row: Row) -> Iterator[str]:
    if row.failed:
        count = f"{len(row.failed)} of {row.result.images} images"
        yield f"{count} could not be used, their faces count as missed"
    if row.missing:
        count = f"{len(row.missing)} images have no file"
        yield f"{count}, their faces count as missed; the first is {row.missing[0]}"
    if row.dropped:
        yield f"{not_finite(row.dropped)}; its AP is not valid"
    yield from row.hints


def _named(row: Row) -> str:
    return f"{row.label} ({not_finite(row.dropped)})" if row.dropped else row.label


def _table(rows: Sequence[Row]) -> Table:
    result = rows[0].result
    title = f"{result.images} images, {result.faces['hard']} faces count"
    names = (*(column.removesuffix(" px") for column in COLUMNS), "seconds")
    columns = (Column(name, justify="right", no_wrap=True) for name in names)
    table = Table(Column(no_wrap=True), *columns, box=box.SIMPLE, title=title, title_justify="left")
    for row in rows:
        seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
        table.add_row(output.plain(_named(row)), *ap_cells(row.result.ap), seconds)
    return table
