"""Open-loop load: images arrive on schedule, whether or not earlier ones are done.

In a closed loop a slow answer delays the next request, so the requests that would have waited are never sent
and their latency is not seen ("coordinated omission").  Here nothing delays the arrivals, and a latency
counts from the scheduled arrival.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from typing_extensions import override

from trt_mogface.bench.measurement import Latency
from trt_mogface.errors import ArgumentError

MAX_RATE = 100_000
"""Largest rate of arrivals in images per second: more than this generator can keep up with."""


@dataclass(frozen=True)
class Load:
    """Schedule of arrivals.

    Attributes:
        rate: Arrivals per second.
        duration: Seconds during which images arrive.
        queue: Largest number of images waiting or running; an image that arrives beyond it is rejected.
        seed: Seed of a Poisson process; None spaces arrivals evenly.

    Raises:
        ArgumentError: If a value is not positive and finite, or the rate is beyond `MAX_RATE`.
    """

    rate: float
    duration: float
    queue: int
    seed: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("rate", self.rate), ("duration", self.duration), ("queue", self.queue)):
            if not 0 < value < float("inf"):
                raise ArgumentError(name, "must be positive", f"{value:g}")
        if self.rate > MAX_RATE:
            raise ArgumentError("rate", f"must be at most {MAX_RATE} images a second", f"{self.rate:g}")

    def arrivals(self) -> Iterator[float]:
        """Yield the arrival times in seconds from the start, in order."""
        rng = None if self.seed is None else random.Random(self.seed)  # noqa: S311 -- not for security
        moment, number = 0.0, 0
        while True:
            # Even arrivals are not summed up: rounding errors would accumulate.
            moment = number / self.rate if rng is None else moment + rng.expovariate(self.rate)
            if moment >= self.duration:
                return
            yield moment
            number += 1


@dataclass(frozen=True)
class LoadResult:
    """Result of an open loop.

    Attributes:
        offered: Scheduled arrivals per second.
        achieved: Images per second that were done, until the last one was.
        count, rejected, failed: Number of images done, rejected on arrival, and failed.
        latency: Latency from the scheduled arrival to the detections; None if no image was done.
        lag: Largest delay in milliseconds of an arrival against its schedule, which its latency includes.  If
            it is small compared with the latencies, the generator kept up.
    """

    offered: float
    achieved: float
    count: int
    rejected: int
    failed: int
    latency: Latency | None
    lag: float


class Clock(Protocol):
    """Time, real or simulated."""

    def now(self) -> float:
        """Return the time in seconds."""

    def wait_until(self, moment: float) -> None:
        """Return when `now` has reached a moment."""


class RealClock(Clock):
    """The machine's clock."""

    now = staticmethod(time.perf_counter)

    @override
    def wait_until(self, moment: float) -> None:
        while (left := moment - time.perf_counter()) > 0:
            time.sleep(left)


class _InFlight:
    """Images that are waiting or running, and results of those that are done."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self.count, self.failed, self.last = 0, 0, clock.now()
        self.milliseconds: list[float] = []

    def add(self) -> None:
        with self._lock:
            self.count += 1

    def remove(self, future: Future[Any], scheduled: float) -> None:
        now = self._clock.now()
        failed = future.cancelled() or future.exception() is not None
        with self._lock:
            self.count -= 1
            self.last = max(self.last, now)
            if failed:
                self.failed += 1
            else:
                self.milliseconds.append((now - scheduled) * 1e3)


def open_loop(
    submit: Callable[[], Future[Any]], load: Load, clock: Clock | None = None, *, patience: float = 60.0
) -> LoadResult:
    """Submit images on schedule.

    Args:
        submit: Submits one image; must not block while fewer than ``load.queue`` images are in flight.
        load: Schedule.
        clock: Time; None takes the machine's.
        patience: Seconds to wait for the remaining images after the last arrival.

    Raises:
        ArgumentError: If no image arrives, or some are not done within `patience`.
        Exception: Whatever `submit` raises.
    """
    clock = clock or RealClock()
    in_flight = _InFlight(clock)
    begun, rejected, lag, number = clock.now(), 0, 0.0, 0
    for number, offset in enumerate(load.arrivals(), start=1):  # noqa: B007 -- the last one is read below
        scheduled = begun + offset
        clock.wait_until(scheduled)
        lag = max(lag, clock.now() - scheduled)
        if in_flight.count >= load.queue:
            rejected += 1
            continue
        in_flight.add()
        submit().add_done_callback(lambda future, at=scheduled: in_flight.remove(future, at))  # type: ignore[misc]
    if not number:
        raise ArgumentError("rate", f"no image arrives within {load.duration:g} s", f"{load.rate:g}")
    _drain(in_flight, load, clock, patience)
    times = in_flight.milliseconds
    return LoadResult(
        offered=number / load.duration,
        achieved=len(times) / max(in_flight.last - begun, load.duration),
        count=len(times),
        rejected=rejected,
        failed=in_flight.failed,
        latency=Latency.of(times) if times else None,
        lag=lag * 1e3,
    )


def _drain(in_flight: _InFlight, load: Load, clock: Clock, patience: float) -> None:
    deadline = clock.now() + patience
    while in_flight.count:
        if clock.now() >= deadline:
            problem = f"{in_flight.count} images were not done {patience:g} s after the last arrival"
            raise ArgumentError("rate", f"{problem}; use a lower rate", f"{load.rate:g}")
        clock.wait_until(min(deadline, clock.now() + 1e-3))
