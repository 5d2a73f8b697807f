"""CSV: a row for each face, frame without a face, event and track that is over."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from trt_mogface.video.items import FrameFaces, Item
from trt_mogface.video.records import MICRO, SCHEMA
from trt_mogface.video.sinks.lines import OneFileSink, Rotation

COLUMNS = [
    "record",
    "schema",
    "source",
    "frame",
    "time",
    "captured",
    "clock",
    "opening",
    "lag",
    "width",
    "height",
    "dropped",
    "truncated",
    "faces",
    "face",
    "x0",
    "y0",
    "x1",
    "y1",
    "confidence",
    "tracker_id",
    "landmarks",
    "zones",
    "event",
    "count",
    "message",
    "first_frame",
    "best_frame",
]
"""Columns; those that a row has no value for are empty."""

Row = dict[str, Any]


class CsvSink(OneFileSink):
    """A file of comma-separated values with one header line.

    Args:
        name: Specification of the sink, for messages.
        target: File; segments have the begin of each before its suffix.
        rotation: See `Rotation`.
        resume: Whether the file may have records of an earlier run.

    Raises:
        OutputError: If the file cannot be written, is in use, or has records that are not to be continued.
    """

    def __init__(
        self, name: str, target: str, *, rotation: Rotation | None = None, resume: bool = False
    ) -> None:
        super().__init__(name, target, (",".join(COLUMNS) + "\n").encode(), rotation, resume=resume)

    def write(self, item: Item) -> None:
        """Append the rows of an item."""
        text = io.StringIO()
        csv.DictWriter(text, COLUMNS, lineterminator="\n").writerows(rows(item))
        self.append(item.captured, text.getvalue().encode("utf-8", "backslashreplace"))


def rows(item: Item) -> Iterator[Row]:
    """Yield the rows of an item."""
    common = {"schema": SCHEMA, "source": item.source, "frame": item.frame, "opening": item.opening}
    common["captured"] = round(item.captured, MICRO)
    if isinstance(item, FrameFaces):
        yield from _frame_rows(item, common)
    else:
        yield common | {
            "record": "event",
            "event": item.event,
            "count": item.count,
            "message": item.message,
        }
    for track in item.ended:
        best = dict(zip(("x0", "y0", "x1", "y1"), track.best.box)) | {"confidence": track.best.confidence}
        frames = {"first_frame": track.first.frame, "best_frame": track.best.frame}
        yield common | {"record": "track", "tracker_id": track.id, "faces": track.faces, **best, **frames}


def _frame_rows(item: FrameFaces, common: Row) -> Iterator[Row]:
    faces = item.faces
    height, width = faces.image_size
    lag = None if item.lag is None else round(item.lag, MICRO)
    common = common | {
        "record": "frame",
        "time": item.time,
        "clock": item.clock,
        "lag": lag,
        "width": width,
        "height": height,
        "dropped": faces.dropped,
        "truncated": faces.truncated,
        "faces": len(faces),
    }
    if not len(faces):
        yield common
    nothing = itertools.repeat(None)
    ids = nothing if faces.tracker_id is None else faces.tracker_id.tolist()
    points = nothing if faces.landmarks is None else [np.ravel(each).tolist() for each in faces.landmarks]
    zones = faces.data.get("zones", nothing)
    for index, (box, confidence, number, places, within) in enumerate(
        zip(faces.xyxy.tolist(), faces.confidence.tolist(), ids, points, zones)
    ):
        yield common | {
            "face": index,
            **dict(zip(("x0", "y0", "x1", "y1"), box)),
            "confidence": confidence,
            "tracker_id": number,
            "landmarks": None if places is None else " ".join(map(str, places)),
            "zones": None if within is None else " ".join(within),
        }
