"""Sinks: what they refuse, what they leave behind when they fail, segments and the deletion of old files."""

from __future__ import annotations

import itertools
import json
import os
import resource
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.project import REPOSITORY
from tests.support.recorded_items import BEGIN, items_of, plain
from trt_mogface.errors import ArgumentError, MogFaceError, OutputError, UsageError
from trt_mogface.video.items import FrameFaces, Item
from trt_mogface.video.records import read_records
from trt_mogface.video.sinks.base import Sink
from trt_mogface.video.sinks.files import file_name
from trt_mogface.video.sinks.opening import open_sinks, parse_duration

FILES = ["jsonl:{}/out.jsonl", "csv:{}/out.csv", "jsonl:{}/out.jsonl,segment=1s"]
FOLDERS = ["parquet:{}/out", "mot:{}/out", "crops:{}/out"]


def one(specification: str, **options: Any) -> Sink:
    (sink,) = open_sinks([specification], **options)
    return sink


def write(sink: Sink, items: Iterator[Item]) -> None:
    for item in items:
        sink.write(item)


def snapshot(folder: Path) -> dict[str, bytes]:
    """Return all files that are not ledgers."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".ledger")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def pictured(count: int, seed: int = 0, **options: Any) -> Iterator[Item]:
    return items_of("door", count, seed=seed, picture=True, **options)


@pytest.mark.parametrize(
    ("specification", "message"),
    [
        ("jsonll:out", r"unknown sink 'jsonll' \(choose from jsonl, csv, parquet, "),
        ("out.jsonl", r"unknown sink 'out.jsonl' \(choose from"),
        ("jsonl", "has no target; write jsonl:FILE"),
        ("parquet:", "has no target; write parquet:DIR"),
        (
            "parquet:out,rowz=5",
            r"unknown option 'rowz' of the sink parquet \(choose from keep, rows, segment\)",
        ),
        ("prometheus:9,rows=5", r"unknown option 'rows' of the sink prometheus \(it has no options\)"),
        ("parquet:out,rows=0", "parquet:out,rows '0': must be a positive integer"),
        ("parquet:out,rows=²", "must be a positive integer"),
        ("crops:out,margin=nan", "must be a number within"),
        ("crops:out,aligned=maybe", "must be yes or no"),
        ("crops:out,segment=1m", "unknown option 'segment'"),
        ("jsonl:out,segment=1 fortnight", "must be a positive number with s, m, h or d"),
        ("jsonl:out,keep=7d", "only one; add segment"),
        ("jsonl:-,segment=10m", "without options"),
        ("jsonl:-,", "unknown option ''"),
        ("csv:-", "standard output takes jsonl:-"),
        ("prometheus:http", "not a port"),
        ("prometheus:70000", "not a port"),
    ],
)
def test_a_wrong_specification_is_named(specification: str, message: str) -> None:
    with pytest.raises((UsageError, ArgumentError, OutputError), match=message) as caught:
        open_sinks([specification])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("specifications", "options", "message"),
    [
        (["crops:out"], {"blur": True}, "crops show the faces that blur hides"),
        (["mot:out"], {"track": False}, "turn tracking on"),
        (["parquet:out", "parquet:./out"], {}, "named for two sinks"),
        (["csv:out", "jsonl:out"], {}, "named for two sinks"),
        (["jsonl:-", "jsonl:-"], {}, "named for two sinks"),
    ],
)
def test_sinks_that_do_not_go_together(
    specifications: list[str],
    options: dict[str, Any],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        open_sinks(specifications, **options)
    assert not list(tmp_path.iterdir())


def test_durations() -> None:
    assert [parse_duration("keep", text) for text in ("90", "1.5s", "10m", "6h", "7d")] == [
        90,
        1.5,
        600,
        21600,
        604800,
    ]
    for text in ("", "-1s", "0", "1w", "1e3", "inf", "nan", "\u0661"):
        with pytest.raises(ArgumentError, match="keep"):
            parse_duration("keep", text)


def test_names_of_files_are_those_of_one_source() -> None:
    sources = ["door", "a/b", "a%2Fb", "a b", "..", ".", "tür", "x" * 400, "x" * 401, "ü" * 99, "\n", "a:b"]
    names = {file_name(source) for source in sources}
    assert len(names) == len(sources)
    assert all(len(name) <= 150 and "/" not in name and not name.startswith(".") for name in names)
    assert file_name("door") == "door"


@pytest.mark.parametrize("form", [*FILES, *FOLDERS])
def test_two_runs_cannot_have_one_sink(form: str, tmp_path: Path) -> None:
    specification = form.format(tmp_path)
    first = one(specification)
    program = "from trt_mogface.video.sinks.opening import open_sinks\n"
    program += f"open_sinks([{specification!r}], resume=True)"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True)
    line = done.stderr.splitlines()[-1]
    assert line.endswith(f"{specification}: in use by another run; end that one, or choose another place")
    first.close()
    assert subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY).returncode == 0


@pytest.mark.parametrize("form", [*FILES, *FOLDERS])
def test_results_of_an_earlier_run_are_not_replaced(form: str, tmp_path: Path) -> None:
    specification = form.format(tmp_path)
    sink = one(specification)
    write(sink, pictured(9))
    sink.close()
    before = snapshot(tmp_path)
    with pytest.raises(OutputError, match="of an earlier run; resume that run, or choose another"):
        one(specification)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("form", ["mot:{}", "jsonl:{}/door.jsonl,segment=1d"])
def test_files_of_others_are_not_appended_to(form: str, tmp_path: Path) -> None:
    theirs = [tmp_path / "door.txt", tmp_path / "door-20251125T000000Z.jsonl"]
    for path in theirs:
        path.write_text("mine")
    sink = one(form.format(tmp_path))
    with pytest.raises(OutputError, match="has records of an earlier run"):
        write(sink, items_of("door", 9))
    sink.close()
    assert [path.read_text() for path in theirs] == ["mine", "mine"]


@contextmanager
def small_disk(limit: int) -> Iterator[None]:
    """Let files of this process grow to a size only, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("form", [*FILES[:2], *FOLDERS])
