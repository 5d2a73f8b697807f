"""``trt-mogface bench``: the speed of a model on this machine."""

from __future__ import annotations

import re
import shlex
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from trt_mogface._names import split_list
from trt_mogface._url import is_url
from trt_mogface.backends.options import DetectorOptions, check_options
from trt_mogface.bench.bounds import cards
from trt_mogface.bench.load import Load
from trt_mogface.bench.measurement import MeasureOptions
from trt_mogface.bench.report import Report, show
from trt_mogface.bench.report_page import report_page
from trt_mogface.bench.roofline import CARDS
from trt_mogface.bench.session import Session, subject
from trt_mogface.bench.trials import MODES, Conditions, parse_modes
from trt_mogface.cli import options, output
from trt_mogface.cli.groups import with_groups
from trt_mogface.cli.images import say_skipped
from trt_mogface.cli.precisions import PrecisionGroup, model_files
from trt_mogface.errors import ArgumentError, MogFaceError, UsageError
from trt_mogface.images import find_images
from trt_mogface.machine.cpu import usable_threads
from trt_mogface.models.cards import DEFAULT
from trt_mogface.models.files import contract_file, precision_of
from trt_mogface.models.manifest import is_engine

AS_IT_IS = "as it is"
"""Precision of the user's own ONNX file, which may be any."""

in_measurement, in_load, in_roofline = map(options.Panel, ("Measurement", "Load", "Roofline"))
MODE_HELP = "network (nothing else), memory, jpeg or video (to faces); several with commas."
LOAD_HELP = "Images per second that arrive; several with commas."
CARDS_HELP = f"Bounds on other machines, by data sheet: {', '.join(CARDS)}."


@dataclass(frozen=True)
class MeasurementGroup:
    """Measurements and the images for them."""

    batch: Annotated[str, in_measurement("LIST", "Batch size; several with commas.")] = "1"
    size: Annotated[str, in_measurement("WxH", "Network input.")] = "640x640"
    scales: options.NumberOfScales = "full"
    duration: Annotated[float, in_measurement("S", "Seconds of each measurement.")] = 3.0
    mode: Annotated[
        str, in_measurement("LIST", MODE_HELP, autocompletion=options.completion(lambda: MODES))
    ] = "network,memory"
    images: Annotated[
        Path | None, in_measurement("DIR", "Images to detect faces in.", show_default="noise")
    ] = None
    video: Annotated[Path | None, in_measurement("FILE", "Video of mode video.")] = None


@dataclass(frozen=True)
class LoadGroup:
    """Open loops: images that arrive at a rate."""

    rate: Annotated[str | None, in_load("LIST", LOAD_HELP)] = None
    poisson: Annotated[int | None, in_load("SEED", "Poisson arrivals.", show_default="even arrivals")] = None
    queue: Annotated[int, in_load("N", "Largest number of images in progress; more are rejected.")] = 64


@dataclass(frozen=True)
class RooflineGroup:
    """Rooflines."""

    roofline: Annotated[
        bool, in_roofline("", "Measure this machine's ceilings, and the share that is reached.", "--roofline")
    ] = False
    simulate: Annotated[
        str | None, in_roofline("LIST", CARDS_HELP, autocompletion=options.completion(lambda: CARDS))
    ] = None
    counted: Annotated[
        Path | None, in_roofline("FILE", "For an engine: contract ONNX file whose layers are counted.")
    ] = None


@with_groups
def bench(
    *,
    model: Annotated[str, options.named_model("NAME|FILE", options.MODEL_HELP, show_default=DEFAULT)] = "",
    engine: Annotated[Path | None, options.in_model("FILE", "Engine, instead.")] = None,
    precision: PrecisionGroup,
    measurement: MeasurementGroup,
    load: LoadGroup,
    bounds: RooflineGroup,
    threads: options.Threads = None,
    device: options.Device = None,
    files: options.ReportGroup,
) -> None:
    """Measure the speed of a model: the network alone, images to faces, and under load.

    A measurement that is interrupted, or fails, reports the rows that are complete.
    """
    if engine is not None and model:
        raise UsageError("--model and --engine: give one of them")
    name = str(engine) if engine is not None else model or DEFAULT
    inputs = [*precision.inputs(name), bounds.counted, measurement.video, *_images(measurement.images)]
    output.check_targets([files.json_path, precision.written], inputs, html=files.html)
    options.check_device(device, name)
    length = MeasureOptions(measurement.duration)
    session = Session(
        Conditions(
            _size(measurement.size),
            usable_threads(threads),
            device or 0,
            length,
            options.parse_scales(measurement.scales),
        ),
        batches=_batches(measurement.batch),
        modes=parse_modes(measurement.mode),
        loads=[Load(each, length.duration, load.queue, load.poisson) for each in _rates(load.rate)],
        images=measurement.images,
        video=measurement.video,
        roofline=bounds.roofline,
        cards=cards(bounds.simulate),
    )
    say_skipped(session.skipped)
    counts = bounds.roofline or bounds.simulate is not None
    if counts and bounds.counted is None and (is_engine(name) or is_url(name)):
        raise UsageError("--roofline and --simulate count an ONNX file; give the model's with --counted FILE")
    with tempfile.TemporaryDirectory() as folder, output.err.status("", refresh_per_second=2) as status:

        def on_status(text: str) -> None:
            if output.err.is_terminal:  # elsewhere a status would leave lines
                status.update(text)

        on_status("preparing the model")
        if engine is not None:
            precision_of(engine)  # report that it is not an engine, before that it is not a model
        files_made, unknown = model_files(name, precision, Path(folder)), _is_unknown(name, precision)
        subjects = [subject(AS_IT_IS if unknown else kind, path) for kind, path in files_made]
        counted = bounds.counted
        if counts and counted is None:
            counted = contract_file(name, precision.weights, for_cpu=False)
        command = shlex.join(["trt-mogface", *sys.argv[1:]])
        try:
            session.measure(subjects, on_status)
        except (KeyboardInterrupt, MogFaceError):
            if session.rows or session.load_rows:
                _write(session.report(subjects, name, command), files)
            raise
        report = session.report(subjects, name, command, counted, on_status)
    _write(report, files)


def _write(report: Report, files: options.ReportGroup) -> None:
    if files.json_path != output.STDOUT:
        show(report, output.out)
    output.write(files.json_path, report.to_json())
    if files.html is not None:
        output.write(files.html, report_page(report))


def _images(folder: Path | None) -> list[Path]:
    return [] if folder is None else find_images([str(folder)]).paths


def _is_unknown(model: str, group: PrecisionGroup) -> bool:
    """Return whether the model is a user's ONNX file, run as it is."""
    is_file = not is_engine(model) and not is_url(model)
    return group.precision is None and is_file and model not in options.model_names()


def _batches(text: str) -> list[int]:
    found = [int(each) if re.fullmatch(r"[0-9]{1,5}", each) else 0 for each in split_list(text)]
    if 0 in found:
        raise ArgumentError("batch", "use positive numbers with commas, such as 1,8,32", text)
    return list(dict.fromkeys(found))


def _rates(text: str | None) -> list[float]:
    try:
        return [] if text is None else [float(each) for each in split_list(text)]
    except ValueError as error:
        raise ArgumentError("rate", "use numbers with commas, such as 10,20.5", text) from error


def _size(text: str) -> tuple[int, int]:
    size = options.parse_size("size", text)
    if size is None or size == "native":
        raise ArgumentError("size", "a benchmark has one size, such as 640x640", text)
    check_options(DetectorOptions(size=size))
    return size
