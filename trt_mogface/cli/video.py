"""``trt-mogface video``: faces, tracks and events of many files and cameras, into one or several sinks."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from trt_mogface.cli import options, signals
from trt_mogface.cli.groups import with_groups
from trt_mogface.cli.images import SOME_FAILED
from trt_mogface.cli.options import Panel, completion, in_hardware, in_output
from trt_mogface.cli.video_progress import Progress, ProgressKind, open_progress
from trt_mogface.errors import ImageError, MogFaceError, UsageError
from trt_mogface.machine.sensors import gpu_reader
from trt_mogface.models.cards import DEFAULT
from trt_mogface.models.files import model_path
from trt_mogface.models.manifest import is_engine
from trt_mogface.video.analysis import OPEN, Analysis, DecoderKind, Position, analyze
from trt_mogface.video.blur import Blur, BlurKind
from trt_mogface.video.checkpoint import Checkpoint, checkpoint_path, run_identity
from trt_mogface.video.sinks.base import Sink
from trt_mogface.video.sinks.opening import KINDS as SINKS
from trt_mogface.video.sinks.opening import STDOUT, Specification, open_sinks, parse_duration, parse_sink
from trt_mogface.video.sources import find_sources, read_source_file
from trt_mogface.video.stats import AnalysisStats
from trt_mogface.video.tracking import TrackerKind
from trt_mogface.video.watching import watching
from trt_mogface.video.writing import Written, write
from trt_mogface.video.zones import Polygon

in_sources = Panel("Sources")
in_tracking = Panel("Tracking and blur")

SOURCES_HELP = (
    "Videos, folders, glob patterns, rtsp://, http:// and v4l2: addresses, or @FILE with a list; "
    "NAME= in front names one."
)
SINK_NAMES = ", ".join(f"{kind}:{each.target}" for kind, each in SINKS.items())
SINK_HELP = f"Write results; several are allowed: {SINK_NAMES}."
BLUR_HELP = "Blur all faces in videos: gaussian, pixelate or solid."
PROGRESS_HELP = "auto is a table on a terminal, json writes lines to stderr, none is silent."
WATCH_HELP = "Follow a list of sources: add and remove them while running."
RESUME_HELP = "Go on where a run ended that was killed; options must be the same."

MP4 = "mp4"
"""Kind of sink that writes sound."""

DECODERS = "|".join(get_args(DecoderKind))

PICTURES = (MP4, "crops")
NEED_PICTURES = "blur and the sinks mp4 and crops need them on the CPU"

NO_EFFECT = {"audio", "batch", "max_delay_ms", "threads", "device", "providers", "open", "timeout"}
"""Options that change no record; a resumed run may have others."""

SINK_FAILED = 2


@dataclass(frozen=True)
class SourcesGroup:
    """Frames of the sources that are analyzed, and how these are opened."""

    every: Annotated[int, in_sources("N", "Analyze every N-th frame.", min=1)] = 1
    fps: Annotated[
        float | None, in_sources("F", "Analyze F frames a second, by time stamps.", show_default="all")
    ] = None
    keyframes: Annotated[bool, in_sources("", "Decode and analyze key frames only.", "--keyframes")] = False
    start: Annotated[str | None, in_sources("TIME", "Begin of a part of a file, such as 90 or 5m.")] = None
    duration: Annotated[str | None, in_sources("TIME", "Length of the part.")] = None
    limit: Annotated[int, in_sources("N", "Open at most N sources at a time.", "--open", min=1)] = OPEN
    timeout: Annotated[str, in_sources("TIME", "Wait for an opening or a read.")] = "10s"
    watch: Annotated[Path | None, in_sources("FILE", WATCH_HELP)] = None

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `analyze`."""
        times = {"start": self.start, "duration": self.duration, "timeout": self.timeout}
        seconds = {name: parse_duration(name, text) for name, text in times.items() if text is not None}
        choice = {"every": self.every, "fps": self.fps, "keyframes": self.keyframes, "open": self.limit}
        return {**choice, **seconds}


