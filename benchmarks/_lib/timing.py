"""Timing: of one call, and of two functions in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def seconds(function: Callable[[], object]) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_turn(first: Callable[[], object], second: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Return the median milliseconds of two functions, run in turn so that a change of clock affects both.

    The first round warms up and does not count.
    """
    times = [(seconds(first), seconds(second)) for _ in range(rounds + 1)][1:]
    one, other = zip(*times)
    return statistics.median(one) * 1e3, statistics.median(other) * 1e3
