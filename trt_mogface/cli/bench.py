"""``trt-mogface bench``: how fast a model is here, alone and beside others."""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.peers.contest import Standing, contest
from benchmarks.peers.ours import Ours
from benchmarks.peers.peer import FACES, NETWORK, Peer, Task
from benchmarks.peers.registry import PEERS, chosen_peers
from engine_build.models.registry import recipes
from trt_mogface.backends.onnxruntime import read_spec
from trt_mogface.backends.options import Choices
from trt_mogface.backends.registry import is_engine
from trt_mogface.bench.bounds import achieved, cards, simulated
from trt_mogface.bench.load import Load
from trt_mogface.bench.measurement import Settings
from trt_mogface.bench.report import Report, show
from trt_mogface.bench.report_page import report_page
from trt_mogface.bench.roofline import CARDS, Ceilings, Roofline
from trt_mogface.bench.sources import (
    KEPT,
    Source,
    from_files,
    from_memory,
    from_video,
    jpeg_files,
    noise,
    photos,
)
from trt_mogface.bench.trials import (
    Conditions,
    LoadRow,
    Mode,
    Row,
    Subject,
    load_row,
    network_row,
    parse_modes,
    pipeline_row,
)
from trt_mogface.cli import options, output, precisions
from trt_mogface.errors import EngineError, UsageError
from trt_mogface.machine.facts import machine
from trt_mogface.models.cards import DEFAULT
from trt_mogface.models.files import contract_file
from trt_mogface.models.manifest import load_manifest

AS_IT_IS = "as it is"
"""The precision of somebody's ONNX file, which may be any."""

OTHERS = ("yunet", "ulfd", "scrfd")
"""Peers whose model files are the caller's."""

QUIET = "-8"
"""FFmpeg's AV_LOG_QUIET."""

out = Console()
err = Console(stderr=True)


def bench(
    model: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="A model name or a contract ONNX file.")
    ] = "",
    engine: Annotated[Path | None, typer.Option(metavar="FILE", help="An engine, instead.")] = None,
    precision: precisions.Precision = None,
    batch: Annotated[str, typer.Option(help="Pictures of a run; several with commas.")] = "1",
    size: Annotated[str, typer.Option(metavar="WxH", help="The network's input.")] = "640x640",
    duration: Annotated[float, typer.Option(metavar="S", help="Seconds of each measurement.")] = 3.0,
    mode: Annotated[str, typer.Option(help="network, memory, jpeg, video; several with commas.")] = (
        "network,memory"
    ),
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Pictures; without them memory holds noise.")
    ] = None,
    video: Annotated[Path | None, typer.Option(metavar="FILE", help="For mode video.")] = None,
    rate: Annotated[
        str | None, typer.Option(metavar="R", help="Load too: pictures a second; several with commas.")
    ] = None,
    poisson: Annotated[
        int | None, typer.Option(metavar="SEED", help="Load comes as a Poisson process, not evenly.")
    ] = None,
    queue: Annotated[int, typer.Option(help="Load: pictures inside at most; others are rejected.")] = 64,
    peers: Annotated[
        str, typer.Option(metavar="all|none|LIST", help=f"Run beside: {', '.join(PEERS)}.")
    ] = "none",
    peer_model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PEER=FILE",
            help="Of yunet, ulfd and scrfd (or $TRT_MOGFACE_YUNET, ...); mogface=FILE is its checkpoint.",
        ),
    ] = None,
    weights: options.Weights = None,
    calib: precisions.Calib = None,
    calib_cache: precisions.CalibCache = None,
    roofline: Annotated[
        bool,
        typer.Option("--roofline", help="Measure this machine's ceilings, and the share that is reached."),
    ] = False,
    simulate: Annotated[
        str | None,
        typer.Option(metavar="LIST", help=f"Bounds of cards not at hand, by data sheet: {', '.join(CARDS)}."),
    ] = None,
    counted: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --engine: the contract ONNX file whose layers are counted."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of everyone; all by default.")
    ] = None,
    device: Annotated[int, typer.Option(min=0, help="Number of the GPU.")] = 0,
    json_path: output.Json = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with plots.")] = None,
) -> None:
    """Measure a model: its network alone, and pictures to faces; under load, and beside others."""
    if engine is not None and model:
        raise UsageError("--model and --engine: give one of them")
    settings = Settings(duration)
    batches, rates = _batches(batch), _rates(rate)
    loads = [Load(each, duration, queue, poisson) for each in rates]
    shape, modes, others = _size(size), parse_modes(mode), chosen_peers(peers)
    sources, pictures = _sources(modes, images, video, shape)
    files = _peer_files(peer_model, weights)
    output.check_targets([json_path], html=html)
    on = cards(simulate)
    runs_engine = engine is not None or is_engine(model)
    if runs_engine and (roofline or on) and counted is None:
        raise UsageError(
            "--roofline and --simulate count an ONNX file: give the engine's with --counted FILE"
        )
    conditions = Conditions(shape, threads or len(os.sched_getaffinity(0)), device, settings)
    load_before = os.getloadavg()[0]  # later it is ours
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    with tempfile.TemporaryDirectory() as folder, err.status("", refresh_per_second=2) as status:
        told = _teller(status)
        told("preparing the model")
        tested = _subjects(engine, model, weights, precision, calib, calib_cache, Path(folder))
        if engine is not None or tested[0].is_engine:
            _check_engine(tested[0].path, batches, shape, device)
        rows, load_rows = _measured(tested, batches, modes, sources, loads, conditions, told)
        rooflines: list[Roofline] = []
        notes: list[str] = []
        if roofline or on:
            plain = counted or contract_file(model or DEFAULT, weights, for_cpu=False)
            rooflines, notes = _rooflines(roofline, on, plain, tested, batches, rows, conditions, told)
        contests = _contests(tested, others, batches, sources["memory"], conditions, files, told)
        told("writing the report")
        about = machine(device)
    report = Report(
        command=shlex.join(["trt-mogface", *sys.argv[1:]]),
        started=started,
        machine=about,
        load_before=load_before,
        model=(tested[0].spec.name, str(engine or model or DEFAULT)),
        runs_on=about.get("gpu", "a GPU") if tested[0].is_engine else "the CPU",
        size=shape,
        threads=conditions.threads,
        pictures=pictures,
        settings=settings,
        rows=rows,
        load=load_rows,
        contests=contests,
        rooflines=rooflines,
        notes=notes,
    )
    _write(report, json_path, html)


