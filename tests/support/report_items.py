"""Items of an analysis, made up: faces that come and go in cameras and files, and what happens to these."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trt_mogface import Detections
from trt_mogface.video.items import Clock, FrameFaces, Item, SourceEvent

BEGUN = 1_760_000_000.0
"""Seconds since 1970 of the first frame."""

RATE = 25.0


def faces(generator: np.random.Generator, count: int, first: int) -> Detections:
    """Return tracked faces of any size and confidence; `first` is the number of the first track."""
    corners = generator.uniform(0, 500, (count, 2))
    sides = generator.lognormal(4, 0.7, (count, 2))
    boxes = np.hstack([corners, corners + sides]).astype(np.float32)
    scores = generator.beta(8, 2, count).astype(np.float32)
    return Detections(boxes, scores, None, (720, 1280), tracker_id=np.arange(count) + first)


def items(name: str, frames: int, *, is_live: bool, seed: int = 0) -> Iterator[Item]:
    """Yield a source from `opened` to `ended`; a live one drops frames, and is lost in its middle."""
    generator = np.random.default_rng(seed)
    yield SourceEvent(name, "opened", BEGUN)
    for number in range(frames):
        time = number / RATE
        captured = BEGUN + (time if is_live else time / 7)
        if is_live and number == frames // 2:
            yield SourceEvent(name, "lost", captured, number, message="connection reset")
        if is_live and frames // 2 <= number < frames // 2 + 100:
            continue
        if is_live and number == frames // 2 + 100:
            yield SourceEvent(name, "reopened", captured, number, opening=2)
        if is_live and number % 200 == 0:
            yield SourceEvent(name, "dropped", captured, number, 7)
        found = faces(generator, int(generator.poisson(2)), 1 + number // 100 * 8)
        clock: Clock = "sender" if is_live else "arrival"
        lag = float(generator.exponential(0.05)) if is_live else None
        yield FrameFaces(name, number, time, captured, clock, found, lag=lag)
    yield SourceEvent(name, "ended", BEGUN + frames / RATE, frames)
