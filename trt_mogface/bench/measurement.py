"""One thing done again and again for a time: how often, and how long each took."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from trt_mogface.errors import UsageError


@dataclass(frozen=True)
class Settings:
    """How long is measured; the defaults are trtexec's.

    Attributes:
        duration: Seconds measured, at least.
        warm_up: Seconds before them that do not count; one run at least.
        iterations: Runs measured, at least.

    Raises:
        UsageError: A duration that is not positive, or no run.
    """

    duration: float = 3.0
    warm_up: float = 0.2
    iterations: int = 10

    def __post_init__(self) -> None:
        if not 0 < self.duration < float("inf"):
            raise UsageError(f"--duration {self.duration:g}: must be a positive number of seconds")
        if not 0 <= self.warm_up < float("inf") or self.iterations < 1:
            raise UsageError("the warm-up must not be negative, and at least one run is measured")


@dataclass(frozen=True)
class Latency:
    """Milliseconds of many runs, in trtexec's words."""

    min: float
    mean: float
    median: float
    p90: float
    p95: float
    p99: float
    max: float

    @staticmethod
    def of(milliseconds: Sequence[float]) -> Latency:
        """Of times, of which there is at least one; percentiles are interpolated linearly."""
        low, median, p90, p95, p99, high = map(float, np.percentile(milliseconds, [0, 50, 90, 95, 99, 100]))
        return Latency(low, float(np.mean(milliseconds)), median, p90, p95, p99, high)


@dataclass(frozen=True)
class Measurement:
    """What was measured.

    Attributes:
        count: Times that `latency` is made of.
        seconds: From the first run's begin to the last one's end.
        pictures_per_s: Over those seconds.
        latency: Of a run, or of a picture where pictures were followed one by one.
    """

    count: int
    seconds: float
    pictures_per_s: float
    latency: Latency

    @staticmethod
    def of(milliseconds: Sequence[float], seconds: float, pictures: int) -> Measurement:
        """Of times, the seconds they took together, and the pictures of them all."""
        return Measurement(len(milliseconds), seconds, pictures / seconds, Latency.of(milliseconds))


def repeat(run: Callable[[], object], seconds: float, iterations: int) -> list[float]:
    """Milliseconds of each run, until so many seconds are over and there were so many runs."""
    times: list[float] = []
    now = time.perf_counter()
    end = now + seconds
    while now < end or len(times) < iterations:
        run()
        before, now = now, time.perf_counter()
        times.append((now - before) * 1e3)
    return times


def closed_loop(run: Callable[[], object], pictures: int, settings: Settings) -> Measurement:
    """Run, and run again as soon as that is done.

    Args:
        run: One run.
        pictures: Of one run.
        settings: How long.

    Raises:
        UsageError: One run takes longer than the whole measurement was to take.
    """
    check_fits(repeat(run, settings.warm_up, 1)[-1] / 1e3, settings)
    times = repeat(run, settings.duration, settings.iterations)
    return Measurement.of(times, sum(times) / 1e3, len(times) * pictures)


def check_fits(seconds: float, settings: Settings) -> None:
    """Refuse a duration in which nothing can be repeated.

    Args:
        seconds: Of one run, once warm.
        settings: How long is measured.

    Raises:
        UsageError: It takes longer than that.
    """
    if seconds > settings.duration:
        raise UsageError(
            f"--duration {settings.duration:g}: one run takes {seconds:.2f} s: measure longer, "
            "or use a smaller batch or size"
        )
