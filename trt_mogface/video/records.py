"""Records of an analysis: one versioned schema for all sinks, and the way back from files to items.

docs/video.md describes the fields.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np

from trt_mogface.detections import Detections
from trt_mogface.errors import OutputError
from trt_mogface.video.items import Clock, EventKind, FrameFaces, Item, SourceEvent
from trt_mogface.video.tracks import Sighting, Track

Schema: TypeAlias = Literal[1]

SCHEMA: Schema = 1
"""Version of the schema.  Further fields do not change it; another meaning or a missing field does."""

MICRO = 6
"""Decimals of a capture time, as far as Parquet's time stamps reach."""


class _Face(msgspec.Struct, omit_defaults=True):
    box: tuple[float, float, float, float]
    confidence: float
    landmarks: list[tuple[float, float]] | None = None
    tracker_id: int | None = None
    zones: list[str] | None = None


class _FrameRecord(msgspec.Struct, tag="frame", tag_field="record", omit_defaults=True):
    source: str
    frame: int
    time: float | None
    captured: float
    clock: Clock
    opening: int
    width: int
    height: int
    faces: list[_Face]
    schema: Schema
    dropped: int = 0
    truncated: int = 0
    lag: float | None = None


class _EventRecord(msgspec.Struct, tag="event", tag_field="record"):
    source: str
    event: EventKind
    captured: float
    frame: int
    count: int
    message: str
    opening: int
    schema: Schema


class _TrackRecord(msgspec.Struct, tag="track", tag_field="record"):
    source: str
    frame: int
    tracker_id: int
    faces: int
    first: Sighting
    last: Sighting
    best: Sighting
    schema: Schema


_Record: TypeAlias = "_FrameRecord | _EventRecord | _TrackRecord"

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_FrameRecord | _EventRecord | _TrackRecord)


def encode(item: Item) -> bytes:
    """Return the records of an item as JSON Lines: the frame or event, then the tracks that ended with it."""
    first = _encoder.encode(_frame(item) if isinstance(item, FrameFaces) else _event(item)) + b"\n"
    return first + b"".join(_encoder.encode(_track(item, each)) + b"\n" for each in item.ended)


def decode(lines: Iterable[bytes]) -> Iterator[Item]:
    """Yield the items of JSON Lines, without pictures and sound.

    Raises:
        ValueError: If a line is not a record of this schema; the message has its number and the problem.
    """
    held: Item | None = None
    for number, line in enumerate(lines, start=1):
        try:
            record = _decoder.decode(line)
            if isinstance(record, _TrackRecord):
                if held is None or held.source != record.source:
                    raise ValueError("a track without the frame or event that it ended with")
                held = replace(held, ended=(*held.ended, _track_of(record)))
                continue
            read = _item(record)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise ValueError(f"line {number} is not a record of schema {SCHEMA} ({error!s:.120})") from error
        if held is not None:
            yield held
        held = read
    if held is not None:
        yield held


def read_records(path: str | Path) -> Iterator[Item]:
    """Yield the items that a ``jsonl`` or ``parquet`` sink has written, without pictures and sound.

    What a killed run has left is read up to its last whole record.

    Args:
        path: A file of JSON Lines, a folder of them (such as segments, in the order of their names), or the
            folder of a ``parquet`` sink, whose items come source by source.

    Raises:
        OutputError: If there are no records, or one is damaged or of another schema.
        MissingExtraError: If pyarrow is needed and not installed.
    """
    place = Path(path)
    if (place / "frames").is_dir() or (place / "events").is_dir():
        from trt_mogface.video.sinks import parquet  # pyarrow is slow to import

        yield from parquet.read(place)
        return
    files = sorted(place.glob("*.jsonl")) if place.is_dir() else [place]
    if not files:
        raise OutputError(f"{place}: no records; name a file of JSON Lines, or the folder of a parquet sink")
    for file in files:
        yield from _read_lines(file)


