"""Open-loop load: pictures come when they come, whether or not the last ones are done.

In a closed loop a slow answer delays the next question, so that the questions that would have waited are
never asked and their latency is not seen ("coordinated omission").  Here arrivals follow a schedule that
nothing delays, and a latency counts from the arrival that was scheduled.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from trt_mogface.bench.measurement import Latency
from trt_mogface.errors import UsageError


@dataclass(frozen=True)
class Load:
    """What comes.

    Attributes:
        rate: Arrivals a second.
        duration: Seconds during which they come.
        capacity: Pictures that may be inside, waiting or being worked on; one that comes when so many are is
            rejected.
        seed: Of a Poisson process; None lets them come at equal distances.

    Raises:
        UsageError: No rate, no time, no room, or not one arrival.
    """

    rate: float
    duration: float
    capacity: int
    seed: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.rate < float("inf"):
            raise UsageError(f"--rate {self.rate:g}: must be a positive number of pictures a second")
        if not 0 < self.duration < float("inf"):
            raise UsageError(f"--duration {self.duration:g}: must be a positive number of seconds")
        if self.capacity < 1:
            raise UsageError(f"--queue {self.capacity}: must be positive")

    def arrivals(self) -> Iterator[float]:
        """Seconds from the begin, in order."""
        rng = None if self.seed is None else random.Random(self.seed)  # noqa: S311 -- no secret
        moment, number = 0.0, 0
        while True:
            # Not summed up where they are equal: errors would add up.
            moment = number / self.rate if rng is None else moment + rng.expovariate(self.rate)
            if moment >= self.duration:
                return
            yield moment
            number += 1


@dataclass(frozen=True)
class LoadResult:
    """What became of it.

    Attributes:
        offered: Arrivals a second, as scheduled.
        achieved: Pictures a second that came out with faces, until the last was done.
        count, rejected, failed: Pictures done; not admitted; admitted and failed.
        latency: From the scheduled arrival to the faces; None where none was done.
        lag: Milliseconds by which the worst arrival came later than its schedule, which its latency includes:
            as long as it is small against the latencies, the generator kept up.
    """

    offered: float
    achieved: float
    count: int
    rejected: int
    failed: int
    latency: Latency | None
    lag: float


class Clock(Protocol):
    """Time, real or made up."""

    def now(self) -> float:
        """Seconds since some moment."""

    def wait_until(self, moment: float) -> None:
        """Return when it is that late."""


class RealClock:
    """The machine's."""

    def now(self) -> float:
        """See `Clock`."""
        return time.perf_counter()

    def wait_until(self, moment: float) -> None:
        """See `Clock`."""
        while (left := moment - time.perf_counter()) > 0:
            time.sleep(left)


class _Inside:
    """Pictures that are inside, and what became of those that left."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self.count, self.failed, self.last = 0, 0, clock.now()
        self.milliseconds: list[float] = []

    def enters(self) -> None:
        with self._lock:
            self.count += 1

    def leaves(self, future: Future[Any], scheduled: float) -> None:
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
    submit: Callable[[], Future[Any]],
    load: Load,
    clock: Clock | None = None,
    *,
    patience: float = 60.0,
) -> LoadResult:
    """Send pictures at a rate.

    Args:
        submit: Sends one; it must not wait, which it need not with room for ``load.capacity`` pictures.
        load: When they come.
        clock: Time; None takes the machine's.
        patience: Seconds that those still inside after the last arrival are waited for.

    Raises:
        UsageError: Those inside are not done by then.
        Exception: What ``submit`` raises.
    """
    clock = clock or RealClock()
    inside = _Inside(clock)
    begun, rejected, lag, number = clock.now(), 0, 0.0, 0
    for number, offset in enumerate(load.arrivals(), start=1):  # noqa: B007 -- the last one is read below
        scheduled = begun + offset
        clock.wait_until(scheduled)
        lag = max(lag, clock.now() - scheduled)
        if inside.count >= load.capacity:
            rejected += 1
            continue
        inside.enters()
        submit().add_done_callback(lambda future, at=scheduled: inside.leaves(future, at))  # type: ignore[misc]
    if not number:
        raise UsageError(f"--rate {load.rate:g}: nothing comes within {load.duration:g} s")
    _drain(inside, clock, patience)
    times = inside.milliseconds
    return LoadResult(
        offered=number / load.duration,
        achieved=len(times) / max(inside.last - begun, load.duration),
        count=len(times),
        rejected=rejected,
        failed=inside.failed,
        latency=Latency.of(times) if times else None,
        lag=lag * 1e3,
    )


def _drain(inside: _Inside, clock: Clock, patience: float) -> None:
    deadline = clock.now() + patience
    while inside.count:
        if clock.now() >= deadline:
            raise UsageError(
                f"--rate: {inside.count} pictures were not done {patience:g} s after the last came"
            )
        clock.wait_until(min(deadline, clock.now() + 1e-3))
