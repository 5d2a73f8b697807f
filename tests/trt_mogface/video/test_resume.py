"""Runs that go on after they were killed: nothing that was said to be written is lost, nothing is doubled."""

from __future__ import annotations

import json
import os
import random
import re
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.killed_run import RUN, SOURCES, run, source, specifications
from tests.support.project import REPOSITORY
from tests.support.recorded_items import BEGIN, faces, items_of, plain
from tests.support.streams import is_requested
from trt_mogface.errors import ArgumentError, OutputError
from trt_mogface.video.checkpoint import SUFFIX, Checkpoint, checkpoint_path
from trt_mogface.video.items import FrameFaces, Item, SourceEvent
from trt_mogface.video.records import read_records
from trt_mogface.video.sinks.files import file_name
from trt_mogface.video.sinks.opening import open_sinks, parse_sink
from trt_mogface.video.tracking import open_tracker
from trt_mogface.video.writing import write

av = pytest.importorskip("av")
duckdb = pytest.importorskip("duckdb")


def by_source(items: Iterable[Item]) -> dict[str, list[dict[str, Any]]]:
    found = defaultdict(list)
    for item in items:
        found[item.source].append(plain(item))
    return dict(found)


def lines_by_source(path: Path) -> dict[str, list[str]]:
    found = defaultdict(list)
    for line in path.read_text().splitlines():
        found[json.loads(line)["source"]].append(line)
    return dict(found)


def contents(folder: Path, pattern: str) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob(pattern))}


def kill(folder: Path, seconds: float) -> tuple[dict[str, int], dict[str, int], int | None]:
    """Run for a while from the first line that is said; return the first and the last line and the status."""
    command = [sys.executable, "-m", "tests.support.killed_run", str(folder), "0.002"]
    process = subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    try:
        status: int | None = process.wait(seconds)
    except subprocess.TimeoutExpired:
        status = None
        process.kill()
    said, errors = process.communicate()
    assert not errors
    # A line that the kill has cut off was not said.
    *_, last = [first, *(line for line in said.splitlines(keepends=True) if line.endswith("\n"))]
    return json.loads(first), json.loads(last), status


def grays(folder: Path, name: str) -> list[float]:
    """Return the median of each frame of a source, over all of its files in their order."""
    files = [
        path
        for path in folder.glob("*.mp4")
        if re.fullmatch(rf"{re.escape(file_name(name))}(-\d+)?", path.stem)
    ]
    found = []
    for path in sorted(files, key=lambda path: (len(path.stem), path.stem)):
        with av.open(str(path)) as container:
            found += [
                float(np.median(frame.to_ndarray(format="gray"))) for frame in container.decode(video=0)
            ]
    return found


@pytest.mark.parametrize("count", [2, pytest.param(20, marks=[pytest.mark.streams, is_requested()])])
def test_a_killed_run_ends_as_one_that_was_not(tmp_path: Path, count: int) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    run(whole)
    kills, said, status = 0, dict[str, int](), None
    while status is None:
        seconds = random.uniform(0.02, 0.25 if count == 2 else 0.12) if kills < count else 60
        begun, written, status = kill(killed, seconds)
        assert all(begun.get(name, 0) >= items for name, items in said.items())
        said = written
        kills += status is None
    assert (kills, status) == (count, 0)
    assert said == {name: len(source(name)) for name in SOURCES}
    assert lines_by_source(killed / "out.jsonl") == lines_by_source(whole / "out.jsonl")
    expected = {name: [plain(item) for item in source(name)] for name in SOURCES}
    assert by_source(read_records(killed / "out.jsonl")) == expected
    assert by_source(read_records(killed / "out")) == expected
    for pattern in ("*.txt", "*.jpg"):
        assert contents(killed, pattern) == contents(whole, pattern) != {}
    rows = [contents(each, "parts-*.csv") for each in (whole, killed)]
    assert len(rows[0]) > 5
    together = [sorted(b"".join(each.values()).splitlines()) for each in rows]
    in_one, in_other = ([line for line in each if not line.startswith(b"record,")] for each in together)
    assert in_one == in_other
    rows_of_frames = duckdb.read_parquet(f"{killed}/out/frames/**/*.parquet", hive_partitioning=True)
    counted = rows_of_frames.aggregate("source, count(*), count(distinct frame)", "source")
    assert {name: counts for name, *counts in counted.fetchall()} == {
        name: [frames, frames] for name, frames in SOURCES.items()
    }
    assert not list(killed.rglob("*.unfinished"))
    for name, frames in SOURCES.items():
        expected_grays = [frame % 200 for frame in range(frames)]
        np.testing.assert_allclose(grays(killed / "movies", name), expected_grays, atol=4)


def finished(folder: Path) -> Path:
    folder.mkdir()
    run(folder)
    return folder


