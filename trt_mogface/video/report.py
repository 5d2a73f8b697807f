"""Report of an analysis: what its records say about each source, in memory that does not grow with them."""

from __future__ import annotations

import glob
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from trt_mogface.errors import ImageError, OutputError
from trt_mogface.frame import Image
from trt_mogface.images import read_image
from trt_mogface.video.items import FrameFaces, Item, SourceEvent
from trt_mogface.video.records import read_records
from trt_mogface.video.sinks.files import file_name

LATEST = 2e11
"""Seconds since 1970 of the year 8307, beyond which times are damage."""

LARGEST = 2.0**20
"""Longest side of a face in pixels that is distinguished."""

BINS = 240
"""Largest number of bins of a series; beyond it their width doubles."""

FINEST = 0.125
"""Width of the first bins in seconds.  Widths are powers of two, so that bins of different sources align."""

MAX_TRACKS = 20_000
"""Tracks of a source that are kept; of more, the shortest ones are only counted."""

MAX_CROPS = 48
CROP_SIDE = 224
"""Largest number of crops, and the longer side of one in pixels."""

MAX_INCIDENTS = 200
"""Events of a source that are kept; further ones are only counted."""

STATES = ("opened", "lost", "reopened", "ended", "failed")
"""Events that change the state of a source."""

CROPS = ".crops.ledger"
"""File by which the folder of a crops sink is known."""

INCIDENTS = ("lost", "reopened", "corrupt", "resized", "failed")
"""Events that are listed one by one."""

PER_OCTAVE = 2
"""Bins of the histogram of sizes from a size to its double."""

CONFIDENCES = 20
"""Bins of the histogram of confidences."""

Moment = tuple[float, float | None]
"""Capture in seconds since 1970, and the presentation time in the stream."""


@dataclass
class Bin:
    """Sums over a span of time.

    Attributes:
        frames: Analyzed frames.
        faces: Their faces.
        most: Most faces in one frame.
        dropped: Dropped frames.
        lag: Longest lag in seconds, or None.
    """

    frames: int = 0
    faces: int = 0
    most: int = 0
    dropped: int = 0
    lag: float | None = None

    def add(self, other: Bin) -> None:
        """Add the sums of another span."""
        self.frames += other.frames
        self.faces += other.faces
        self.most = max(self.most, other.most)
        self.dropped += other.dropped
        if other.lag is not None:
            self.lag = other.lag if self.lag is None else max(self.lag, other.lag)


