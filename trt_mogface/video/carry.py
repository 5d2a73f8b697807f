"""`Carrier`: places of faces also in the frames in which the detector missed them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trt_mogface.detections import Detections
from trt_mogface.video.items import FrameFaces, Item, SourceEvent
from trt_mogface.video.tracking import open_tracker

Box = NDArray[np.float64]
"""x0, y0, x1, y1 in pixels: float64 [4]."""

BREAKS = frozenset({"lost", "ended", "failed", "resized"})
"""Events after which no frame is near, so that waiting ones need wait no longer."""

SECONDS = 2.0
"""Longest time over which a face is carried, for sources of few frames a second."""


@dataclass(frozen=True)
class _Moment:
    """Number of a frame among the analyzed frames of its source, and its presentation time."""

    position: int
    time: float | None

    def is_near(self, other: _Moment, frames: int) -> bool:
        apart = 0.0 if self.time is None or other.time is None else abs(self.time - other.time)
        return abs(self.position - other.position) <= frames and apart <= SECONDS


@dataclass(frozen=True)
class _Sighting:
    moment: _Moment
    box: Box


@dataclass(frozen=True)
class _Waiting:
    """A frame that waits for later ones, with the faces that it shows; or an event between frames."""

    moment: _Moment
    item: Item
    seen: Mapping[int, Box]


class Carrier:
    """Boxes to hide in each frame of one source: faces that were found, and faces that were carried.

    Between two sightings of a track its box is interpolated.  Before the first and after the last sighting
    it is held for `frames` frames, and at most for two seconds of the stream.  A frame is therefore returned
    that much later, or at an event after which the source is no longer the same.  Faces without ids are
    tracked here.

    Args:
        frames: Number of analyzed frames over which a face is carried.
    """

    def __init__(self, frames: int) -> None:
        self._frames, self._now, self._unknown = frames, _Moment(0, None), 0
        self._waiting: deque[_Waiting] = deque()
        self._last: dict[int, _Sighting] = {}
        self._tracker = open_tracker("bytetrack", max(frames, 1))

    def push(self, item: Item) -> Iterator[tuple[Item, NDArray[np.float64]]]:
        """Add an item, and yield those whose boxes are now known.

        Yields:
            Items in their order, each with boxes to hide, float64 [n, 4]; an event has no boxes.
        """
        self._waiting.append(self._placed(item))
        if isinstance(item, SourceEvent) and item.event in BREAKS:
            yield from self.flush()
            if item.event == "resized":
                self._last.clear()
        while self._waiting and self._is_due(self._waiting[0]):
            yield self._pop()

    def flush(self) -> Iterator[tuple[Item, NDArray[np.float64]]]:
        """Yield all waiting items, as `push` does."""
        while self._waiting:
            yield self._pop()

    def replay(self, item: Item) -> None:
        """Take over the faces of an item that an earlier run has returned."""
        self._see(self._placed(item))
        if isinstance(item, SourceEvent) and item.event == "resized":
            self._last.clear()

    def _placed(self, item: Item) -> _Waiting:
        if isinstance(item, SourceEvent):
            return _Waiting(self._now, item, {})
        self._now = _Moment(self._now.position + 1, item.time)
        return _Waiting(self._now, item, self._by_id(item.faces))

    def _is_due(self, waiting: _Waiting) -> bool:
        return isinstance(waiting.item, SourceEvent) or not waiting.moment.is_near(
            self._now, self._frames - 1
        )

    def _pop(self) -> tuple[Item, NDArray[np.float64]]:
        waiting = self._waiting.popleft()
        is_frame = isinstance(waiting.item, FrameFaces)
        boxes = [*waiting.seen.values(), *(self._carried(waiting) if is_frame else ())]
        self._see(waiting)
        return waiting.item, np.array(boxes).reshape(-1, 4)

    def _see(self, waiting: _Waiting) -> None:
        self._last.update({key: _Sighting(waiting.moment, box) for key, box in waiting.seen.items()})
        self._last = {key: seen for key, seen in self._last.items() if self._is_near(seen.moment, waiting)}

    def _carried(self, waiting: _Waiting) -> Iterator[Box]:
        """Yield boxes of tracks that were seen shortly before or will be seen shortly after, but not now."""
        before = {key: seen for key, seen in self._last.items() if self._is_near(seen.moment, waiting)}
        after: dict[int, _Sighting] = {}
        for later in self._waiting:
            if self._is_near(later.moment, waiting):
                for key, box in later.seen.items():
                    after.setdefault(key, _Sighting(later.moment, box))
        for key in {**before, **after}:
            if key not in waiting.seen:
                yield between(waiting.moment.position, before.get(key), after.get(key))

    def _is_near(self, moment: _Moment, waiting: _Waiting) -> bool:
        return moment.is_near(waiting.moment, self._frames)

    def _by_id(self, faces: Detections) -> dict[int, Box]:
        """Return boxes by id; a face without a track has an id of its own below 0."""
        if faces.tracker_id is None:
            faces = self._tracker.update(faces)
        found = {}
        for number, box in zip(np.asarray(faces.tracker_id).tolist(), faces.xyxy.astype(float)):
            self._unknown += number < 0
            found[-self._unknown if number < 0 else number] = box
        return found


def between(position: int, before: _Sighting | None, after: _Sighting | None) -> Box:
    """Return the box of a face between two sightings, or that of the only one."""
    if before is None or after is None:
        (only,) = (each for each in (before, after) if each)
        return only.box
    share = (position - before.moment.position) / (after.moment.position - before.moment.position)
    return before.box + share * (after.box - before.box)


def widened(boxes: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Return boxes, float64 [..., 4], that are larger at each side by a share of their width and height."""
    sides = boxes[..., 2:] - boxes[..., :2]
    return np.concatenate([boxes[..., :2] - share * sides, boxes[..., 2:] + share * sides], axis=-1)