def snapshot(folder: Path) -> dict[str, bytes]:
    """Return all files but the checkpoint."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and SUFFIX not in path.name)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_finished_run_has_nothing_to_go_on_with(tmp_path: Path) -> None:
    folder = finished(tmp_path / "out")
    before = snapshot(folder)
    run(folder)
    assert snapshot(folder) == before


def test_other_options_or_models_are_refused(tmp_path: Path) -> None:
    folder = finished(tmp_path / "out")
    before = snapshot(folder)
    path = checkpoint_path(map(parse_sink, specifications(folder)))
    assert path == folder / "out.jsonl.checkpoint"
    with pytest.raises(ArgumentError, match=r"not the same run \(conf: 0.5, now 0.4\); repeat its options"):
        Checkpoint(path, {**RUN, "conf": "0.4"}, resume=True)
    with pytest.raises(ArgumentError, match=r"\(fps: not set, now 5\)"):
        Checkpoint(path, {**RUN, "fps": "5"}, resume=True)
    checkpoint = Checkpoint(path, RUN, resume=True)
    sinks = open_sinks([f"jsonl:{folder}/out.jsonl"], resume=True)
    with pytest.raises(ArgumentError, match=r"sinks .*: differ from those of the run to resume"):
        write([], sinks, checkpoint=checkpoint)
    assert snapshot(folder) == before


def test_a_checkpoint_belongs_to_one_run(tmp_path: Path) -> None:
    folder = finished(tmp_path / "out")
    path = folder / "out.jsonl.checkpoint"
    checkpoint = Checkpoint(path, RUN, resume=True)
    with pytest.raises(OutputError, match="in use by another run"):
        Checkpoint(path, RUN, resume=True)
    checkpoint.close()
    Checkpoint(path, RUN, resume=True).close()


def read_all(path: Path) -> list[Any]:
    checkpoint = Checkpoint(path, RUN, resume=True)
    try:
        return list(checkpoint.recorded("a"))
    finally:
        checkpoint.close()


@pytest.mark.parametrize("how", ["text", "cut", "format", "state", "item"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    path = tmp_path / "a.jsonl.checkpoint"
    items = list(items_of("a", 9))[:-1]
    write(items, open_sinks([f"jsonl:{tmp_path}/a.jsonl"]), checkpoint=Checkpoint(path, RUN))
    if how == "text":
        path.write_text("not a database\n" * 300)
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        file = sqlite3.connect(path)
        change = {
            "format": "update run set value = '99' where key = 'format'",
            "state": 'update sources set state = \'{"items": 1, "x": 2}\'',
            "item": "update items set record = '{}'",
        }[how]
        file.execute(change)
        file.commit()
        file.close()
    problem = "not a checkpoint of this release, or damaged|cannot be written"
    with pytest.raises(OutputError, match=problem) as caught:
        read_all(path)
    assert "\n" not in str(caught.value)
    assert len(list(read_records(tmp_path / "a.jsonl"))) == len(items)


def test_a_missing_checkpoint_begins_anew_and_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.checkpoint"
    (tmp_path / "a.jsonl").write_text("mine\n")
    checkpoint = Checkpoint(path, RUN, resume=True)
    assert not checkpoint.is_resumed
    with pytest.raises(OutputError, match="has records of an earlier run"):
        open_sinks([f"jsonl:{tmp_path}/a.jsonl"], resume=checkpoint.is_resumed)
    assert (tmp_path / "a.jsonl").read_text() == "mine\n"
    assert not path.exists()


def test_streams_have_no_checkpoint(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for specification in ("jsonl:-", "prometheus:0", f"jsonl:{tmp_path}/pipe", "csv:/dev/null"):
        assert checkpoint_path([parse_sink(specification)]) is None
    both = [parse_sink("jsonl:-"), parse_sink(f"parquet:{tmp_path}/out")]
    assert checkpoint_path(both) == tmp_path / "out" / SUFFIX


def live(count: int, first: int = 0, opening: int = 1) -> Iterator[Item]:
    yield SourceEvent("cam", "opened" if opening == 1 else "reopened", BEGIN, first, opening=opening)
    for item in items_of("cam", first + count, every=0.01):
        if isinstance(item, FrameFaces) and item.frame >= first:
            yield replace(item, lag=0.1, opening=opening)


def test_a_camera_goes_on_behind_what_was_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that Parquet held come from the journal, since a camera does not give them again."""
    monkeypatch.setattr("trt_mogface.video.checkpoint.WINDOW", 30)
    given = [f"parquet:{tmp_path}/out", f"jsonl:{tmp_path}/out.jsonl"]
    path = tmp_path / "run"
    checkpoint = Checkpoint(path, RUN)
    sinks = open_sinks(given)

    def killed() -> Iterator[Item]:
        yield from live(100)
        time.sleep(0.3)
        os._exit(9)

    child = os.fork()
    if not child:
        write(killed(), sinks, checkpoint=checkpoint, interval=0.02)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    for sink in sinks:
        sink.close()
    again = Checkpoint(path, RUN, resume=True)
    sinks = open_sinks(given, resume=True)
    position = again.positions(sinks)["cam"]
    assert (position.frame, position.opening, position.is_over) == (100, 1, False)
    ids = [item.faces.tracker_id for item in live(100) if isinstance(item, FrameFaces)]
    largest = max(int(each.max()) for each in ids if each is not None and len(each))
    assert position.last_id == largest
    rows = len(list(again.recorded("cam")))
    assert rows == 101  # Parquet holds all of them
    write(live(50, 100, 2), sinks, checkpoint=again)
    found = [
        [plain(item) for item in read_records(place)] for place in (tmp_path / "out", tmp_path / "out.jsonl")
    ]
    expected = [plain(item) for item in (*live(100), *live(50, 100, 2))]
    assert found == [expected, expected]
    last = Checkpoint(path, RUN, resume=True)
    assert len(list(last.recorded("cam"))) == 30
    last.close()


