"""Very many pictures, and memory that stays as it was."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fakes import Picture, in_thread, number_of, picture
from trt_mogface.runner import Runner

FRAMES = 100_000
WARM_UP = 10_000
SOURCES = 4
LIMIT = 5_000_000


def resident() -> int:
    """Bytes of this process that are in memory."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


class Progress:
    """Resident memory after every thousand pictures of all sources together."""

    def __init__(self) -> None:
        self._lock, self.count, self.memory = threading.Lock(), 0, [0]

    def one_more(self) -> None:
        with self._lock:
            self.count += 1
            if self.count % 1000 == 0:
                self.memory.append(resident())


def source(start: int, count: int) -> Iterator[Picture]:
    """Numbers in a row, in pictures of 8x8; now and then some of 16x16."""
    for number in range(start, start + count):
        yield picture(number, 8, 8) if number % 1000 < 900 else picture(number, 16, 16)


def consume(runner: Runner, progress: Progress, start: int, count: int) -> int:
    """How many came, of which each must be the next one."""
    expected = start
    for faces in runner.map(source(start, count)):
        assert number_of(faces) == expected
        expected += 1
        progress.one_more()
    return expected - start


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_a_hundred_thousand_pictures_of_several_sources_leave_memory_flat(echo: Path) -> None:
    progress, count = Progress(), FRAMES // SOURCES
    with Runner(echo, pad=False, threads=1, batch=32, max_delay_ms=2, measure=True) as runner:
        sources = [in_thread(consume, runner, progress, start, count) for start in range(0, FRAMES, count)]
        assert [each.result(timeout=300) for each in sources] == [count] * SOURCES
        stats = runner.stats()
    assert (stats.frames, stats.failed) == (FRAMES, 0)
    assert stats.batches < FRAMES / 4
    after = progress.memory[WARM_UP // 1000 :]
    assert len(after) == (FRAMES - WARM_UP) // 1000 + 1
    assert max(after) - after[0] < LIMIT
