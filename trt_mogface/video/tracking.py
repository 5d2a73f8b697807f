"""`Tracker`: one identity for one face across the frames of a source, with the package ``trackers``."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from trt_mogface._optional import needs
from trt_mogface.detections import Detections
from trt_mogface.errors import ArgumentError
from trt_mogface.video.items import FrameFaces
from trt_mogface.video.tracks import Track, Tracks

TrackerKind = Literal["bytetrack", "ocsort", "botsort"]
KINDS: tuple[TrackerKind, ...] = get_args(TrackerKind)

LOW = 1 / 3
"""Confidence, by the threshold, down to which a face may continue a track but not begin one."""

OVERLAP: dict[TrackerKind, float] = {"bytetrack": 0.1, "ocsort": 0.3, "botsort": 0.2}
"""Least intersection over union of a face with the box that its track predicts."""


FARTHEST = 1e6
"""Largest distance in pixels of a corner of a tracked box from the corner of the image."""


def low_confidence(kind: TrackerKind, conf: float) -> float:
    """Return the threshold that the detector of a tracked source needs.

    ByteTrack and BoT-SORT continue tracks with weak detections of faces that are turned away or partly
    hidden; OC-SORT does not.

    Args:
        kind: See `open_tracker`.
        conf: Threshold from which a face is reported on its own.
    """
    return conf if kind == "ocsort" else conf * LOW


def open_tracker(kind: TrackerKind, rate: float, conf: float = 0.0) -> Tracker:
    """Return a tracker for one source.

    Args:
        kind: ``bytetrack``, ``ocsort`` or ``botsort`` (without camera motion compensation, because replayed
            detections have no images).
        rate: Analyzed frames per second, after sampling.  A track that is not seen for a second ends.
        conf: Confidence from which a face begins a track; weaker faces only continue one, and are dropped
            if they do not.

    Raises:
        ArgumentError: If the kind is unknown, or the rate is not positive and finite.
        MissingExtraError: If ``trackers`` is not installed.
    """
    if kind not in KINDS:
        raise ArgumentError("tracker", f"unknown tracker (choose from {', '.join(KINDS)})", repr(kind))
    if not (math.isfinite(rate) and rate > 0):
        raise ArgumentError("rate", "must be positive and finite", rate)
    return Tracker(_MAKERS[kind](rate, conf), conf, low_confidence(kind, conf))


class Tracker:
    """Identities of the faces of one source.

    Ids count from 1 and are not used again, also after the source was lost and opened again.  A gap without
    frames does not age tracks: after a reconnection, a face at the place where it was keeps its id.  The same
    detections in the same order always give the same ids, also without the weak faces that were dropped.

    Args:
        tracker: Tracker of the package ``trackers``.
        conf: See `open_tracker`.
        low: Confidence below which faces are left out at once.
    """

    def __init__(self, tracker: Any, conf: float, low: float) -> None:
        self._tracker, self._conf, self._low, self._tracks = tracker, conf, low, Tracks()
        self._ids: dict[int, int] = {}
        self._offset = 1

    def track(self, item: FrameFaces) -> FrameFaces:
        """Return the item with ids of its faces and summaries of their tracks.

        Args:
            item: The next analyzed frame of the source.
        """
        faces = self.update(item.faces)
        tracks, ended = self._tracks.update(faces, item.frame, item.time, item.captured, self.active)
        return dataclasses.replace(item, faces=faces, tracks=tracks, ended=ended)

    def replay(self, items: Iterable[FrameFaces], last_id: int = 0) -> None:
        """See recorded frames again, so that their tracks go on with their ids.

        Args:
            items: Recorded frames in order; the first ones of the source may be missing.
            last_id: Largest id that was recorded; further tracks have larger ones.
        """
        ids: dict[int, int] = {}
        for item in items:
            recorded, again = item.faces.tracker_id, self.track(item).faces.tracker_id
            if recorded is not None and again is not None and len(recorded) == len(again):
                ids |= {
                    new: old for new, old in zip(again.tolist(), recorded.tolist()) if new > 0 and old > 0
                }
        self._tracks.rename(ids)
        self._ids = {new - 1: old for new, old in ids.items()}
        is_complete = max(ids, default=0) == last_id and all(new == old for new, old in ids.items())
        self._offset = 1 if is_complete else last_id + 1

    def finish(self) -> tuple[Track, ...]:
        """Return the tracks that the end of the source ends."""
        return self._tracks.finish()

    def update(self, faces: Detections) -> Detections:
        """Return the faces of the next frame, in their order, with ``tracker_id``.

        The id is -1 for a face without a track: a track has its id from the second frame in a row on, so
        that a single false detection gets none.  Weak faces without a track are left out.
        """
        import supervision

        ids = np.full(len(faces), -1, np.int64)
        usable = np.flatnonzero(_are_trackable(faces.xyxy) & (faces.confidence >= self._low))
        found = self._tracker.update(
            supervision.Detections(
                xyxy=faces.xyxy[usable], confidence=faces.confidence[usable], data={"index": usable}
            )
        )
        if len(found):
            numbers = np.asarray(found.tracker_id, np.int64)
            ids[found.data["index"]] = [self._id(number) for number in numbers.tolist()]
        tracked = dataclasses.replace(faces, tracker_id=ids)
        return tracked[(ids > 0) | (faces.confidence >= self._conf)]

    @property
    def active(self) -> frozenset[int]:
        """Ids of tracks that may still go on."""
        return frozenset(self._id(each.tracker_id) for each in self._tracker.tracks if each.tracker_id >= 0)

    def _id(self, number: int) -> int:
        """Return the id of a track that the package has numbered; -1 for none."""
        return -1 if number < 0 else self._ids.get(number, number + self._offset)


def _are_trackable(boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which boxes have sides of a pixel or more and lie near an image.

    The filters of the trackers divide by sides and square areas.
    """
    are_near = (np.abs(boxes) <= FARTHEST).all(axis=1)
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.asarray(are_near & (sides >= 1).all(axis=1))


