"""`Track`: what is known of one person's face in a source, from the first sighting to the last."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trt_mogface.detections import Detections

CROP_SIDE = 112
"""Side in pixels from which a face counts as large: that of the input of recognition networks."""


@dataclass(frozen=True)
class Sighting:
    """One face of a track in one frame.

    Attributes:
        frame: Number of the frame in its source, from 0.
        time: Presentation time in seconds, or None if the stream has none.
        captured: Time of capture in seconds since 1970, UTC.
        box: x0, y0, x1, y1 in pixels of the frame.
        confidence: Confidence of the detection, within 0..1.
        quality: Fitness for a crop, within 0..1; see `quality`.
    """

    frame: int
    time: float | None
    captured: float
    box: tuple[float, float, float, float]
    confidence: float
    quality: float


@dataclass(frozen=True)
class Track:
    """Summary of a track up to a frame.

    Attributes:
        id: ``tracker_id`` of its faces.
        first: The first sighting that has the id.
        last: The latest sighting.
        faces: Number of sightings.
        best: The sighting with the best crop; the earliest of equals.
    """

    id: int
    first: Sighting
    last: Sighting
    faces: int
    best: Sighting


class Tracks:
    """Summaries of the tracks of one source that may still go on."""

    def __init__(self) -> None:
        self._tracks: dict[int, Track] = {}

    def update(
        self, faces: Detections, frame: int, time: float | None, captured: float, active: AbstractSet[int]
    ) -> tuple[tuple[Track | None, ...], tuple[Track, ...]]:
        """Add the faces of a frame.

        Args:
            faces: Faces with ``tracker_id``.
            frame, time, captured: See `Sighting`.
            active: Ids of tracks that may still go on; the others are forgotten.

        Returns:
            Summary of the track of each face, in their order, None for a face without a track; and the tracks
            that are over.
        """
        found = tuple(
            self._add(number, Sighting(frame, time, captured, (*box,), confidence, fitness))
            for number, box, confidence, fitness in zip(
                [] if faces.tracker_id is None else faces.tracker_id.tolist(),
                faces.xyxy.tolist(),
                faces.confidence.tolist(),
                quality(faces).tolist(),
            )
        )
        ended = tuple(self._tracks.pop(number) for number in sorted(self._tracks.keys() - active))
        return found, ended

    def rename(self, ids: Mapping[int, int]) -> None:
        """Give tracks other ids; those without one are forgotten."""
        self._tracks = {
            ids[number]: replace(track, id=ids[number])
            for number, track in self._tracks.items()
            if number in ids
        }

    def finish(self) -> tuple[Track, ...]:
        """Return the tracks that the end of the source ends."""
        ended = tuple(self._tracks[number] for number in sorted(self._tracks))
        self._tracks.clear()
        return ended

    def _add(self, number: int, sighting: Sighting) -> Track | None:
        if number < 0:
            return None
        track = self._tracks.get(number)
        if track is None:
            track = Track(number, sighting, sighting, 1, sighting)
        else:
            best = max(track.best, sighting, key=lambda each: each.quality)
            track = replace(track, last=sighting, faces=track.faces + 1, best=best)
        self._tracks[number] = track
        return track


def quality(faces: Detections) -> NDArray[np.float64]:
    """Return how well each face suits for a crop, float64 [n] within 0..1.

    It is the product of the confidence, the size (the square root of the area by 112 pixels, at most 1) and
    the frontality by five landmarks.
    """
    width, height = (faces.xyxy[:, 2:].astype(float) - faces.xyxy[:, :2]).clip(0).T
    size = np.minimum(np.sqrt(width * height) / CROP_SIDE, 1)
    result: NDArray[np.float64] = faces.confidence * size * frontality(faces.landmarks, len(faces))
    return np.nan_to_num(result, nan=0.0)


def frontality(landmarks: NDArray[np.float32] | None, count: int) -> NDArray[np.float64]:
    """Return how far each face looks into the camera, float64 [count]: 1 straight, 0 in profile.

    A turned head shifts the nose towards one eye: the measure is the shorter distance of the nose from an
    eye by the longer one, both along the line through the eyes.  Without five landmarks it is 1.
    """
    if landmarks is None or landmarks.shape[1] != 5:
        return np.ones(count)
    right, left, nose = landmarks[:, :3].astype(float).transpose(1, 0, 2)
    axis = left - right
    with np.errstate(divide="ignore", invalid="ignore"):
        along = ((nose - right) * axis).sum(1) / (axis**2).sum(1)
        ratio = np.minimum(along, 1 - along) / np.maximum(along, 1 - along)
    clipped: NDArray[np.float64] = np.nan_to_num(ratio, nan=0.0).clip(0, 1)
    return clipped