class Series:
    """Bins over time, at most `BINS` of them; times may come in any order and have gaps."""

    def __init__(self) -> None:
        self.width = FINEST
        self._bins: dict[int, Bin] = {}

    def at(self, time: float) -> Bin:
        """Return the bin of a time in seconds."""
        found = self._bins.get(math.floor(time / self.width))
        if found is not None:
            return found
        while len(self._bins) >= BINS:
            self._widen()
        return self._bins.setdefault(math.floor(time / self.width), Bin())

    def bins(self, width: float = 0.0) -> Iterator[tuple[float, Bin]]:
        """Yield the middle of each bin in seconds, and the bin, in order, from a width on."""
        while self.width < width:
            self._widen()
        for number, each in sorted(self._bins.items()):
            yield (number + 0.5) * self.width, each

    def _widen(self) -> None:
        self.width *= 2
        before, self._bins = self._bins, {}
        for number, each in before.items():
            self._bins.setdefault(number // 2, Bin()).add(each)


@dataclass
class TrackSpan:
    """Span of a track in its source.

    Attributes:
        number: Number of the track in its source.
        first, last: First and last sighting.
        faces: Number of sightings.
        confidence: Best confidence.
        size: Longer side of the largest box in pixels.
        best: Number of the frame with the best crop; None before the track is over.
    """

    number: int
    first: Moment
    last: Moment
    faces: int = 0
    confidence: float = 0.0
    size: float = 0.0
    best: int | None = None


@dataclass(frozen=True)
class Crop:
    """The best crop of a track.

    Attributes:
        source: Name of the source.
        track: Span of the track.
        image: uint8 [H, W, 3], BGR.
    """

    source: str
    track: TrackSpan
    image: Image


@dataclass
class SourceReport:
    """Sums over the records of one source.

    Attributes:
        name: Name of the source.
        total: Sums over all its frames.
        events: Number of events by kind.
        corrupt: Corrupt packets.
        incidents: The first `MAX_INCIDENTS` of `INCIDENTS`.
        state: Last event of `STATES`; empty without any.
        sizes: Faces by size: number n has those whose longer side is 2**(n / PER_OCTAVE) pixels or more.
        confidences: Faces by confidence: number n has those from n / CONFIDENCES on.
        zones: Faces by zone.
        tracks: Tracks by number.
        forgotten: Number of tracks beyond `MAX_TRACKS`.
        latest: Latest capture, in seconds since 1970.
    """

    name: str
    total: Bin = field(default_factory=Bin)
    events: Counter[str] = field(default_factory=Counter)
    corrupt: int = 0
    incidents: list[SourceEvent] = field(default_factory=list)
    state: str = ""
    sizes: Counter[int] = field(default_factory=Counter)
    confidences: Counter[int] = field(default_factory=Counter)
    zones: Counter[str] = field(default_factory=Counter)
    tracks: dict[int, TrackSpan] = field(default_factory=dict)
    forgotten: int = 0
    latest: float = -math.inf
    _captured: Series = field(default_factory=Series)
    _streamed: Series = field(default_factory=Series)
    _has_times: bool = True
    _is_live: bool = False

    @property
    def is_live(self) -> bool:
        """Whether the time of day counts: of a camera, and of a file without time stamps."""
        return self._is_live or not self._has_times

    @property
    def series(self) -> Series:
        """Frames over time: seconds since 1970 of a live source, else seconds of the stream."""
        return self._captured if self.is_live else self._streamed

    def moment(self, moment: Moment) -> float:
        """Return the time on the axis of `series`."""
        captured, time = moment
        return captured if self.is_live or time is None else time

    def add(self, item: Item) -> None:
        """Add a record."""
        self.latest = max(self.latest, item.captured)
        if isinstance(item, SourceEvent):
            self._add_event(item)
        else:
            self._add_frame(item)
        for ended in item.ended:
            track = self.tracks.get(ended.id)
            if track is not None:
                track.best = ended.best.frame

    def _add_event(self, event: SourceEvent) -> None:
        self.events[event.event] += 1
        self._is_live |= event.event in ("lost", "reopened", "dropped")
        if event.event in STATES:
            self.state = event.event
        if event.event in INCIDENTS and len(self.incidents) < MAX_INCIDENTS:
            self.incidents.append(event)
        if event.event == "corrupt":
            self.corrupt += event.count
        if event.event == "dropped":
            self._add_bin(Bin(dropped=event.count), (event.captured, None))

    def _add_frame(self, item: FrameFaces) -> None:
        count, moment = len(item.faces), (item.captured, item.time)
        self._is_live |= item.lag is not None
        self._has_times &= item.time is not None
        self._add_bin(Bin(1, count, count, lag=item.lag), moment)
        if not count:
            return
        boxes = item.faces.xyxy
        with np.errstate(over="ignore", invalid="ignore"):
            sides = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
        sides = np.clip(np.nan_to_num(sides), 1, LARGEST)
        self.sizes.update(np.floor(PER_OCTAVE * np.log2(sides)).astype(int).tolist())
        scores = np.clip(np.nan_to_num(item.faces.confidence), 0, 1)
        bins = np.minimum(np.floor(scores * CONFIDENCES), CONFIDENCES - 1).astype(int)
        self.confidences.update(bins.tolist())
        for zones in item.faces.data.get("zones", ()):
            self.zones.update(zones)
        if item.faces.tracker_id is not None:
            rows = zip(item.faces.tracker_id.tolist(), sides.tolist(), scores.tolist())
            for number, side, score in rows:
                self._add_sighting(number, moment, side, score)

    def _add_bin(self, sums: Bin, moment: Moment) -> None:
        captured, time = moment
        self.total.add(sums)
        self._captured.at(captured).add(sums)
        if time is not None:
            self._streamed.at(time).add(sums)

    def _add_sighting(self, number: int, moment: Moment, side: float, score: float) -> None:
        if number < 0:  # not tracked yet
            return
        track = self.tracks.get(number)
        if track is None:
            track = self.tracks[number] = TrackSpan(number, moment, moment)
            if len(self.tracks) > MAX_TRACKS:
                self._forget()
        track.last = moment
        track.faces += 1
        track.confidence, track.size = max(track.confidence, score), max(track.size, side)

    def _forget(self) -> None:
        """Keep the half of the tracks with most sightings, and of equal ones the latest."""
        longest = sorted(self.tracks.values(), key=lambda track: (track.faces, track.last[0]))
        for track in longest[: MAX_TRACKS // 2]:
            del self.tracks[track.number]
        self.forgotten += MAX_TRACKS // 2


def read_reports(paths: Sequence[Path]) -> tuple[dict[str, SourceReport], list[str]]:
    """Read records of sinks; see `trt_mogface.video.records.read_records`.

    Args:
        paths: Files or folders; records of one source in several of them follow each other.

    Returns:
        Report of each source by name, and what could not be read, one line each.
    """
    sources: dict[str, SourceReport] = {}
    problems: list[str] = []
    for path in paths:
        if (path / CROPS).exists() and not any(path.glob("*.jsonl")) and not (path / "frames").exists():
            continue
        try:
            summarize(_later(read_records(path), path, dict(sources)), sources)
        except OutputError as error:
            problems.append(str(error))
    return sources, problems


def best_crops(paths: Iterable[Path], sources: Mapping[str, SourceReport]) -> list[Crop]:
    """Return the best crops of the tracks with most sightings, as far as a sink has written them.

    Args:
        paths: Folders of crops sinks, and any other paths.
        sources: Reports by name.
    """
    folders = [path for path in paths if path.is_dir()]
    tracks = [(source.name, track) for source in sources.values() for track in source.tracks.values()]
    tracks.sort(key=lambda row: -row[1].faces)
    found: list[Crop] = []
    for name, track in tracks if folders else []:
        file = _crop_file(folders, name, track)
        if file is None:
            continue
        with suppress(ImageError):  # damaged, or deleted since
            found.append(Crop(name, track, _reduced(read_image(file))))
        if len(found) == MAX_CROPS:
            break
    return found


def _crop_file(folders: Iterable[Path], source: str, track: TrackSpan) -> Path | None:
    if track.best is None:
        return None
    pattern = f"{glob.escape(file_name(source))}/*/{track.best:08d}-*-id{track.number}.jpg"
    return next((file for folder in folders for file in folder.glob(pattern)), None)


def _reduced(image: Image) -> Image:
    scale = CROP_SIDE / max(image.shape[:2])
    if scale >= 1:
        return image
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def _later(items: Iterable[Item], path: Path, before: Mapping[str, SourceReport]) -> Iterator[Item]:
    """Yield items; refuse those that other sinks of the same run may have, which would count twice."""
    latest = {name: source.latest for name, source in before.items()}
    for item in items:
        time = item.time if isinstance(item, FrameFaces) else None
        if not 0 <= item.captured < LATEST or (time is not None and not abs(time) < LATEST):
            raise OutputError(f"{path}: has an impossible time of {item.source}; name the records of a sink")
        if item.captured <= latest.get(item.source, -math.inf):
            problem = f"records of {item.source} overlap with those of an earlier argument"
            raise OutputError(f"{path}: {problem}; name one sink of a run")
        yield item


def summarize(
    items: Iterable[Item], sources: dict[str, SourceReport] | None = None
) -> dict[str, SourceReport]:
    """Return a report of each source by name, in the order of their first records.

    Args:
        items: Records.
        sources: Reports to add to.
    """
    sources = {} if sources is None else sources
    for item in items:
        source = sources.get(item.source)
        if source is None:
            source = sources[item.source] = SourceReport(item.source)
        source.add(item)
    return sources