def _measured(
    tested: Sequence[Subject],
    batches: Sequence[int],
    modes: Sequence[Mode],
    sources: dict[Mode, Callable[[], Source]],
    loads: Sequence[Load],
    conditions: Conditions,
    told: Callable[[str], None],
) -> tuple[list[Row], list[LoadRow]]:
    rows, load_rows = [], []
    for subject in tested:
        for batch in batches:
            for mode in modes:
                told(f"{mode}, {subject.precision}, batch {batch}")
                if mode == "network":
                    rows.append(network_row(subject, batch, conditions))
                else:
                    rows.append(pipeline_row(subject, mode, sources[mode], batch, conditions))
            for load in loads:
                told(f"load of {load.rate:g}/s, {subject.precision}, batch {batch}")
                load_rows.append(load_row(subject, sources["memory"], batch, load, conditions))
    return rows, load_rows


def _rooflines(
    here: bool,
    on: Sequence[Ceilings],
    plain: Path,
    tested: Sequence[Subject],
    batches: Sequence[int],
    rows: Sequence[Row],
    conditions: Conditions,
    told: Callable[[str], None],
) -> tuple[list[Roofline], list[str]]:
    """Of this machine, if that is wanted, then of the cards; and what there is none of."""
    reached, notes = achieved(plain, tested, batches, rows, conditions, told) if here else ([], [])
    return [*reached, *simulated(plain, batches, conditions.size, on)], notes


def _contests(
    tested: Sequence[Subject],
    others: Sequence[Peer],
    batches: Sequence[int],
    source: Callable[[], Source],
    conditions: Conditions,
    files: dict[str, Path],
    told: Callable[[str], None],
) -> dict[int, Sequence[Standing]]:
    """By batch; none without others."""
    first = tested[0]
    contests: dict[int, Sequence[Standing]] = {}
    for batch in batches if others else ():
        task = Task(
            model=first.path,
            name=first.spec.name,
            is_engine=first.is_engine,
            pictures=list(islice(source(), batch)),
            thresholds=first.spec.thresholds,
            threads=conditions.threads,
            device=conditions.device,
            weights=files.get("mogface"),
            files=files,
        )
        ours = [Ours(each.precision, each.path, does) for each in tested for does in (FACES, NETWORK)]
        contests[batch] = contest(ours, others, task, conditions.settings.duration, told=told)
    return contests