def _overlap(kind: TrackerKind) -> Any:
    """Return a measure that is 0 for pairs that the tracker would refuse.

    Otherwise a refused pair can decide which other pairs are chosen, and detections replayed without the
    faces that were dropped would give other ids.
    """
    with needs("video"):
        from trackers import IoU

    class Overlap(IoU):
        @override
        def _compute(self, boxes_1: NDArray[Any], boxes_2: NDArray[Any]) -> NDArray[Any]:
            values = np.asarray(super()._compute(boxes_1, boxes_2))
            return np.where(values >= OVERLAP[kind], values, 0)

    return Overlap()


def _bytetrack(rate: float, conf: float) -> Any:
    overlap = _overlap("bytetrack")
    from trackers import ByteTrackTracker

    return ByteTrackTracker(
        frame_rate=rate,
        iou=overlap,
        minimum_iou_threshold=OVERLAP["bytetrack"],
        high_conf_det_threshold=conf,
        track_activation_threshold=conf,
    )


def _ocsort(rate: float, conf: float) -> Any:
    overlap = _overlap("ocsort")
    from trackers import OCSORTTracker

    return OCSORTTracker(
        frame_rate=rate,
        iou=overlap,
        minimum_iou_threshold=OVERLAP["ocsort"],
        high_conf_det_threshold=conf,
    )


def _botsort(rate: float, conf: float) -> Any:
    overlap, least = _overlap("botsort"), OVERLAP["botsort"]
    from trackers import BoTSORTTracker

    return BoTSORTTracker(
        frame_rate=rate,
        iou=overlap,
        minimum_iou_threshold_first_assoc=least,
        minimum_iou_threshold_second_assoc=least,
        high_conf_det_threshold=conf,
        track_activation_threshold=conf,
        enable_cmc=False,
    )


_MAKERS: dict[TrackerKind, Callable[[float, float], Any]] = {
    "bytetrack": _bytetrack,
    "ocsort": _ocsort,
    "botsort": _botsort,
}
