"""Sampling: which frames of a source are analyzed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral

from trt_mogface.errors import ArgumentError

LIMIT = 1e9


@dataclass(frozen=True)
class Sampling:
    """Choice of the frames that are analyzed.

    Attributes:
        every: Interval of analyzed frames by number; 1 is every frame.
        fps: Frames per second by their time stamps; None for all.
        keyframes: Whether only key frames are decoded and analyzed.
        start: Seconds after the first frame of a file at which to begin; live sources begin at once.
        duration: Seconds to analyze; None for all.

    Raises:
        ArgumentError: If a value is impossible.
    """

    every: int = 1
    fps: float | None = None
    keyframes: bool = False
    start: float = 0.0
    duration: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.every, Integral) or isinstance(self.every, bool) or self.every < 1:
            raise ArgumentError("every", "must be a positive whole number", repr(self.every)[:40])
        _check("fps", self.fps, above_zero=True)
        _check("start", self.start, above_zero=False)
        _check("duration", self.duration, above_zero=True)

    def rate(self, stream_rate: float) -> float:
        """Return the analyzed frames per second of a stream with `stream_rate` frames per second."""
        rate = stream_rate / self.every
        return rate if self.fps is None else min(rate, self.fps)


def _check(name: str, value: float | None, *, above_zero: bool) -> None:
    if value is None:
        return
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 <= value < LIMIT or (above_zero and value == 0):
        problem = "must be positive and finite" if above_zero else "must be at least 0 and finite"
        raise ArgumentError(name, problem, repr(value)[:40])


class Sampler:
    """Decision for each frame of one source, in the order of their numbers.

    Args:
        sampling: Choice of frames.
        rate: Frames per second of the stream, for frames without a time.
    """

    def __init__(self, sampling: Sampling, rate: float) -> None:
        self._sampling, self._rate = sampling, rate
        self._origin: float | None = None
        self._slot = -1
        self._latest = -math.inf

    def takes(self, number: int, time: float | None) -> bool:
        """Return whether a frame is analyzed.

        Args:
            number: Number of the frame in the source.
            time: Seconds; times that jump back begin a new count.
        """
        if number % self._sampling.every:
            return False
        fps = self._sampling.fps
        if fps is None:
            return True
        time = number / self._rate if time is None else time
        if self._origin is None or time < self._latest:
            self._origin, self._slot = time, -1
        self._latest = time
        slot = math.floor((time - self._origin) * fps + 1e-6)
        if slot <= self._slot:
            return False
        self._slot = slot
        return True
