"""Two things timed in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def in_turn(first: Callable[[], object], second: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median milliseconds of two functions, run in turn so that a change of clock hits both.

    The first round warms up and does not count.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        for function, measured in zip((first, second), times):
            start = time.perf_counter()
            function()
            measured.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times[0][1:]), statistics.median(times[1][1:])
