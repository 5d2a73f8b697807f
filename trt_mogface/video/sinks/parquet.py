"""Parquet: tables of frames, faces, events and tracks, in parts by source and UTC hour.

A file of Parquet is readable only when it is complete, so rows go into parts that are written whole.
"""

from __future__ import annotations

import io
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from trt_mogface._optional import needs
from trt_mogface.errors import OutputError, first_line
from trt_mogface.video.items import FrameFaces, Item, SourceEvent
from trt_mogface.video.records import MICRO, SCHEMA, detections
from trt_mogface.video.sinks.files import make_folder, sync_folder, write_whole
from trt_mogface.video.sinks.ledger import Ledger
from trt_mogface.video.sinks.lines import Rotation
from trt_mogface.video.tracks import Sighting, Track

with needs("video"):
    import pyarrow as pa
    import pyarrow.parquet as pq

ROWS = 100_000
"""Rows of a source that are held before they become parts."""

AGE = 600.0
"""Seconds for which rows are held before they become parts."""

LONGEST = 240
"""Bytes of the name of a partition; file systems allow 255."""

_MOMENT = pa.timestamp("us", tz="UTC")
_BOX = [(name, pa.float32()) for name in ("x0", "y0", "x1", "y1")]
_SIGHTING = pa.struct(
    [
        ("frame", pa.int64()),
        ("time", pa.float64()),
        ("captured", _MOMENT),
        ("box", pa.list_(pa.float64(), 4)),
        ("confidence", pa.float64()),
        ("quality", pa.float64()),
    ]
)