def _subjects(
    engine: Path | None,
    model: str,
    weights: Path | None,
    precision: str | None,
    calib: str | None,
    calib_cache: Path | None,
    folder: Path,
) -> list[Subject]:
    if engine is not None:
        load_manifest(engine)  # what is no engine is told so, and not that it is no model
    name = str(engine) if engine is not None else model or DEFAULT
    subjects = []
    for kind, path in precisions.model_files(name, weights, precision, calib, calib_cache, folder):
        built = is_engine(path)
        known = built or precision is not None or name in recipes()
        spec = load_manifest(path).spec if built else read_spec(path)
        subjects.append(Subject(kind if known else AS_IT_IS, path, spec, built))
    return subjects


def _sources(
    modes: Sequence[Mode], images: Path | None, video: Path | None, size: tuple[int, int]
) -> tuple[dict[Mode, Callable[[], Source]], str]:
    """What begins each mode's pictures, checked; and where those in memory are from."""
    held = noise(size, KEPT // 4) if images is None else photos(images, size)
    origin = (
        f"{len(held)} pictures of noise, without faces"
        if images is None
        else f"{len(held)} pictures of {images}, scaled to that size"
    )
    sources: dict[Mode, Callable[[], Source]] = {"memory": partial(from_memory, held)}
    if "jpeg" in modes:
        if images is None:
            raise UsageError("--mode jpeg reads files: give --images DIR")
        sources["jpeg"] = partial(from_files, jpeg_files(images))
    if "video" in modes:
        if video is None:
            raise UsageError("--mode video reads a video: give --video FILE")
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", QUIET)  # its complaints are no line of ours
        from_video(video).close()  # type: ignore[attr-defined]
        sources["video"] = partial(from_video, video)
    elif video is not None:
        raise UsageError("--video is for --mode video")
    return sources, origin


def _check_engine(path: Path, batches: Sequence[int], size: tuple[int, int], device: int) -> None:
    """Refuse before anything is measured.

    Raises:
        EngineError: It does not run here, or not with one of the batches, or ends in faces.
    """
    from trt_mogface.backends.gpu.engine import check_runs_here

    manifest = load_manifest(path)
    for batch in batches:
        manifest.check_shape((batch, size[1], size[0]), path)
    if manifest.end_to_end:
        raise EngineError(f"{path}: ends in faces: measure it with trtexec, or build without --end-to-end")
    check_runs_here(path, device)


def _batches(text: str) -> list[int]:
    found = [int(each) if re.fullmatch(r"[0-9]{1,5}", each) else 0 for each in text.split(",")]
    if 0 in found:
        raise UsageError(f"--batch {text}: use positive numbers with commas, such as 1,8,32")
    return list(dict.fromkeys(found))


def _rates(text: str | None) -> list[float]:
    try:
        return [] if text is None else [float(each) for each in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--rate {text}: use numbers with commas, such as 10,20.5") from error


def _size(text: str) -> tuple[int, int]:
    size = options.parse_size("--size", text)
    if size is None:
        raise UsageError("--size native: a benchmark has one size, such as 640x640")
    Choices(size=size).check()
    return size


def _peer_files(given: Sequence[str] | None, weights: Path | None) -> dict[str, Path]:
    """By peer; those of `OTHERS` may come from the environment too.

    MogFace's checkpoint is that of the model under test, unless it is an ONNX file and takes none.
    """
    files = {} if weights is None else {"mogface": weights}
    files |= {name: Path(path) for name in OTHERS if (path := os.environ.get(f"TRT_MOGFACE_{name.upper()}"))}
    for each in given or ():
        name, found, path = each.partition("=")
        if not found or name not in (*OTHERS, "mogface") or not path:
            raise UsageError(f"--peer-model {each}: use PEER=FILE with one of {', '.join(OTHERS)}, mogface")
        if not Path(path).is_file():
            raise UsageError(f"--peer-model {each}: no such file")
        files[name] = Path(path)
    return files


def _write(report: Report, json_path: Path | None, html: Path | None) -> None:
    if json_path != output.STDOUT:
        show(report, out)
    if json_path is not None:
        output.write(json_path, report.to_json())
    if html is not None:
        output.write(html, report_page(report))


def _teller(status: Any) -> Callable[[str], None]:
    """Tells a terminal what is being done, and no file."""
    return lambda text: status.update(text) if err.is_terminal else None
