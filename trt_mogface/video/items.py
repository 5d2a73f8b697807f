"""Items of an analysis: the faces of a frame, or an event of a source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from trt_mogface.detections import Detections
from trt_mogface.errors import ImageError
from trt_mogface.frame import Frame, Image
from trt_mogface.reference.color import to_bgr
from trt_mogface.video.tracks import Track

Clock = Literal["sender", "arrival"]
"""Origin of a capture time: the sender's clock, or the arrival at this machine."""

EventKind = Literal["opened", "lost", "reopened", "dropped", "corrupt", "resized", "ended", "failed"]
EVENTS: tuple[EventKind, ...] = get_args(EventKind)


@dataclass(frozen=True, eq=False)
class FrameFaces:
    """The faces of one analyzed frame; a frame without a face is one too.

    Attributes:
        source: Name of the source, without a password.
        frame: Number of the frame in its source, from 0; frames that were not analyzed count.
        time: Presentation time in the stream in seconds, or None if the stream has none.
        captured: Time of capture in seconds since 1970, UTC.
        clock: Origin of `captured`.
        faces: Faces in pixels of the frame as it is shown (rotation applied); ``tracker_id`` is set with
            tracking, and ``data["zones"]`` has a tuple of names of zones for each face if the source has
            zones.
        opening: How often the source was opened before this frame, from 1.
        picture: The frame; None if it is no longer held.
        audio: Encoded packets of sound since the frame before; empty unless requested.
        tracks: Summary of the track of each face up to this frame, or None for a face without; empty without
            tracking.
        lag: Seconds from the capture to the faces, of a live source; None for a file.
        ended: Tracks that are over with this frame.
    """

    source: str
    frame: int
    time: float | None
    captured: float
    clock: Clock
    faces: Detections
    opening: int = 1
    picture: Frame | None = None
    audio: tuple[Any, ...] = ()
    tracks: tuple[Track | None, ...] = ()
    lag: float | None = None
    ended: tuple[Track, ...] = ()

    def image(self) -> Image:
        """Return the picture as uint8 [H, W, 3], BGR.

        Raises:
            ImageError: If the picture is no longer held, or lies on a GPU.
        """
        if self.picture is None:
            raise ImageError(f"{self.source}: frame {self.frame} is no longer held; read it earlier")
        if not self.picture.on_host:
            raise ImageError(f"{self.source}: frame {self.frame} lies on a GPU; use its planes")
        return to_bgr(self.picture)


@dataclass(frozen=True)
class SourceEvent:
    """An event of a source, such as a loss.

    Attributes:
        source: Name of the source, without a password.
        event: ``opened``, ``lost``, ``reopened``, ``dropped``, ``corrupt``, ``resized``, ``ended`` or
            ``failed``.
        captured: When it happened, in seconds since 1970, UTC.
        frame: Number of the next frame of the source.
        count: Number of dropped frames or corrupt packets; 0 for other events.
        message: One line for people, without a password; may be empty.
        opening: How often the source was opened up to now, from 1.
        ended: Tracks that are over with the event: the last ones of a source.
    """

    source: str
    event: EventKind
    captured: float
    frame: int = 0
    count: int = 0
    message: str = ""
    opening: int = 1
    ended: tuple[Track, ...] = ()


Item: TypeAlias = "FrameFaces | SourceEvent"
