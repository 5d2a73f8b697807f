"""`analyze`: the faces of many sources, as one iterator of frames and events."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from typing_extensions import Self, Unpack

from trt_mogface._optional import needs
from trt_mogface.backends.base import Backend, ModelInfo
from trt_mogface.backends.options import DetectorOptions
from trt_mogface.detections import Detections
from trt_mogface.errors import ArgumentError
from trt_mogface.models.cards import DEFAULT
from trt_mogface.models.manifest import is_engine
from trt_mogface.runner import Runner
from trt_mogface.video.decode import Cursor, DecodeOptions, Picture
from trt_mogface.video.feed import Feed
from trt_mogface.video.items import FrameFaces, Item, SourceEvent
from trt_mogface.video.nvdec import check_nvdec
from trt_mogface.video.sampling import Sampling
from trt_mogface.video.schedule import Schedule
from trt_mogface.video.sources import Source, check_names, find_sources
from trt_mogface.video.stats import AnalysisStats, SourceStats
from trt_mogface.video.tracking import KINDS, Tracker, TrackerKind, low_confidence, open_tracker
from trt_mogface.video.zones import leave_out, name_zones

DecoderKind = Literal["cpu", "nvdec"]

OPEN = 32
"""Sources that are open at a time."""

RECENT = 64
"""Latest frames of a source that its rate is computed from."""

PATIENCE = 2.0
"""Seconds that closing waits for reads that are under way."""


@dataclass(frozen=True)
class Position:
    """Place at which a source goes on after an earlier run.

    Attributes:
        frame: Number of the first frame that the earlier run did not record; a file is decoded up to it, so
            that numbers, times and pictures are those of an uninterrupted run.  Events that came after the
            frame before it come again.
        opening: How often a live source was opened up to then.
        is_over: Whether the source had ended or failed; it is not opened again.
        replay: Its recorded frames in order, which the tracker sees again; of a live source the latest ones.
        last_id: Largest ``tracker_id`` that was recorded; new tracks have larger ones.
    """

    frame: int = 0
    opening: int = 0
    is_over: bool = False
    replay: Iterable[FrameFaces] = ()
    last_id: int = 0


@dataclass(eq=False)
class _Member:
    """A source of an analysis, with its tracker and its counts."""

    feed: Feed
    position: Position
    tracker: Tracker | None = None
    frames: int = 0
    faces: int = 0
    corrupt: int = 0
    lag: float | None = None
    message: str = ""
    times: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    @property
    def source(self) -> Source:
        return self.feed.source

    def stats(self) -> SourceStats:
        feed, times = self.feed, list(self.times)
        recent = len(times) > 1 and time.monotonic() - times[-1] < max(2.0, 2 * (times[-1] - times[0]))
        fps = (len(times) - 1) / max(times[-1] - times[0], 1e-9) if recent else 0.0
        return SourceStats(
            feed.state, feed.is_live, self.frames, self.faces, feed.dropped, self.corrupt,
            feed.cursor.opening, fps, self.lag, self.message,
        )  # fmt: skip


class Analysis:
    """Faces of many sources; see `analyze`.

    Iterate over it in one thread.  The other methods may be called from any thread.
    """

    def __init__(
        self,
        runner: Runner,
        schedule: Schedule,
        decoding: DecodeOptions,
        tracker: TrackerKind | None,
        conf: float,
    ) -> None:
        self._runner, self._schedule, self._decoding = runner, schedule, decoding
        self._tracker, self._conf = tracker, conf
        self._members: dict[str, _Member] = {}
        self._lock = threading.Lock()
        self._begun = time.monotonic()
        self._items = self._iterate()

    @property
    def info(self) -> ModelInfo:
        """Facts about the model."""
        return self._runner.info

    @property
    def sources(self) -> dict[str, Source]:
        """Sources by name, of all that were added and not removed."""
        with self._lock:
            return {name: member.source for name, member in self._members.items()}

    def add(self, source: str | Source, position: Position | None = None) -> list[Source]:
        """Add a source, or several; see `trt_mogface.video.sources.find_sources`.

        A name that has ended or failed can be used again.  Then its frames and openings are counted on.

        Args:
            source: Text as for `analyze`, or a source.
            position: Where it goes on.

        Returns:
            The sources that were added.

        Raises:
            ArgumentError: If a name is in use, or there would be too many live sources.
            ImageError: If a file or folder is missing.
        """
        found = find_sources([source])
        self._add(found, {each.name: position for each in found if position is not None})
        return found

    def _add(self, sources: Sequence[Source], positions: Mapping[str, Position]) -> None:
        check_names(sources)
        with self._lock:
            members = [self._member(source, positions.get(source.name)) for source in sources]
            self._schedule.add([member.feed for member in members if not member.position.is_over])
            self._members.update({member.source.name: member for member in members})

    def _member(self, source: Source, position: Position | None) -> _Member:
        before = self._members.get(source.name)
        if before is not None and not before.feed.is_over:
            raise ArgumentError(
                "sources", "a name that is in use; put another in front, NAME=...", source.name
            )
        if position is None and before is not None and source.is_live:
            cursor = before.feed.cursor
            position = Position(cursor.number, opening=cursor.opening)
        position = position or Position()
        cursor = Cursor(resume=position.frame)
        if source.is_live:
            cursor = Cursor(number=position.frame, opening=position.opening)
        feed = Feed(source, self._decoding, cursor, self._schedule.wake)
        if position.is_over:
            feed.state = "ended"
        return _Member(feed, position, before.tracker if before is not None and source.is_live else None)

    def remove(self, name: str) -> None:
        """Read no more of a source; frames in flight still come, and then ``ended``.

        Raises:
            ArgumentError: If there is no such source.
        """
        with self._lock:
            member = self._members.get(name)
        if member is None:
            raise ArgumentError("name", "not a source of this analysis", repr(name)[:80])
        if not member.feed.is_over:
            member.feed.end("removed")
            self._schedule.remove(member.feed)

    def keep_open(self, *, kept: bool) -> None:
        """Say whether the iteration waits for `add` when all sources have ended; at first it does not."""
        self._schedule.keep_open(kept=kept)

    def stop(self) -> None:
        """Read no more; the iteration ends after what is in flight.  Sources that were stopped do not end."""
        self._schedule.stop()

    def stats(self) -> AnalysisStats:
        """Return counts up to now."""
        with self._lock:
            members = dict(self._members)
        counts = {name: member.stats() for name, member in members.items()}
        return AnalysisStats(counts, time.monotonic() - self._begun, self._runner.stats().batches)

    def close(self) -> None:
        """Stop reading and free the model; closing twice is harmless."""
        self._schedule.stop()
        self._runner.close(cancel=True)
        self._schedule.join(PATIENCE)

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        return next(self._items)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _iterate(self) -> Iterator[Item]:
        for feed, picture, faces in self._schedule:
            member = self._member_of(feed)
            if isinstance(picture, SourceEvent):
                yield self._event(member, picture)
            elif faces is not None:
                yield self._item(member, picture, faces)

    def _member_of(self, feed: Feed) -> _Member:
        with self._lock:
            return self._members[feed.source.name]

    def _event(self, member: _Member, event: SourceEvent) -> SourceEvent:
        if event.event == "corrupt":
            member.corrupt += event.count
        if event.event == "failed":
            member.feed.state = "failed"
        member.message = event.message or member.message
        if self._tracker is not None and event.event in ("ended", "failed"):
            return replace(event, ended=self._tracker_of(member, self._tracker).finish())
        return event

    def _item(self, member: _Member, picture: Picture, faces: Detections) -> FrameFaces:
        source, frame, now = member.source, picture.frame, time.monotonic()
        if source.masks:
            faces = leave_out(faces, source.masks)
        lag = now - picture.arrived
        item = FrameFaces(
            source.name,
            frame.index or 0,
            frame.time,
            picture.captured,
            picture.clock,
            faces,
            picture.opening,
            frame,
            picture.audio,
            lag=lag if member.feed.is_live else None,
        )
        if self._tracker is not None:
            item = self._tracker_of(member, self._tracker).track(item)
        if source.zones:
            item = replace(item, faces=name_zones(item.faces, source.zones))
        member.frames += 1
        member.faces += len(item.faces)
        member.lag = lag
        member.times.append(now)
        return item

    def _tracker_of(self, member: _Member, kind: TrackerKind) -> Tracker:
        if member.tracker is None:
            rate = member.feed.options.sampling.rate(member.feed.rate)
            member.tracker = open_tracker(kind, rate, self._conf)
            member.tracker.replay(member.position.replay, member.position.last_id)
        return member.tracker


def analyze(
    sources: str | Path | Source | Iterable[str | Path | Source],
    model: str | Path | Backend = DEFAULT,
    *,
    track: bool | TrackerKind = False,
    every: int = 1,
    fps: float | None = None,
    keyframes: bool = False,
    start: float = 0.0,
    duration: float | None = None,
    batch: int = 1,
    slots: int = 2,
    max_delay_ms: float = 0.0,
    device: int | Sequence[int] | None = None,
    decoder: DecoderKind = "cpu",
    open: int = OPEN,  # noqa: A002 -- the name of the option
    timeout: float = 10.0,
    audio: bool = False,
    resume: Mapping[str, Position] | None = None,
    **options: Unpack[DetectorOptions],
) -> Analysis:
    """Find the faces of files, cameras and streams.

    The result is a context manager, and an iterator of `trt_mogface.video.items.FrameFaces` and
    `trt_mogface.video.items.SourceEvent`.  Sources take turns; within each the order is kept.  A source that
    fails says so with an event, and the others go on.  The iteration ends when all files have ended.

    Args:
        sources: One, or several; see `trt_mogface.video.sources.find_sources`.
        model: See `trt_mogface.Detector`.
        track: Whether faces get an identity across the frames of a source, or by which tracker: ``bytetrack``
            (that of True), ``ocsort`` or ``botsort``.
        every: Interval of analyzed frames; 1 is every frame.
        fps: Analyzed frames per second, chosen by time stamps; None for all.
        keyframes: Whether only key frames are decoded and analyzed.
        start: Seconds of each file that are passed over.
        duration: Seconds of each source to analyze; None for all.
        batch, slots, max_delay_ms, device: See `trt_mogface.Runner`.
        decoder: ``cpu``, or ``nvdec``, which decodes on the GPU of an engine and leaves the frames there.
        open: Largest number of sources that are open at a time.  Files beyond it wait; more live sources are
            refused.
        timeout: Seconds that opening a source, and each read from it, may take.
        audio: Whether items have the packets of sound of a file.
        resume: Place to go on at, by name of the source.
        **options: Options such as ``size`` and ``conf``; see
            `trt_mogface.backends.options.DetectorOptions`.

    Raises:
        ArgumentError: If an argument is impossible, a name is used twice, or there are too many live sources.
        ImageError: If a file is missing.
        ModelError, EngineError, DeviceError: See `trt_mogface.Detector`.
        MissingExtraError: If a package of the extra ``video`` is not installed.
    """
    with needs("video"):
        import av  # noqa: F401 -- before threads need it
    given = [sources] if isinstance(sources, (str, Path, Source)) else list(sources)
    found = find_sources(given)
    _check(open, timeout)
    gpu = _gpu(decoder, model, device)
    for_cpu = isinstance(model, (str, Path)) and not is_engine(str(model))
    decoding = DecodeOptions(Sampling(every, fps, keyframes, start, duration), timeout, audio, gpu, for_cpu)
    tracker = _tracker(track)
    settings: dict[str, Any] = {"device": device, "batch": batch, "slots": slots}
    settings |= {"max_delay_ms": max_delay_ms, "capacity": batch * (slots + 1)}
    runner, conf = _open_runner(model, tracker, settings, options)
    try:
        analysis = Analysis(runner, Schedule(runner, batch, slots, open), decoding, tracker, conf)
        analysis._add(found, resume or {})
    except BaseException:
        runner.close(cancel=True)
        raise
    return analysis


def _open_runner(
    model: str | Path | Backend,
    tracker: TrackerKind | None,
    settings: dict[str, Any],
    options: DetectorOptions,
) -> tuple[Runner, float]:
    """Open the model; return it, and the confidence from which a face is reported on its own."""
    conf = options.get("conf")
    if tracker is None or not isinstance(model, (str, Path)):
        runner = Runner(model, **settings, **options)
        return runner, runner.thresholds.score_threshold
    if conf is None:
        with Runner(model, **{**settings, "slots": 1, "batch": 1}, **options) as runner:
            conf = runner.thresholds.score_threshold
    lower: DetectorOptions = {**options, "conf": low_confidence(tracker, conf)}
    return Runner(model, **settings, **lower), conf


def _tracker(track: bool | TrackerKind) -> TrackerKind | None:
    if isinstance(track, bool):
        return KINDS[0] if track else None
    if track not in KINDS:
        raise ArgumentError("track", f"unknown tracker (choose from {', '.join(KINDS)})", repr(track)[:40])
    return track


def _gpu(decoder: str, model: object, device: int | Sequence[int] | None) -> int | None:
    """Return the number of the GPU that decodes, or None."""
    if decoder not in get_args(DecoderKind):
        known = ", ".join(get_args(DecoderKind))
        raise ArgumentError("decoder", f"unknown decoder (choose from {known})", repr(decoder)[:40])
    if decoder == "cpu":
        return None
    if isinstance(model, (str, Path)) and not is_engine(str(model)):
        raise ArgumentError(
            "decoder", f"leaves frames on the GPU, out of reach of {model}; pass an engine", decoder
        )
    devices = [0] if device is None else [device] if isinstance(device, int) else list(device)
    if len(devices) != 1:
        raise ArgumentError("decoder", "leaves frames on one GPU; pass one device", decoder)
    check_nvdec(devices[0])
    return devices[0]


def _check(limit: object, timeout: object) -> None:
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise ArgumentError("open", "must be a positive whole number", repr(limit)[:40])
    if not isinstance(timeout, (int, float)) or not 0 < timeout < 1e6:
        raise ArgumentError("timeout", "must be positive and finite", repr(timeout)[:40])
