"""Records: the same in all sinks, and read back as the items that were written."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.project import REPOSITORY
from tests.support.recorded_items import items_of, plain
from trt_mogface.errors import OutputError
from trt_mogface.video.items import FrameFaces, Item
from trt_mogface.video.records import encode, read_records
from trt_mogface.video.sinks.csv import COLUMNS
from trt_mogface.video.sinks.opening import open_sinks
from trt_mogface.video.sinks.parquet import TABLES

duckdb = pytest.importorskip("duckdb")


def written(items: list[Item], *specifications: str, **options: Any) -> None:
    sinks = open_sinks(specifications, **options)
    for sink in sinks:
        for item in items:
            sink.write(item)
        sink.flush()
        sink.close()
        sink.close()


@pytest.fixture(params=["rich", "plain"])
def items(request: pytest.FixtureRequest) -> list[Item]:
    rich = request.param == "rich"
    return [*items_of("clips/tür 1.mp4", 30, rich=rich, tracked=rich), *items_of("=1", 20, seed=1, rich=rich)]


@pytest.mark.parametrize("form", ["jsonl:{}/out.jsonl", "parquet:{}", "jsonl:{}/cam.jsonl,segment=1s"])
def test_records_are_read_back_as_the_items(items: list[Item], tmp_path: Path, form: str) -> None:
    written(items, form.format(tmp_path))
    expected, found = [plain(item) for item in items], [plain(item) for item in read_records(tmp_path)]
    by_source: Callable[[dict[str, Any]], str] = lambda values: values["source"]  # noqa: E731
    assert sorted(found, key=by_source) == sorted(expected, key=by_source)


def test_every_line_is_a_record_of_the_documented_fields(items: list[Item], tmp_path: Path) -> None:
    written(items, f"jsonl:{tmp_path}/out.jsonl")
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    page = (REPOSITORY / "docs/video.md").read_text()
    for kind in ("frame", "event", "track"):
        section = page[page.index(f"### The {kind} record") :].split("\n#")[0]
        documented = set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE))
        used = {key for record in records if record["record"] == kind for key in record}
        assert used <= documented | {"record", "schema", "source"}
    assert {record["schema"] for record in records} == {1}
    frames = [item for item in items if isinstance(item, FrameFaces)]
    assert sum(record["record"] == "frame" for record in records) == len(frames)
    assert [r["faces"] for r in records if r["record"] == "frame"].count([]) == sum(
        not len(item.faces) for item in frames
    )


def test_tables_hold_what_the_lines_hold(items: list[Item], tmp_path: Path) -> None:
    written(items, f"jsonl:{tmp_path}/out.jsonl", f"parquet:{tmp_path}/tables", f"csv:{tmp_path}/out.csv")
    with open(tmp_path / "out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(COLUMNS)

    def parquet(table: str, columns: str) -> list[tuple[Any, ...]]:
        query = f"select source, {columns} from read_parquet('{tmp_path}/tables/{table}/**/*.parquet')"  # noqa: S608
        return sorted(duckdb.sql(query).fetchall(), key=repr)

    frames = [item for item in items if isinstance(item, FrameFaces)]
    assert parquet("frames", "frame, faces") == sorted(
        ((item.source, item.frame, len(item.faces)) for item in frames), key=repr
    )
    faces = [
        (item.source, item.frame, index, score, *box)
        for item in frames
        for index, (score, box) in enumerate(zip(item.faces.confidence.tolist(), item.faces.xyxy.tolist()))
    ]
    assert parquet("faces", "frame, face, confidence, x0, y0, x1, y1") == sorted(faces, key=repr)
    columns = ("confidence", "x0", "y0", "x1", "y1")
    in_csv = [
        (row["source"], int(row["frame"]), int(row["face"]), *(float(row[name]) for name in columns))
        for row in rows
        if row["face"]
    ]
    assert in_csv == faces
    without = [(row["source"], int(row["frame"])) for row in rows if row["faces"] == "0" and not row["face"]]
    assert without == [(item.source, item.frame) for item in frames if not len(item.faces)]
    events = [item for item in items if not isinstance(item, FrameFaces)]
    assert parquet("events", "event, frame, message") == sorted(
        ((item.source, item.event, item.frame, item.message) for item in events), key=repr
    )
    assert [row["message"] for row in rows if row["event"]] == [item.message for item in events]
    tracks = [(item.source, each.id, each.best.frame) for item in items for each in item.ended]
    assert parquet("tracks", "tracker_id, best.frame") == sorted(tracks, key=repr)
    assert [
        (r["source"], int(r["tracker_id"]), int(r["best_frame"])) for r in rows if r["best_frame"]
    ] == tracks


def test_parts_are_by_source_and_utc_hour(tmp_path: Path) -> None:
    written(list(items_of("door", 4, every=1800)), f"parquet:{tmp_path}")
    hours = [path.name for path in sorted((tmp_path / "frames/source=door").iterdir())]
    assert hours == ["hour=2025-11-25T12", "hour=2025-11-25T13"]
    query = f"select hour, count(*) from read_parquet('{tmp_path}/frames/**/*.parquet') group by hour"  # noqa: S608
    assert sorted(duckdb.sql(query).fetchall()) == [("2025-11-25T12", 2), ("2025-11-25T13", 2)]
    assert set(TABLES) == {path.name for path in tmp_path.iterdir() if path.is_dir()}


def test_a_line_that_was_cut_off_ends_the_records(tmp_path: Path) -> None:
    items, path = list(items_of("door", 9)), tmp_path / "out.jsonl"
    path.write_bytes(b"".join(map(encode, items))[:-40])
    found = [plain(item) for item in read_records(path)]
    assert found[:-1] == [plain(item) for item in items][: len(found) - 1]
    assert len(found) >= len(items) - 1


GOOD = encode(next(items_of("door", 0)))
FRAME = (
    b'{"record":"frame","source":"a","frame":0,"time":null,"captured":1,"clock":"arrival","opening":1,'
    b'"width":4,"height":4,"faces":[%b],"schema":1}'
)


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"null",
        b"\xff\xfe",
        b"[" * 5000,
        GOOD.strip().replace(b'"schema":1', b'"schema":2'),
        GOOD.strip().replace(b'"opened"', b'"exploded"'),
        GOOD.strip().replace(b'"count":0', b'"count":true'),
        FRAME % b'{"box":[1,2,3],"confidence":1}',
        FRAME % b'{"box":[1,2,3,4],"confidence":1,"tracker_id":1},{"box":[1,2,3,4],"confidence":1}',
    ],
    ids=["empty", "null", "bytes", "nested", "schema", "event", "type", "box", "ragged"],
)
def test_a_line_that_is_not_a_record_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(GOOD + line + b"\n" + GOOD)
    with pytest.raises(OutputError, match="line 2 is not a record of schema 1"):
        list(read_records(path))


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    written(list(items_of("door", 9)), f"parquet:{tmp_path}")
    (part,) = (tmp_path / "faces").rglob("*.parquet")
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(
        OutputError, match=r"source=door/hour=2025-11-25T12/part-\d+\.parquet: cannot be read"
    ):
        list(read_records(tmp_path))


def test_what_has_no_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no records"):
        list(read_records(tmp_path))
    with pytest.raises(OutputError, match="cannot be read"):
        list(read_records(tmp_path / "missing.jsonl"))
