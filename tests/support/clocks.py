"""Simulated time, which passes only where a test says so."""

from __future__ import annotations

import heapq
from concurrent.futures import Future


class SimulatedTime:
    """Replaces the module ``time`` in code that uses ``perf_counter``."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds


class Server:
    """One server of a constant service time with a queue, and its clock.

    Futures are done in the order of time, at the exact moment of queueing theory.
    """

    def __init__(self, service: float, *, fails_at: frozenset[int] = frozenset()) -> None:
        self._service, self._fails_at = service, fails_at
        self._moment = self._free_at = 0.0
        self._coming: list[tuple[float, int, Future[int]]] = []
        self.admitted = 0
        self.generator_stops_for = 0.0
        """Seconds by which the next wait is too long, as on a busy machine."""

    def now(self) -> float:
        return self._moment

    def wait_until(self, moment: float) -> None:
        target = max(moment, self._moment) + self.generator_stops_for
        self.generator_stops_for = 0.0
        while self._coming and self._coming[0][0] <= target:
            self._moment, number, future = heapq.heappop(self._coming)
            if number in self._fails_at:
                future.set_exception(ValueError("as planned"))
            else:
                future.set_result(number)
        self._moment = target

    def submit(self) -> Future[int]:
        self._free_at = max(self._moment, self._free_at) + self._service
        future: Future[int] = Future()
        heapq.heappush(self._coming, (self._free_at, self.admitted, future))
        self.admitted += 1
        return future
