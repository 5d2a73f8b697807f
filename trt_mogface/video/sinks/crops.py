"""Crops: an image for each face, cut out or aligned for recognition networks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from trt_mogface.detections import Detections
from trt_mogface.errors import ImageError, OutputError
from trt_mogface.frame import Image
from trt_mogface.video.items import FrameFaces, Item
from trt_mogface.video.sinks.files import file_name, make_folder, sync_file, sync_folder, write_whole
from trt_mogface.video.sinks.ledger import Ledger
from trt_mogface.video.sinks.lines import Rotation

NAMES = re.compile(r"\.?(\d{8,})-\d+(-id\d+)?\.jpg(\.unfinished)?")
"""Names of crops: frame, index of the face in it, and id of its track."""


class CropsSink:
    """JPEG files ``SOURCE/HOUR/FRAME-INDEX.jpg``, with ``-idN`` for a face with a track.

    Args:
        name: Specification of the sink, for messages.
        target: Folder.
        rotation: See `Rotation`; crops have no segments.
        aligned: Whether to turn and scale faces to the 112x112 template of recognition networks.
        margin: Share of the box that is added on each side of a plain crop.
        resume: Whether the folder may have crops of an earlier run.

    Raises:
        OutputError: If the folder cannot be written, is in use, or has crops that are not to be continued.
    """

    needs_pictures = True

    def __init__(
        self,
        name: str,
        target: str,
        *,
        rotation: Rotation | None = None,
        aligned: bool = False,
        margin: float = 0.1,
        resume: bool = False,
    ) -> None:
        self.name, self._rotation = name, rotation or Rotation()
        self._aligned, self._margin = aligned, margin
        self._ledger = Ledger(Path(target), "crops", name, resume=resume, content=NAMES)
        self._folders: dict[str, Path] = {}
        self._written: list[Path] = []
        self._next: dict[str, int] = {}

    def write(self, item: Item) -> None:
        """Write the faces of a frame.

        Raises:
            OutputError: If a file cannot be written, or the picture is on a GPU.
        """
        if not isinstance(item, FrameFaces):
            return
        if len(item.faces) and item.picture is not None:
            folder = self._folder(item)
            for index, crop in self._crops(item):
                number = -1 if item.faces.tracker_id is None else int(item.faces.tracker_id[index])
                identity = f"-id{number}" if number > 0 else ""
                path = folder / f"{item.frame:08d}-{index}{identity}.jpg"
                write_whole(path, cv2.imencode(".jpg", crop)[1].tobytes(), durable=False)
                self._written.append(path)
        self._next[item.source] = item.frame + 1

    def flush(self) -> None:
        """Make all crops durable.

        Raises:
            OutputError: If the disk refuses.
        """
        for path in self._written:
            sync_file(path)
        for folder in {path.parent for path in self._written if path.parent.is_dir()}:
            sync_folder(folder)
        self._written.clear()
        self._ledger.sync()
        self._rotation.expire(self._ledger, frozenset())

    def pending(self) -> dict[str, int]:
        """Return nothing: a flush leaves nothing behind."""
        return {}

    def position(self) -> Any:
        """Return the number of folders, and the next frame of each source."""
        return {"folders": self._ledger.next, "next": dict(self._next)}

    def cut(self, position: Any) -> None:
        """Delete the crops of later frames."""
        self._ledger.cut(position["folders"])
        self._next = dict(position["next"])
        root = self._ledger.folder
        for source, frame in self._next.items():
            for path in (root / file_name(source)).glob("*/*"):
                found = NAMES.fullmatch(path.name)
                if found and int(found[1]) >= frame:
                    path.unlink()

    def close(self) -> None:
        """Flush; closing twice is harmless."""
        try:
            if self._written:
                self.flush()
        finally:
            self._ledger.close()

    def _folder(self, item: FrameFaces) -> Path:
        hour = f"{datetime.fromtimestamp(item.captured, timezone.utc):%Y-%m-%dT%H}"
        name = f"{file_name(item.source)}/{hour}/"
        path = self._ledger.folder / name
        if self._folders.get(item.source) != path:
            if name not in self._ledger:
                self._ledger.add(name)
            make_folder(path)
            self._folders[item.source] = path
        return path

    def _crops(self, item: FrameFaces) -> Iterator[tuple[int, Image]]:
        """Yield the index and the image of each face that has pixels in the frame."""
        try:
            image = item.image()
        except ImageError as error:
            raise OutputError(f"{self.name}: {error}") from error
        if self._aligned:
            if item.faces.landmarks is None:
                raise OutputError(
                    f"{self.name}: the model has no landmarks; omit aligned, or use another model"
                )
            yield from enumerate(item.faces.aligned(image))
            return
        for index, (x0, y0, x1, y1) in enumerate(_with_margin(item.faces, self._margin)):
            if x0 < x1 and y0 < y1:
                yield index, image[y0:y1, x0:x1]


def _with_margin(faces: Detections, margin: float) -> list[list[int]]:
    """Return the boxes with a margin, in whole pixels within the frame."""
    height, width = faces.image_size
    wider = (faces.xyxy[:, 2:] - faces.xyxy[:, :2]) * margin
    boxes = np.nan_to_num(np.concatenate([faces.xyxy[:, :2] - wider, faces.xyxy[:, 2:] + wider], axis=1))
    limits = np.array([width, height, width, height])
    whole: list[list[int]] = np.clip(np.round(boxes), 0, limits).astype(int).tolist()
    return whole