def _read_lines(path: Path) -> Iterator[Item]:
    try:
        with open(path, "rb") as file:
            yield from decode(_whole_lines(file))
    except OSError as error:
        raise OutputError(f"{path}: cannot be read ({error.strerror}); name another file") from error
    except ValueError as error:
        raise OutputError(f"{path}: {error}; name a file of the jsonl sink of this release") from error


def _whole_lines(file: Iterable[bytes]) -> Iterator[bytes]:
    """Yield lines; one that a crash has cut off ends them."""
    return itertools.takewhile(lambda line: line.endswith(b"\n"), file)


def _frame(item: FrameFaces) -> _FrameRecord:
    faces, zones = item.faces, item.faces.data.get("zones")
    height, width = faces.image_size
    return _FrameRecord(
        item.source,
        item.frame,
        item.time,
        round(item.captured, MICRO),
        item.clock,
        item.opening,
        width,
        height,
        [
            _Face(box, confidence, points, number, within)
            for box, confidence, points, number, within in zip(
                faces.xyxy.tolist(),
                faces.confidence.tolist(),
                itertools.repeat(None) if faces.landmarks is None else faces.landmarks.tolist(),
                itertools.repeat(None) if faces.tracker_id is None else faces.tracker_id.tolist(),
                itertools.repeat(None) if zones is None else map(list, zones),
            )
        ],
        SCHEMA,
        faces.dropped,
        faces.truncated,
        None if item.lag is None else round(item.lag, MICRO),
    )


def _event(item: SourceEvent) -> _EventRecord:
    captured = round(item.captured, MICRO)
    return _EventRecord(
        item.source, item.event, captured, item.frame, item.count, item.message, item.opening, SCHEMA
    )


def _track(item: Item, track: Track) -> _TrackRecord:
    first, last, best = (
        replace(each, captured=round(each.captured, MICRO)) for each in (track.first, track.last, track.best)
    )
    return _TrackRecord(item.source, item.frame, track.id, track.faces, first, last, best, SCHEMA)


def _track_of(record: _TrackRecord) -> Track:
    return Track(record.tracker_id, record.first, record.last, record.faces, record.best)


def _item(record: _FrameRecord | _EventRecord) -> Item:
    if isinstance(record, _EventRecord):
        return SourceEvent(
            record.source,
            record.event,
            record.captured,
            record.frame,
            record.count,
            record.message,
            record.opening,
        )
    faces = detections(
        [face.box for face in record.faces],
        [face.confidence for face in record.faces],
        [face.landmarks for face in record.faces],
        [face.tracker_id for face in record.faces],
        [face.zones for face in record.faces],
        (record.height, record.width),
        record.dropped,
        record.truncated,
    )
    return FrameFaces(
        record.source,
        record.frame,
        record.time,
        record.captured,
        record.clock,
        faces,
        record.opening,
        lag=record.lag,
    )


def detections(
    boxes: Any,
    confidences: Any,
    landmarks: list[Any],
    ids: list[int | None],
    zones: list[list[str] | None],
    image_size: tuple[int, int],
    dropped: int = 0,
    truncated: int = 0,
) -> Detections:
    """Return the faces of a record, given face by face.

    Raises:
        ValueError: If faces have different fields, or different numbers of landmarks.
    """
    for column in (landmarks, ids, zones):
        if len({value is None for value in column}) > 1:
            raise ValueError("faces of one frame have different fields")
    given = bool(ids)
    data = {"zones": zone_names(zones)} if given and zones[0] is not None else {}
    return Detections(
        np.asarray(boxes, np.float32).reshape(-1, 4),
        np.asarray(confidences, np.float32),
        np.asarray(landmarks, np.float32) if given and landmarks[0] is not None else None,
        image_size,
        dropped,
        np.asarray(ids, np.int64) if given and ids[0] is not None else None,
        data,
        truncated,
    )


def zone_names(zones: Iterable[Iterable[str] | None]) -> Any:
    """Return the names of zones by face as ``Detections.data["zones"]`` has them: tuples, object [n]."""
    names = [tuple(each or ()) for each in zones]
    column = np.empty(len(names), object)
    column[:] = names
    return column