@dataclass(frozen=True)
class SinksGroup:
    """Sinks, and their common options."""

    sink: Annotated[
        list[str] | None,
        in_output(
            "KIND:TARGET", SINK_HELP, autocompletion=completion(lambda: [f"{kind}:" for kind in SINKS])
        ),
    ] = None
    segment: Annotated[str | None, in_output("TIME", "Begin new files after this time, such as 10m.")] = None
    keep: Annotated[str | None, in_output("TIME", "Delete files older than this, such as 7d.")] = None
    keep_going: Annotated[bool, in_output("", "End only a sink that fails.", "--keep-going")] = False
    resume: Annotated[bool, in_output("", RESUME_HELP, "--resume")] = False
    progress: Annotated[ProgressKind, in_output("KIND", PROGRESS_HELP)] = "auto"

    def specifications(self) -> list[Specification]:
        """Parse the sinks."""
        segment = None if self.segment is None else parse_duration("segment", self.segment)
        keep = None if self.keep is None else parse_duration("keep", self.keep)
        return [parse_sink(text, segment=segment, keep=keep) for text in self.sink or []]


@with_groups
def video(
    sources: Annotated[list[str] | None, typer.Argument(metavar="SOURCE...", help=SOURCES_HELP)] = None,
    *,
    choice: SourcesGroup,
    model: options.Model = DEFAULT,
    weights: options.Weights = None,
    min_face: options.MinFace = None,
    detection: options.DetectionGroup,
    track: Annotated[bool, in_tracking("", "Give a face one number in all frames.", "--track")] = False,
    tracker: Annotated[
        TrackerKind | None, in_tracking("NAME", "Track with bytetrack, ocsort or botsort.")
    ] = None,
    blur: Annotated[BlurKind | None, in_tracking("KIND", BLUR_HELP)] = None,
    batch: Annotated[int, in_hardware("N", "Largest batch of the network.", min=1)] = 1,
    max_delay_ms: Annotated[
        float, in_hardware("MS", "Wait of a frame for others of its batch.", min=0)
    ] = 0.0,
    threads: options.Threads = None,
    device: options.Device = None,
    providers: options.Providers = None,
    decoder: Annotated[DecoderKind, in_hardware(DECODERS, "Decoder of video.")] = "cpu",
    sinks: SinksGroup,
) -> int:
    """Find, track and blur the faces in videos, and write records of them.

    Sources that fail are reported, also in the records; the others go on (exit status 1). Ctrl-C finishes
    the frames in flight and completes all files.
    """
    named = options.parse_providers(providers)
    options.check_device(device, model, named)
    given = sinks.specifications()
    found = find_sources(sources or [])
    listed = read_source_file(choice.watch) if choice.watch else []
    if not found and choice.watch is None:
        raise UsageError("no source; name a video, a folder, an address, or a list with @FILE or --watch")
    arguments = {**choice.arguments(), **detection.arguments(), "min_face": min_face, "decoder": decoder}
    arguments |= {"threads": threads, "providers": named, "batch": batch, "max_delay_ms": max_delay_ms}
    arguments |= {
        "track": tracker or track,
        "device": device,
        "audio": any(each.kind == MP4 for each in given),
    }
    is_blurred = blur is not None or any(source.blur for source in (*found, *listed))
    if decoder == "nvdec" and (is_blurred or any(each.kind in PICTURES for each in given)):
        raise UsageError(f"--decoder nvdec leaves pictures on the GPU; {NEED_PICTURES}; use --decoder cpu")
    outputs = _Outputs(given, blur, is_blurred=is_blurred)
    facts = {name: value for name, value in arguments.items() if name not in NO_EFFECT}
    with ExitStack() as stack:
        stack.callback(outputs.close)
        positions = {}
        if sinks.resume:  # first: the checkpoint says where sources go on
            positions = outputs.open(_file_of(model, weights), facts, resume=True)
        analysis = stack.enter_context(analyze(found, model, weights=weights, resume=positions, **arguments))
        if not sinks.resume:  # last: a source or model that is refused leaves no file behind
            outputs.open(_file_of(model, weights), facts, resume=False)
        read_gpu = gpu_reader(device or 0) if is_engine(model) else None
        is_mixed = sys.stdout.isatty() and any(each.target == STDOUT for each in given)
        progress = open_progress(sinks.progress, analysis, read_gpu, is_mixed=is_mixed)
        with signals.stopping(analysis.stop):
            watched: AbstractContextManager[None] = nullcontext()
            if choice.watch:
                watched = watching(analysis, choice.watch, progress.say, positions=positions)
            with progress, watched:
                written = outputs.write(analysis, progress, keep_going=sinks.keep_going)
            for name, count in written.late.items():
                progress.say(f"{name}: too slow for {count} frames of live sources, which it lacks")
            progress.finish([each.name for each in outputs.sinks if each.name not in written.failures])
        return SINK_FAILED if written.failures else _status(analysis.stats())