def test_a_full_disk_leaves_whole_records(form: str, tmp_path: Path) -> None:
    sink = one(form.format(tmp_path))
    limit = 500 if form.startswith("crops") else 6000
    with (
        small_disk(limit),
        pytest.raises(OutputError, match=r"cannot be written \(File too large\); raise the"),
    ):
        write(sink, itertools.chain.from_iterable(pictured(50, seed, every=0.001) for seed in range(99)))
    for path, data in snapshot(tmp_path).items():
        assert len(data) <= limit
        if not path.endswith((".jpg", ".parquet")):
            assert data.endswith(b"\n"), path
        assert not path.endswith(".unfinished")
        if path.endswith(".jpg"):
            assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is not None
    if form.startswith("parquet"):
        list(read_records(tmp_path / "out"))


def test_a_device_without_room_is_named() -> None:
    sink = one("jsonl:/dev/full")
    with pytest.raises(
        OutputError, match=r"^/dev/full: cannot be written \(No space left on device\); free disk"
    ):
        write(sink, items_of("door", 1))
    sink.close()


@pytest.mark.parametrize("form", [*FILES, *FOLDERS])
def test_a_place_that_cannot_be_written_is_named_at_once(form: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written") as caught:
        open_sinks(["jsonl:" + str(tmp_path / "good.jsonl"), form.format(tmp_path / "file")])
    assert "\n" not in str(caught.value)
    if os.geteuid():
        (tmp_path / "read-only").mkdir(mode=0o555)
        with pytest.raises(OutputError, match="Permission denied"):
            one(form.format(tmp_path / "read-only"))


def test_a_pipe_is_written_and_its_reader_may_go(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    sink = one(f"jsonl:{pipe}")
    write(sink, items_of("door", 2))
    sink.flush()
    assert json.loads(os.read(reader, 1 << 16).splitlines()[0])["event"] == "opened"
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        write(sink, items_of("door", 1))
    sink.close()


def test_segments_are_aligned_and_hold_everything(tmp_path: Path) -> None:
    items = list(items_of("door", 100, begin=BEGIN + 3, every=0.1))
    sink = one(f"jsonl:{tmp_path}/cam.jsonl", segment=5)
    for item in items:
        sink.write(item)
    sink.close()
    names = sorted(path.name for path in tmp_path.glob("*.jsonl"))
    assert names == [f"cam-20251125T1200{second}Z.jsonl" for second in ("00", "05", "10")]
    assert [plain(item) for item in read_records(tmp_path)] == [plain(item) for item in items]
    times = [item.captured - BEGIN for item in read_records(tmp_path / names[1])]
    assert 5 <= min(times) <= max(times) < 10


@pytest.mark.parametrize("form", ["jsonl:{}/a.jsonl,segment=1s", "csv:{}/a.csv,segment=1s", *FOLDERS])
def test_old_files_are_deleted_and_only_those_of_the_sink(form: str, tmp_path: Path) -> None:
    sink = one(form.format(tmp_path), keep=3600)
    for hour in range(3):
        write(sink, pictured(30, hour, begin=BEGIN + 3600 * hour))
    sink.flush()
    made = snapshot(tmp_path)
    ours = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".ledger"]
    old = [path for path in ours if "T13" not in str(path) and "T14" not in str(path)]
    others = [path.with_name("mine.txt") for path in old[:1]] + [tmp_path / "a-20200101T000000Z.jsonl"]
    for path in others:
        path.write_text("mine")
    moment = time.time() - 4000
    for path in [*old, *others, *{path.parent for path in old if "crops" in form}]:
        os.utime(path, (moment, moment))
    sink.flush()
    left = snapshot(tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in others} <= left.keys()
    if "mot" in form:  # it has one file, which is finished
        assert not left.keys() & made.keys()
    else:
        assert made.keys() - left.keys() == {str(path.relative_to(tmp_path)) for path in old}
    sink.close()


def test_a_ledger_that_was_changed_deletes_nothing(tmp_path: Path) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    out = tmp_path / "out"
    sink = one(f"mot:{out}")
    write(sink, items_of("door", 3))
    sink.close()
    for name in ("../victim.txt", str(victim)):
        (out / ".mot.ledger").write_text(f"0 {json.dumps(name)}\n")
        with pytest.raises(OutputError, match=r"mot\.ledger: is damaged"):
            one(f"mot:{out}", resume=True)
    assert victim.read_text() == "mine"


def test_the_ledger_forgets_deleted_files_and_counts_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trt_mogface.video.sinks.ledger.OBSOLETE", 3)
    sink = one(f"jsonl:{tmp_path}/a.jsonl", segment=1, keep=3600)
    write(sink, items_of("door", 250))
    before = sink.position()["files"]
    for path in sorted(tmp_path.glob("*.jsonl"))[:-1]:
        os.utime(path, (0, 0))
    sink.flush()
    assert len(list(tmp_path.glob("*.jsonl"))) == 1
    assert len((tmp_path / ".a.jsonl.ledger").read_bytes().splitlines()) < before
    with pytest.raises(OutputError, match="in use"):
        one(f"jsonl:{tmp_path}/a.jsonl", segment=1, resume=True)
    sink.close()
    again = one(f"jsonl:{tmp_path}/a.jsonl", segment=1, resume=True)
    assert again.position()["files"] == before
    again.close()


@pytest.mark.parametrize("form", [*FILES, "mot:{}/out", "crops:{}/out", "mot:{}/out,segment=1s"])
def test_a_cut_leaves_what_was_there_at_the_position(form: str, tmp_path: Path) -> None:
    items = list(pictured(60))
    specification = form.format(tmp_path)
    sink = one(specification)
    for item in items[:31]:
        sink.write(item)
    sink.flush()
    position, before = json.loads(json.dumps(sink.position())), snapshot(tmp_path)
    for item in items[31:]:
        sink.write(item)
    sink.close()
    after = snapshot(tmp_path)
    again = one(specification, resume=True)
    again.cut(position)
    assert snapshot(tmp_path) == before
    for item in items[31:]:
        again.write(item)
    again.close()
    assert snapshot(tmp_path) == after


def test_a_cut_of_parquet_leaves_what_is_written_again(tmp_path: Path) -> None:
    items, specification = list(items_of("door", 60)), f"parquet:{tmp_path},rows=33"
    sink = one(specification)
    for item in items[:31]:
        sink.write(item)
    sink.flush()
    position, pending = sink.position(), sink.pending()["door"]
    assert 0 < pending < 33
    for item in items[31:]:
        sink.write(item)
    sink.close()
    again = one(specification, resume=True)
    again.cut(position)
    found = [plain(item) for item in read_records(tmp_path)]
    assert found == [plain(item) for item in items[: 31 - pending]]
    for item in items[31 - pending :]:
        again.write(item)
    again.close()
    assert [plain(item) for item in read_records(tmp_path)] == [plain(item) for item in items]


def test_a_file_that_lost_records_is_not_continued(tmp_path: Path) -> None:
    sink = one(f"jsonl:{tmp_path}/a.jsonl")
    write(sink, items_of("door", 3))
    position = sink.position()
    sink.close()
    os.truncate(tmp_path / "a.jsonl", 100)
    again = one(f"jsonl:{tmp_path}/a.jsonl", resume=True)
    with pytest.raises(OutputError, match=r"has 100 bytes, but \d+ were written"):
        again.cut(position)
    again.close()


@pytest.mark.parametrize("form", [*FILES, *FOLDERS])
def test_a_flush_is_durable(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file, and the folder that has its name, is synced after its last change."""
    synced: list[tuple[str, int]] = []
    sync = os.fsync

    def recorded(file: int) -> None:
        sync(file)
        synced.append((str(Path(f"/proc/self/fd/{file}").readlink()), os.fstat(file).st_size))

    monkeypatch.setattr(os, "fsync", recorded)
    sink = one(form.format(tmp_path))
    write(sink, pictured(30))
    sink.flush()
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        unfinished = str(path.with_name(f".{path.name}.unfinished"))  # the name under which it was synced
        assert {(str(path), path.stat().st_size), (unfinished, path.stat().st_size)} & set(synced), path
        assert str(path.parent) in {name for name, _ in synced}, path
    sink.close()


def test_mot_files_are_read_by_others(tmp_path: Path) -> None:
    """Trackers is the package of ByteTrack, with its own reader of MOT files."""
    read = pytest.importorskip("trackers").load_mot_file
    items = list(items_of("door", 40))
    sink = one(f"mot:{tmp_path}")
    write(sink, iter(items))
    sink.close()
    found = read(tmp_path / "door.txt")
    frames = {
        item.frame + 1: item.faces for item in items if isinstance(item, FrameFaces) and len(item.faces)
    }
    assert found.keys() == frames.keys()
    for number, faces in frames.items():
        assert found[number].ids.tolist() == faces.tracker_id.tolist()  # type: ignore[union-attr]
        corners = found[number].boxes + np.pad(found[number].boxes[:, :2], ((0, 0), (2, 0)))
        np.testing.assert_allclose(corners, faces.xyxy, atol=0.02)
        np.testing.assert_allclose(found[number].confidences, faces.confidence, rtol=1e-5)
        assert set(found[number].classes.tolist()) == {1}


def test_faces_without_ids_are_no_tracks(tmp_path: Path) -> None:
    sink = one(f"mot:{tmp_path}")
    with pytest.raises(OutputError, match="faces have no ids; turn tracking on"):
        write(sink, items_of("door", 20, tracked=False))
    sink.close()


@pytest.mark.parametrize("options", ["", ",aligned", ",aligned=no,margin=0"])
def test_crops_are_the_faces(options: str, tmp_path: Path) -> None:
    items = [item for item in pictured(20) if isinstance(item, FrameFaces)]
    sink = one(f"crops:{tmp_path}{options}")
    write(sink, iter(items))
    sink.close()
    files = sorted(tmp_path.rglob("*.jpg"))
    assert len(files) == sum(len(item.faces) for item in items)
    assert files[0].relative_to(tmp_path).parts[:2] == ("door", "2025-11-25T12")
    frame, rest = files[0].stem.split("-", 1)
    item = items[int(frame)]
    index, identity = rest.split("-id")
    assert int(identity) == item.faces.tracker_id[int(index)]  # type: ignore[index]
    crop = cv2.imread(str(files[0]))
    assert crop is not None
    x0, y0, x1, y1 = item.faces.clip().xyxy[int(index)].tolist()
    height, width = crop.shape[:2]
    if "aligned" in options and "no" not in options:
        assert (height, width) == (112, 112)
    elif "margin=0" in options:
        assert (height, width) == pytest.approx((y1 - y0, x1 - x0), abs=1)
    else:
        assert height > y1 - y0 or width > x1 - x0
    assert abs(int(crop[height // 2, width // 2, 0]) - item.frame) <= 2


def test_prometheus_counts_on_loopback_only() -> None:
    pytest.importorskip("prometheus_client")
    items = list(items_of("door", 50))
    sink = one("prometheus:0")
    try:
        for item in items:
            sink.write(item)
        port = sink.port  # type: ignore[attr-defined]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        found = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}
        faces = sum(len(item.faces) for item in items if isinstance(item, FrameFaces))
        prefix = "trt_mogface_video_"
        assert found[prefix + 'frames_total{source="door"}'] == 50
        assert found[prefix + 'faces_total{source="door"}'] == faces
        assert found[prefix + 'running{source="door"}'] == 0
        dropped = sum(
            item.count for item in items if not isinstance(item, FrameFaces) and item.event == "dropped"
        )
        assert found[prefix + 'dropped_frames_total{source="door"}'] == dropped
        assert found[prefix + 'tracks_total{source="door"}'] == sum(len(item.ended) for item in items)
        with pytest.raises(OutputError, match=r"cannot listen .*; choose another port"):
            one(f"prometheus:{port}")
        listening = subprocess.run(["cat", "/proc/net/tcp"], capture_output=True, text=True).stdout
        assert f"0100007F:{port:04X} " in listening
        assert f"00000000:{port:04X} " not in listening
    finally:
        sink.close()


class Collected:
    """A sink of a caller."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.closed = 0

    def write(self, item: Item) -> None:
        if isinstance(item, FrameFaces) and item.frame == 7:
            raise ValueError("seven\nis wrong")
        self.items.append(item)

    def flush(self) -> None: ...

    def close(self) -> None:
        self.closed += 1


def test_an_object_is_a_sink() -> None:
    collected = Collected()
    (sink,) = open_sinks([collected])
    items = list(items_of("door", 5))
    for item in items:
        sink.write(item)
    sink.flush()
    sink.close()
    assert collected.items == items
    assert collected.closed == 1
    with pytest.raises(OutputError, match=r"^Collected: failed \(ValueError: seven\); see the cause"):
        write(sink, items_of("door", 9))
    with pytest.raises(OutputError, match="cannot be resumed without"):
        sink.cut(None)


@pytest.mark.parametrize("missing", ["write", "flush", "close"])
def test_an_object_that_is_no_sink_is_named(missing: str) -> None:
    methods: dict[str, Callable[..., None]] = {name: lambda *_: None for name in ("write", "flush", "close")}
    del methods[missing]
    with pytest.raises(ArgumentError, match=f"Thing: must have a method {missing}"):
        open_sinks([type("Thing", (), methods)()])


def test_sinks_are_opened_all_or_none(tmp_path: Path) -> None:
    collected = Collected()
    with pytest.raises(MogFaceError):
        open_sinks([collected, f"jsonl:{tmp_path}/missing/out.jsonl"])
    assert collected.closed == 1


def test_a_cut_is_remembered_by_later_runs(tmp_path: Path) -> None:
    """A file that a cut has deleted is a new one for the next run, which may be cut to the same position."""
    specification, whole = f"mot:{tmp_path}/out", f"mot:{tmp_path}/whole"
    for name in (specification, whole):
        sink = one(name)
        position = sink.position()
        write(sink, items_of("door", 20))
        sink.close()
    for _ in range(3):
        again = one(specification, resume=True)
        again.cut(position)
        position = again.position()
        again.close()
        again = one(specification, resume=True)
        again.cut(position)
        write(again, items_of("door", 20))
        again.close()
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "whole")


def test_a_file_with_only_its_head_has_no_records(tmp_path: Path) -> None:
    one(f"csv:{tmp_path}/a.csv").close()
    sink = one(f"csv:{tmp_path}/a.csv")
    write(sink, items_of("door", 3))
    sink.close()
    text = (tmp_path / "a.csv").read_text()
    assert text.count("record,schema") == 1
    assert text.startswith("record,schema")