TABLES = {
    "frames": pa.schema(
        [
            ("frame", pa.int64()),
            ("time", pa.float64()),
            ("captured", _MOMENT),
            ("clock", pa.string()),
            ("opening", pa.int32()),
            ("lag", pa.float64()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("dropped", pa.int32()),
            ("truncated", pa.int32()),
            ("faces", pa.int32()),
        ]
    ),
    "faces": pa.schema(
        [
            ("frame", pa.int64()),
            ("time", pa.float64()),
            ("captured", _MOMENT),
            ("face", pa.int32()),
            *_BOX,
            ("confidence", pa.float32()),
            ("tracker_id", pa.int64()),
            ("landmarks", pa.list_(pa.float32())),
            ("zones", pa.list_(pa.string())),
        ]
    ),
    "events": pa.schema(
        [
            ("event", pa.string()),
            ("captured", _MOMENT),
            ("frame", pa.int64()),
            ("count", pa.int64()),
            ("message", pa.string()),
            ("opening", pa.int32()),
        ]
    ),
    "tracks": pa.schema(
        [
            ("frame", pa.int64()),
            ("tracker_id", pa.int64()),
            ("faces", pa.int64()),
            ("first", _SIGHTING),
            ("last", _SIGHTING),
            ("best", _SIGHTING),
        ]
    ),
}
"""Columns of each table, beside ``source`` and ``hour``, which are in the names of folders."""

_METADATA = {"trt_mogface.schema": str(SCHEMA)}


@dataclass
class _Held:
    """Rows of one source that are not in a part yet."""

    since: float
    items: int = 0
    rows: int = 0
    tables: dict[tuple[str, str], list[tuple[Any, ...]]] = field(default_factory=lambda: defaultdict(list))


class ParquetSink:
    """Parts of Parquet below ``frames/``, ``faces/``, ``events/`` and ``tracks/``.

    Args:
        name: Specification of the sink, for messages.
        target: Folder.
        rotation: See `Rotation`; a segment is the largest age of rows in seconds.
        rows: Rows of a source after which parts are written.
        resume: Whether the folder may have parts of an earlier run.

    Raises:
        OutputError: If the folder cannot be written, is in use, or has parts that are not to be continued.
    """

    needs_pictures = False

    def __init__(
        self,
        name: str,
        target: str,
        *,
        rotation: Rotation | None = None,
        rows: int = ROWS,
        resume: bool = False,
    ) -> None:
        self.name, self._rotation, self._rows = name, rotation or Rotation(), rows
        self._age = AGE if self._rotation.segment is None else self._rotation.segment
        self._ledger = Ledger(Path(target), "parquet", name, resume=resume)
        self._held: dict[str, _Held] = {}
        self._folders: set[Path] = set()

    def write(self, item: Item) -> None:
        """Hold the rows of an item; write parts if there are many.

        Raises:
            OutputError: If parts cannot be written.
        """
        held = self._held.get(item.source)
        if held is None:
            held = self._held[item.source] = _Held(time.monotonic())
        hour = f"{datetime.fromtimestamp(item.captured, timezone.utc):%Y-%m-%dT%H}"
        for table, row in _rows(item):
            held.tables[table, hour].append(row)
            held.rows += 1
        held.items += 1
        if held.rows >= self._rows or (isinstance(item, SourceEvent) and item.event in ("ended", "failed")):
            self._write_parts(item.source)

    def flush(self) -> None:
        """Write the rows that are old enough, and make all parts durable.

        Raises:
            OutputError: If parts cannot be written.
        """
        now = time.monotonic()
        for source in [each for each, held in self._held.items() if now - held.since >= self._age]:
            self._write_parts(source)
        self._sync()

    def pending(self) -> dict[str, int]:
        """Return the number of items of each source that are not in a part yet."""
        return {source: held.items for source, held in self._held.items()}

    def position(self) -> Any:
        """Return the number of the next part."""
        return self._ledger.next

    def cut(self, position: Any) -> None:
        """Delete the parts behind a position."""
        self._ledger.cut(position)

    def close(self) -> None:
        """Write the rest; closing twice is harmless."""
        try:
            for source in list(self._held):
                self._write_parts(source)
            if self._folders:
                self._sync()
        finally:
            self._ledger.close()

    def _write_parts(self, source: str) -> None:
        part = f"part-{self._ledger.next:08d}.parquet"  # the same for all tables
        for (table, hour), rows in self._held[source].tables.items():
            path = self._ledger.add(f"{table}/source={_quoted(self.name, source)}/hour={hour}/{part}")
            make_folder(path.parent)
            write_whole(path, _encoded(table, rows), durable=True)
            self._folders.add(path.parent)
        del self._held[source]

    def _sync(self) -> None:
        for folder in self._folders:
            sync_folder(folder)
        self._folders.clear()
        self._ledger.sync()
        self._rotation.expire(self._ledger, frozenset())


def read(folder: Path) -> Iterator[Item]:
    """Yield the items of a folder, source by source and hour by hour.

    Raises:
        OutputError: If a part is damaged or of another schema.
    """
    parts = {
        path.relative_to(folder / table)
        for table in TABLES
        for path in (folder / table).glob("source=*/hour=*/*.parquet")
    }
    for part in sorted(parts):
        source = unquote(part.parts[0].removeprefix("source="))
        try:
            yield from _items(source, {table: _part_rows(folder / table / part) for table in TABLES})
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            problem = f"cannot be read as records of schema {SCHEMA} ({first_line(error)})"
            raise OutputError(f"{folder}: {part}: {problem}; name the folder of a parquet sink") from error


def _rows(item: Item) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield each table and row of an item."""
    captured = _moment(item.captured)
    if isinstance(item, FrameFaces):
        faces = item.faces
        height, width = faces.image_size
        numbers = (width, height, faces.dropped, faces.truncated, len(faces))
        lag = None if item.lag is None else round(item.lag, MICRO)
        yield "frames", (item.frame, item.time, captured, item.clock, item.opening, lag, *numbers)
        nothing = [None] * len(faces)
        ids = nothing if faces.tracker_id is None else faces.tracker_id.tolist()
        points = nothing if faces.landmarks is None else [np.ravel(each).tolist() for each in faces.landmarks]
        zones = nothing if "zones" not in faces.data else map(list, faces.data["zones"])
        for row in zip(
            range(len(faces)), *faces.xyxy.T.tolist(), faces.confidence.tolist(), ids, points, zones
        ):
            yield "faces", (item.frame, item.time, captured, *row)
    else:
        yield "events", (item.event, captured, item.frame, item.count, item.message, item.opening)
    for track in item.ended:
        moments = (_sighting(each) for each in (track.first, track.last, track.best))
        yield "tracks", (item.frame, track.id, track.faces, *moments)


def _sighting(one: Sighting) -> dict[str, Any]:
    values = {"frame": one.frame, "time": one.time, "captured": _moment(one.captured), "box": list(one.box)}
    return values | {"confidence": one.confidence, "quality": one.quality}


def _moment(captured: float) -> int:
    return round(round(captured, MICRO) * 1e6)


def _encoded(table: str, rows: list[tuple[Any, ...]]) -> bytes:
    schema = TABLES[table]
    columns = [pa.array(list(values), kind) for values, kind in zip(zip(*rows), schema.types)]
    made = pa.Table.from_arrays(columns, schema=schema.with_metadata(_METADATA))
    data = io.BytesIO()
    pq.write_table(made, data, compression="zstd")
    return data.getvalue()


def _quoted(sink: str, source: str) -> str:
    """Return a source as hive partitions spell it."""
    name = quote(source, safe=" +,@")
    if len(name) > LONGEST - len("source="):
        raise OutputError(f"{sink}: the name of source {source[:40]}... is too long for a folder; shorten it")
    return name


def _part_rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    table = pq.ParquetFile(path).read()
    version = (table.schema.metadata or {}).get(b"trt_mogface.schema", b"unknown").decode()
    if version != str(SCHEMA):
        raise ValueError(f"schema {version}")
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _items(source: str, tables: dict[str, list[dict[str, Any]]]) -> Iterator[Item]:
    """Yield the items of a part in the order of frames; an event comes before the frame it names."""
    faces, tracks = defaultdict(list), defaultdict(list)
    for row in tables["faces"]:
        faces[row["frame"]].append(row)
    for row in tables["tracks"]:
        tracks[row["frame"]].append(_track(row))
    items: list[Item] = [_event(source, row) for row in tables["events"]]
    items += [_frame(source, row, faces.pop(row["frame"], [])) for row in tables["frames"]]
    items.sort(key=lambda item: (item.frame, isinstance(item, FrameFaces)))
    last = {item.frame: index for index, item in enumerate(items)}
    for index, item in enumerate(items):
        ended = tracks.get(item.frame, ()) if last[item.frame] == index else ()
        yield replace(item, ended=tuple(ended)) if ended else item


def _frame(source: str, row: dict[str, Any], faces: list[dict[str, Any]]) -> FrameFaces:
    found = detections(
        [[face[name] for name in ("x0", "y0", "x1", "y1")] for face in faces],
        [face["confidence"] for face in faces],
        [_points(face["landmarks"]) for face in faces],
        [face["tracker_id"] for face in faces],
        [face["zones"] for face in faces],
        (row["height"], row["width"]),
        row["dropped"],
        row["truncated"],
    )
    captured = row["captured"].timestamp()
    return FrameFaces(
        source, row["frame"], row["time"], captured, row["clock"], found, row["opening"], lag=row["lag"]
    )


def _points(flat: list[float] | None) -> list[list[float]] | None:
    return None if flat is None else [flat[at : at + 2] for at in range(0, len(flat), 2)]


def _event(source: str, row: dict[str, Any]) -> SourceEvent:
    captured = row["captured"].timestamp()
    return SourceEvent(
        source, row["event"], captured, row["frame"], row["count"], row["message"], row["opening"]
    )


def _track(row: dict[str, Any]) -> Track:
    first, last, best = (
        Sighting(
            **{**row[name], "captured": row[name]["captured"].timestamp(), "box": tuple(row[name]["box"])}
        )
        for name in ("first", "last", "best")
    )
    return Track(row["tracker_id"], first, last, row["faces"], best)
