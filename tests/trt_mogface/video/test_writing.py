"""`write`: several sinks at once, of which one fails, is slow or hangs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.recorded_items import items_of, plain
from trt_mogface.errors import OutputError
from trt_mogface.video import writing
from trt_mogface.video.checkpoint import Checkpoint
from trt_mogface.video.items import FrameFaces, Item, SourceEvent
from trt_mogface.video.records import read_records
from trt_mogface.video.sinks.opening import open_sinks
from trt_mogface.video.writing import write


class Collected:
    """A sink of a caller that can be slow, hang or fail."""

    def __init__(self, name: str = "mine", *, pause: float = 0.0, fails_at: int = -1) -> None:
        self.name, self._pause, self._fails_at = name, pause, fails_at
        self.items: list[Item] = []
        self.flushes = self.closed = 0
        self.threads: set[int] = set()

    def write(self, item: Item) -> None:
        self.threads.add(threading.get_ident())
        time.sleep(self._pause)
        if isinstance(item, FrameFaces) and item.frame == self._fails_at:
            raise RuntimeError("no more\nroom")
        self.items.append(item)

    def flush(self) -> None:
        self.flushes += 1

    def close(self) -> None:
        self.closed += 1


def slowly(items: Iterator[Item], pause: float) -> Iterator[Item]:
    for item in items:
        time.sleep(pause)
        yield item


def frames(items: list[Item]) -> list[int]:
    return [item.frame for item in items if isinstance(item, FrameFaces)]


def test_all_sinks_get_all_items_in_order(tmp_path: Path) -> None:
    collected = Collected()
    items = [replace(i, lag=None) if isinstance(i, FrameFaces) else i for i in items_of("a", 50)]
    result = write(iter(items), open_sinks([f"jsonl:{tmp_path}/a.jsonl", collected]), interval=0.01)
    assert [plain(item) for item in collected.items] == [plain(item) for item in items]
    assert [plain(item) for item in read_records(tmp_path / "a.jsonl")] == [plain(item) for item in items]
    assert collected.closed >= 1
    assert len(collected.threads) == 1
    assert result.items == {"a": len(items)}
    assert not result.failures
    assert not result.late


def test_what_was_written_is_said_while_it_runs() -> None:
    said: list[dict[str, int]] = []
    collected = Collected()
    write(slowly(items_of("a", 30), 0.01), open_sinks([collected]), interval=0.03, on_written=said.append)
    counts = [each["a"] for each in said]
    assert len(counts) > 3
    assert counts == sorted(counts)
    assert counts[-1] == len(collected.items)
    assert collected.flushes >= len(counts) - 1


def test_a_sink_that_fails_is_named_and_stops_the_run(tmp_path: Path) -> None:
    failing = Collected("mine", fails_at=5)
    sinks = open_sinks([failing, f"jsonl:{tmp_path}/a.jsonl"])
    with pytest.raises(OutputError, match=r"^mine: failed \(RuntimeError: no more\)"):
        write(slowly(items_of("a", 500), 0.001), sinks)
    assert failing.closed
    found = frames(list(read_records(tmp_path / "a.jsonl")))
    assert found == list(range(len(found)))
    assert 5 <= len(found) < 400


def test_with_keep_going_only_that_sink_stops(tmp_path: Path) -> None:
    said: list[tuple[str, str]] = []
    sinks = open_sinks([Collected("mine", fails_at=5), f"jsonl:{tmp_path}/a.jsonl", "jsonl:/dev/full"])
    result = write(
        slowly(items_of("a", 100), 0.001), sinks, keep_going=True, on_failure=lambda *what: said.append(what)
    )
    assert frames(list(read_records(tmp_path / "a.jsonl"))) == list(range(100))
    assert set(result.failures) == {"mine", "jsonl:/dev/full"} == {name for name, _ in said}
    assert "No space left" in result.failures["jsonl:/dev/full"]


def test_the_last_sink_that_fails_stops_the_run_anyway() -> None:
    sinks = open_sinks([Collected("one", fails_at=5), Collected("two", fails_at=9)])
    with pytest.raises(OutputError, match=r"^two: failed"):
        write(slowly(items_of("a", 100), 0.001), sinks, keep_going=True)


def test_a_reader_that_goes_ends_the_run(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    sinks = open_sinks([f"jsonl:{pipe}"])
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        write(slowly(items_of("a", 100), 0.001), sinks)


def test_a_slow_sink_holds_up_no_camera() -> None:
    slow, fast = Collected("slow", pause=0.02), Collected("fast")
    space, writing.SPACE = writing.SPACE, 4
    try:
        sinks = open_sinks([slow, fast])
        items = (replace(item, lag=0.1) for item in items_of("cam", 200) if isinstance(item, FrameFaces))
        begun = time.monotonic()
        result = write(slowly(items, 0.001), sinks)
    finally:
        writing.SPACE = space
    assert time.monotonic() - begun < 3
    assert frames(fast.items) == list(range(200))
    missing = 200 - len(frames(slow.items))
    drops = [item for item in slow.items if isinstance(item, SourceEvent)]
    assert result.late == {"slow": missing}
    assert missing > 50
    # Those behind the last one that was written are only in the result.
    dropped = sum(item.count for item in drops)
    last = frames(slow.items)[-1]
    assert dropped == sum(number not in frames(slow.items) for number in range(last))
    assert "because slow is too slow" in drops[0].message


def test_files_wait_for_a_slow_sink() -> None:
    slow, fast = Collected("slow", pause=0.002), Collected("fast")
    space, writing.SPACE = writing.SPACE, 4
    try:
        items = [replace(i, lag=None) if isinstance(i, FrameFaces) else i for i in items_of("a", 80)]
        result = write(iter(items), open_sinks([slow, fast]))
    finally:
        writing.SPACE = space
    assert frames(slow.items) == frames(fast.items) == list(range(80))
    assert not result.late


@pytest.mark.parametrize("keep_going", [False, True])
def test_a_sink_that_hangs_is_given_up(keep_going: bool) -> None:
    released = threading.Event()

    class Hanging(Collected):
        def write(self, item: Item) -> None:  # noqa: ARG002
            released.wait(20)

    fast = Collected("fast")
    sinks = open_sinks([Hanging("dead"), fast])
    begun = time.monotonic()
    items = slowly(items_of("a", 30), 0.001)
    try:
        if keep_going:
            result = write(items, sinks, keep_going=True, patience=0.3, interval=0.05)
            assert "has taken nothing for 0.3 s" in result.failures["dead"]
            assert len(frames(fast.items)) == 30
        else:
            with pytest.raises(OutputError, match=r"^dead: has taken nothing for 0\.3 s; check its disk"):
                write(items, sinks, patience=0.3, interval=0.05)
    finally:
        released.set()
    assert time.monotonic() - begun < 10


def test_a_failure_of_the_analysis_leaves_complete_files(tmp_path: Path) -> None:
    def failing() -> Iterator[Item]:
        yield from list(items_of("a", 20))[:15]
        raise ValueError("the network")

    with pytest.raises(ValueError, match="the network"):
        write(failing(), open_sinks([f"parquet:{tmp_path}/out", f"jsonl:{tmp_path}/a.jsonl"]))
    found = [[plain(item) for item in read_records(tmp_path / name)] for name in ("out", "a.jsonl")]
    assert found[0] == found[1] == [plain(item) for item in list(items_of("a", 20))[:15]]


def test_a_checkpoint_that_cannot_be_written_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sinks = open_sinks([f"jsonl:{tmp_path}/a.jsonl"])
    with pytest.raises(OutputError, match="cannot be written"):
        write(items_of("a", 3), sinks, checkpoint=Checkpoint(tmp_path / "file" / "run", {}))


def test_specifications_and_objects_are_opened(tmp_path: Path) -> None:
    class Plain:
        def __init__(self) -> None:
            self.items: list[Item] = []

        def write(self, item: Item) -> None:
            self.items.append(item)

        def flush(self) -> None: ...

        def close(self) -> None: ...

    one, other = Plain(), Plain()
    result = write(items_of("a", 5), [one, other, f"jsonl:{tmp_path}/a.jsonl"])
    assert (
        len(one.items)
        == len(other.items)
        == len(list(read_records(tmp_path / "a.jsonl")))
        == result.items["a"]
    )
    assert [sink.name for sink in open_sinks([one, other])] == ["Plain", "Plain-2"]
    with pytest.raises(OutputError, match="no such folder; mkdir -p"):
        write([], [f"jsonl:{tmp_path}/missing/a.jsonl"])
