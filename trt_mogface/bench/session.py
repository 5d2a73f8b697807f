"""`Session`: measure a model in every mode, batch and load, and report it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from itertools import product
from pathlib import Path

from trt_mogface._url import is_url
from trt_mogface.backends.onnxruntime import read_spec
from trt_mogface.bench import sources, trials
from trt_mogface.bench.bounds import achieved, simulated
from trt_mogface.bench.load import Load
from trt_mogface.bench.report import Report
from trt_mogface.bench.roofline import Ceilings, Roofline
from trt_mogface.bench.trials import Conditions, LoadRow, Mode, Row, Subject
from trt_mogface.errors import ArgumentError, EngineError
from trt_mogface.images import ImageFiles, find_images
from trt_mogface.machine.facts import machine
from trt_mogface.models.cascade import is_cascade_folder
from trt_mogface.models.cascade_engine import load_cascade_engine
from trt_mogface.models.manifest import is_cascade_engine, is_engine, load_manifest, profile_of

OnStatus = Callable[[str], None]

QUIET = "-8"
"""AV_LOG_QUIET of FFmpeg."""


@dataclass
class Session:
    """One benchmark; its images are opened and checked at once.

    Attributes:
        conditions: Input size, threads, GPU and duration, which all rows share.
        batches: Batch sizes.
        modes: Modes of closed loops.
        loads: Open loops.
        images: Folder of images; None measures noise, and no mode ``jpeg``.
        video: Video of mode ``video``.
        roofline: Whether to measure this machine's ceilings and the share that is reached.
        cards: Ceilings of other machines, by data sheet.
        skipped: Reason for each file of the folder that is not used, by path.
        rows, load_rows: Results of `measure`, in order; also of one that was ended early.

    Raises:
        ArgumentError: If a mode lacks its images or video.
        ImageError: If images or the video cannot be read.
    """

    conditions: Conditions
    batches: Sequence[int] = (1,)
    modes: Sequence[Mode] = ("network", "memory")
    loads: Sequence[Load] = ()
    images: Path | None = None
    video: Path | None = None
    roofline: bool = False
    cards: Sequence[Ceilings] = ()
    skipped: Mapping[Path, str] = field(init=False)
    rows: list[Row] = field(init=False, default_factory=list)
    load_rows: list[LoadRow] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._load_before = os.getloadavg()[0]  # later it is our own
        self._started = datetime.now(timezone.utc).isoformat(timespec="seconds")
        size, images, files = self.conditions.size, self.images, ImageFiles()
        if images is None:
            held, content = sources.noise(size, sources.IN_MEMORY // 4), "noise, without faces"
        else:
            files = find_images([str(images)])
            held, content = sources.photos(files.paths, size), f"{images}, scaled to that size"
        self._content = f"{len(held)} images of {content}"
        memory = partial(sources.from_memory, held)
        self._sources: dict[Mode, Callable[[], sources.Source]] = {"memory": memory}
        if "jpeg" in self.modes:
            if images is None:
                raise ArgumentError("images", "mode jpeg reads files; give their folder")
            files = sources.jpeg_files(files)
            self._sources["jpeg"] = partial(sources.from_files, files.paths)
        if "video" in self.modes:
            if self.video is None:
                raise ArgumentError("video", "mode video reads a file; give its path")
            os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", QUIET)  # it would print to our stderr
            sources.from_video(self.video)  # checks it
            self._sources["video"] = partial(sources.from_video, self.video)
        elif self.video is not None:
            raise ArgumentError("video", "is for mode video")
        self.skipped = files.skipped

    def measure(self, subjects: Sequence[Subject], on_status: OnStatus = lambda _: None) -> None:
        """Measure everything.

        Args:
            subjects: Files of the model, one for each precision.
            on_status: Called with a description of each step as it starts.
        """
        for subject in subjects:
            if subject.is_engine:
                self._check_engine(Path(subject.path))
            if subject.spec is None and not self.loads and list(self.modes) == ["network"]:
                what = "on a server" if subject.is_served else "a cascade of networks"
                raise ArgumentError("mode", f"{subject.name} is {what}; measure memory or jpeg")
        conditions = self.conditions
        for subject, batch in product(subjects, self.batches):
            where = f"{subject.precision}, batch {batch}"
            for mode in self.modes:
                if mode == "network" and subject.spec is None:
                    continue
                on_status(f"{mode}, {where}")
                self.rows.append(
                    trials.network_row(subject, batch, conditions)
                    if mode == "network"
                    else trials.pipeline_row(subject, mode, self._sources[mode], batch, conditions)
                )
            for load in self.loads:
                on_status(f"load of {load.rate:g}/s, {where}")
                row = trials.load_row(subject, self._sources["memory"], batch, load, conditions)
                self.load_rows.append(row)

    def report(
        self,
        subjects: Sequence[Subject],
        model: str,
        command: str,
        counted: Path | None = None,
        on_status: OnStatus = lambda _: None,
    ) -> Report:
        """Return the report of what was measured.

        Args:
            subjects: Files of the model, one for each precision.
            model: Name or file of the model.
            command: Command line, for the report.
            counted: Contract file whose layers are counted for rooflines; None makes none.
            on_status: Called with a description of each step as it starts.
        """
        rooflines: list[Roofline] = []
        notes: list[str] = []
        if counted is not None:
            if self.roofline:
                rooflines, notes = achieved(
                    counted, subjects, self.batches, self.rows, self.conditions, on_status
                )
            rooflines += simulated(counted, self.batches, self.conditions.size, self.cards)
        on_status("writing the report")
        about = machine(self.conditions.device)
        return Report(
            command=command,
            started=self._started,
            machine=about,
            load_before=self._load_before,
            model=(subjects[0].name, model),
            runs_on=about.get("gpu", "a GPU") if subjects[0].is_engine else "the CPU",
            size=self.conditions.size,
            passes=trials.passes(subjects[0], self.conditions),
            threads=self.conditions.threads,
            images=self._content,
            options=self.conditions.options,
            rows=self.rows,
            load=self.load_rows,
            rooflines=rooflines,
            notes=notes,
        )

    def _check_engine(self, path: Path) -> None:
        """Refuse an engine before anything is measured."""
        if is_cascade_engine(path):
            from trt_mogface.backends.gpu.cascade import check_cascade_runs_here

            cascade, (width, height) = load_cascade_engine(path), self.conditions.size
            for batch in self.batches:
                profile_of([cascade.profile], (batch, height, width), path)
            check_cascade_runs_here(path, self.conditions.device)
            return
        from trt_mogface.backends.gpu.engine import check_runs_here

        manifest, (width, height) = load_manifest(path), self.conditions.size
        for batch in self.batches:
            manifest.check_shape((batch, height, width), path)
        if manifest.end_to_end:
            raise EngineError(f"{path}: ends in faces; measure it with trtexec, or build without end_to_end")
        check_runs_here(path, self.conditions.device)


def subject(precision: str, path: str | Path) -> Subject:
    """Return a model as the subject of a benchmark, with the spec of a contract file or an engine."""
    if is_url(str(path)) or is_cascade_folder(path):
        return Subject(precision, path, None, False)
    if is_cascade_engine(path):
        return Subject(precision, path, None, True)
    file, engine = Path(path), is_engine(path)
    return Subject(precision, file, load_manifest(file).spec if engine else read_spec(file), engine)