class _Outputs:
    """Sinks, their checkpoint, and the blur in front of them.

    Args:
        given: Sinks.
        blur: How faces are blurred in sources that do not say it themselves.
        is_blurred: Whether faces of any source are blurred.
    """

    def __init__(self, given: Sequence[Specification], blur: BlurKind | None, *, is_blurred: bool) -> None:
        self._given, self._blur, self._is_blurred = given, blur, is_blurred
        self.sinks: list[Sink] = []
        self._checkpoint: Checkpoint | None = None
        self._positions: dict[str, Position] = {}

    def open(self, model: Path, facts: dict[str, Any], *, resume: bool) -> dict[str, Position]:
        """Open all sinks and the checkpoint; return where the sources of an earlier run go on."""
        place = checkpoint_path(self._given)
        if resume and place is None:
            raise UsageError("--resume goes on with the files of a sink; name one with --sink")
        if place is not None:
            identity = run_identity(model, {**facts, "blur": self._blur})
            self._checkpoint = Checkpoint(place, identity, resume=resume)
            resume = self._checkpoint.is_resumed
        track = bool(facts["track"])
        self.sinks = open_sinks(self._given, blur=self._is_blurred, track=track, resume=resume)
        if self._checkpoint is not None and resume:
            self._positions = self._checkpoint.positions(self.sinks)
        return self._positions

    def write(self, analysis: Analysis, progress: Progress, *, keep_going: bool) -> Written:
        """Write everything to the end, or until the analysis is stopped."""

        def kind_of(name: str) -> BlurKind | None:
            source = analysis.sources.get(name)
            return self._blur if source is None or source.blur is None else source.blur

        def masks_of(name: str) -> Sequence[Polygon]:
            source = analysis.sources.get(name)
            return () if source is None else source.masks

        blur = Blur(kind_of, masks_of=masks_of)
        for position in self._positions.values():
            for item in position.replay:
                blur.replay(item)
        return write(
            blur.apply(progress.watched(analysis)),
            self.sinks,
            checkpoint=self._checkpoint,
            keep_going=keep_going,
            on_failure=lambda _, message: progress.say(message),
        )

    def close(self) -> None:
        """Close what a failure has left open."""
        for sink in self.sinks:
            with suppress(MogFaceError):
                sink.close()
        if self._checkpoint is not None:
            self._checkpoint.close()


def _file_of(model: str, weights: Path | None) -> Path:
    return Path(model) if is_engine(model) else model_path(model, weights)


def _status(stats: AnalysisStats) -> int:
    """Return the exit status.

    Raises:
        ImageError: If all sources failed.
    """
    failed = {name: each.message for name, each in stats.sources.items() if each.state == "failed"}
    if not failed or len(failed) < len(stats.sources):
        return SOME_FAILED if failed else 0
    if len(failed) == 1:
        ((name, reason),) = failed.items()
        raise ImageError(f"{name}: {reason}")
    raise ImageError(f"sources: none of the {len(failed)} could be used")
