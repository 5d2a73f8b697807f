"""Closed loop: repeat one run for a time; its throughput and latency."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from trt_mogface.errors import ArgumentError


@dataclass(frozen=True)
class MeasureOptions:
    """Length of a measurement; the defaults are trtexec's.

    Attributes:
        duration: Minimum seconds measured.
        warm_up: Seconds of warm-up, at least one run.
        iterations: Minimum number of runs measured.

    Raises:
        ArgumentError: If a value is not positive (`warm_up`: negative).
    """

    duration: float = 3.0
    warm_up: float = 0.2
    iterations: int = 10

    def __post_init__(self) -> None:
        for name, value in (("duration", self.duration), ("iterations", self.iterations)):
            if not 0 < value < float("inf"):
                raise ArgumentError(name, "must be positive", f"{value:g}")
        if not 0 <= self.warm_up < float("inf"):
            raise ArgumentError("warm_up", "must not be negative", f"{self.warm_up:g}")


@dataclass(frozen=True)
class Latency:
    """Statistics of run times in milliseconds, named as in trtexec."""

    min: float
    mean: float
    median: float
    p90: float
    p95: float
    p99: float
    max: float

    @staticmethod
    def of(milliseconds: Sequence[float]) -> Latency:
        """Return the statistics of at least one time; percentiles are interpolated linearly."""
        low, median, p90, p95, p99, high = map(float, np.percentile(milliseconds, [0, 50, 90, 95, 99, 100]))
        return Latency(low, float(np.mean(milliseconds)), median, p90, p95, p99, high)


@dataclass(frozen=True)
class Measurement:
    """Result of a closed loop.

    Attributes:
        count: Number of times in `latency`.
        seconds: Seconds from the start of the first run to the end of the last.
        images_per_s: Throughput over those seconds.
        latency: Latency of a run, or of an image where images are tracked individually.
    """

    count: int
    seconds: float
    images_per_s: float
    latency: Latency

    @staticmethod
    def of(milliseconds: Sequence[float], seconds: float, images: int) -> Measurement:
        """Combine run times, the seconds that they took together, and the number of images of all runs."""
        return Measurement(len(milliseconds), seconds, images / seconds, Latency.of(milliseconds))


def repeat(run: Callable[[], object], seconds: float, iterations: int) -> list[float]:
    """Call `run` for at least `seconds` and `iterations` calls; return the milliseconds of each."""
    times: list[float] = []
    now = time.perf_counter()
    end = now + seconds
    while now < end or len(times) < iterations:
        run()
        before, now = now, time.perf_counter()
        times.append((now - before) * 1e3)
    return times


def closed_loop(run: Callable[[], object], images: int, options: MeasureOptions) -> Measurement:
    """Measure a function of `images` images, called again as soon as it returns.

    Raises:
        ArgumentError: If one run takes longer than the measurement.
    """
    check_fits(repeat(run, options.warm_up, 1)[-1] / 1e3, options)
    times = repeat(run, options.duration, options.iterations)
    return Measurement.of(times, sum(times) / 1e3, len(times) * images)


def check_fits(seconds: float, options: MeasureOptions) -> None:
    """Refuse a measurement that is shorter than one warm run of `seconds`, as an `ArgumentError`."""
    if seconds > options.duration:
        problem = f"one run takes {seconds:.2f} s; measure longer, or use a smaller batch or size"
        raise ArgumentError("duration", problem, f"{options.duration:g}")
