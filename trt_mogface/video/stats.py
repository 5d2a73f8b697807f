"""Counts of an analysis: by source, and totals."""

from __future__ import annotations

from dataclasses import dataclass

from trt_mogface.video.feed import State


@dataclass(frozen=True)
class SourceStats:
    """Counts of a source.

    Attributes:
        state: ``waiting`` (for a place among the open sources), ``opening``, ``running``, ``lost``, ``ended``
            or ``failed``.
        is_live: Whether it is a camera or live stream.
        frames, faces: Analyzed frames, and the faces in them.
        dropped: Frames of a live source that were left out to stay in time.
        corrupt: Damaged packets.
        opening: How often it was opened.
        fps: Analyzed frames per second, lately.
        lag: Seconds from the arrival of its latest frame to its faces; None before the first.
        message: Latest message of an event that says something.
    """

    state: State
    is_live: bool
    frames: int = 0
    faces: int = 0
    dropped: int = 0
    corrupt: int = 0
    opening: int = 0
    fps: float = 0.0
    lag: float | None = None
    message: str = ""


@dataclass(frozen=True)
class AnalysisStats:
    """Counts of an analysis: by source, and totals.

    Attributes:
        sources: `SourceStats` by name, of all that were added.
        seconds: Since the beginning.
        batches: Runs of the network.
    """

    sources: dict[str, SourceStats]
    seconds: float
    batches: int

    @property
    def frames(self) -> int:
        """Analyzed frames of all sources."""
        return sum(source.frames for source in self.sources.values())

    @property
    def faces(self) -> int:
        """Faces of all sources."""
        return sum(source.faces for source in self.sources.values())

    @property
    def dropped(self) -> int:
        """Dropped frames of all sources."""
        return sum(source.dropped for source in self.sources.values())

    @property
    def fps(self) -> float:
        """Analyzed frames per second of all sources, lately."""
        return sum(source.fps for source in self.sources.values())