def walk(frame: int) -> FrameFaces:
    """Two faces that stay, and one that comes now and then."""
    boxes = [[20 + frame / 3, 20, 60 + frame / 3, 60], [200, 100, 260 - frame / 9, 170]]
    if frame % 40 < 20:
        boxes.append([400, 10, 440, 50])
    found = faces(np.random.default_rng(frame), len(boxes), tracked=False, rich=False)
    found = replace(found, xyxy=np.array(boxes, np.float32), confidence=np.full(len(boxes), 0.9, np.float32))
    return FrameFaces(
        "cam", frame, frame / 10, BEGIN + frame / 10, "arrival", replace(found, image_size=(400, 500))
    )


@pytest.mark.parametrize("window", [200, 60])
def test_trackers_go_on_with_their_ids(window: int) -> None:
    pytest.importorskip("trackers")
    tracker = open_tracker("bytetrack", 10, 0.5)
    recorded = [tracker.track(walk(frame)) for frame in range(200)]
    expected = [tracker.track(walk(frame)) for frame in range(200, 400)]
    last = max(int(item.faces.tracker_id.max()) for item in recorded if item.faces.tracker_id is not None)
    again = open_tracker("bytetrack", 10, 0.5)
    again.replay([replace(item, tracks=(), ended=()) for item in recorded[-window:]], last)
    found = [again.track(walk(frame)) for frame in range(200, 400)]
    ids = [
        [item.faces.tracker_id.tolist() for item in each if item.faces.tracker_id is not None]
        for each in (expected, found)
    ]
    if window == 200:
        assert ids[0] == ids[1]
        assert [item.ended for item in found] == [item.ended for item in expected]
    assert [each[:2] for each in ids[0]] == [each[:2] for each in ids[1]]
    fresh = {number for each in ids[1] for number in each[2:]} - {-1}
    assert len(fresh) >= 4
    assert min(fresh) > last - 1


def test_a_run_that_was_killed_before_its_first_commit_begins_anew(tmp_path: Path) -> None:
    path, given = tmp_path / "a.csv.checkpoint", [f"csv:{tmp_path}/a.csv"]
    early = Checkpoint(path, RUN)
    early._open()  # killed here
    early.close()
    for sink in open_sinks(given):
        sink.close()
    checkpoint = Checkpoint(path, RUN, resume=True)
    assert not checkpoint.is_resumed
    result = write(items_of("a", 5), open_sinks(given, resume=checkpoint.is_resumed), checkpoint=checkpoint)
    assert result.items == {"a": len(list(items_of("a", 5)))}


def test_events_beside_a_frame_that_comes_again_are_not_doubled(tmp_path: Path) -> None:
    """A sink with pictures held a frame: the events in front of it come again too."""

    class Held:
        """A sink that holds the latest two items, like an encoder."""

        name = "held"

        def __init__(self) -> None:
            self.items: list[Item] = []

        def write(self, item: Item) -> None:
            self.items.append(item)

        def flush(self) -> None: ...

        def close(self) -> None: ...

        def pending(self) -> dict[str, int]:
            return {"a": min(2, len(self.items))}

        def position(self) -> int:
            return max(0, len(self.items) - 2)

        def cut(self, position: int) -> None:
            del self.items[position:]

    def event(kind: Any, frame: int) -> Item:
        return SourceEvent("a", kind, BEGIN, frame, 1)

    frames = [replace(item, lag=None) for item in items_of("a", 9) if isinstance(item, FrameFaces)]
    items = [event("opened", 0), *frames[:4], event("corrupt", 4), event("resized", 4), *frames[4:]]
    held, given = Held(), [f"jsonl:{tmp_path}/a.jsonl"]
    write(items[:8], open_sinks([*given, held]), checkpoint=Checkpoint(tmp_path / "run", RUN))
    again = Checkpoint(tmp_path / "run", RUN, resume=True)
    sinks = open_sinks([*given, held], resume=True)
    position = again.positions(sinks)["a"]
    assert position.frame == 4
    write([item for item in items[1:] if item.frame >= 4], sinks, checkpoint=again)
    assert [plain(item) for item in held.items] == [plain(item) for item in items]
    assert [plain(item) for item in read_records(tmp_path / "a.jsonl")] == [plain(item) for item in items]
