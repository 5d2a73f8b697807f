"""The verb report on files of the jsonl sink: its page, what it refuses, and what it leaves behind."""

from __future__ import annotations

import re
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest

from tests.support.command import Run
from tests.support.photos import Photo
from tests.support.report_items import items
from trt_mogface import Detections
from trt_mogface.frame import Frame
from trt_mogface.images import decode_image, read_image
from trt_mogface.video.items import FrameFaces
from trt_mogface.video.records import encode
from trt_mogface.video.sinks.crops import CropsSink
from trt_mogface.video.tracks import Sighting, Track

pytest.importorskip("jinja2", reason="pip install 'trt-mogface[reports]'")


def recorded(path: Path, name: str = "door", frames: int = 60, seed: int = 0) -> Path:
    path.write_bytes(b"".join(encode(item) for item in items(name, frames, is_live=True, seed=seed)))
    return path


def test_a_page_of_files_and_folders(run: Run, tmp_path: Path) -> None:
    (tmp_path / "segments").mkdir()
    recorded(tmp_path / "segments" / "a.jsonl", "hall")
    target = tmp_path / "report.html"
    result = run("report", recorded(tmp_path / "door.jsonl"), tmp_path / "segments", "-o", target)
    assert result == (0, "", f"written: {target}\n")
    text = target.read_text()
    assert text.startswith("<!doctype html>")
    assert ">door</th>" in text
    assert ">hall</th>" in text


def test_the_page_can_be_piped(run: Run, tmp_path: Path) -> None:
    status, out, err = run("report", recorded(tmp_path / "a.jsonl"), "-o", "-")
    assert (status, err) == (0, "")
    assert out.startswith("<!doctype html>")
    assert out.rstrip().endswith("</html>")


def test_what_a_killed_run_left_is_shown(run: Run, tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.jsonl")
    path.write_bytes(path.read_bytes()[:-40])
    assert run("report", path, "-o", tmp_path / "a.html").status == 0


def test_damage_is_reported_and_the_rest_is_shown(run: Run, tmp_path: Path) -> None:
    whole, damaged = recorded(tmp_path / "a.jsonl"), recorded(tmp_path / "b.jsonl", "hall")
    lines = damaged.read_bytes().splitlines(keepends=True)
    damaged.write_bytes(b"".join([*lines[:20], b"{\x00<b>\n", *lines[20:]]))
    missing = tmp_path / "missing.jsonl"
    status, _, err = run("report", whole, damaged, missing, "-o", tmp_path / "a.html")
    assert status == 1
    first, second, last = err.splitlines()
    assert "line 21" in first
    assert str(damaged) in first
    assert str(missing) in second
    assert last == f"written: {tmp_path / 'a.html'}"
    text = (tmp_path / "a.html").read_text()
    assert "line 21" in text
    assert ">hall</th>" in text


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "no records"), (b"not a record\n", "line 1"), (b'{"image": "a.jpg", "faces": []}\n', "line 1")],
)
def test_other_files_are_refused(run: Run, tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "other.jsonl"
    path.write_bytes(content)
    message = run("report", path, "-o", tmp_path / "a.html").message
    assert message.startswith(f"{path}: ")
    assert problem in message
    assert not (tmp_path / "a.html").exists()


def test_an_empty_folder_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert "no records" in run("report", tmp_path / "out", "-o", tmp_path / "a.html").message


def test_two_sinks_of_one_run_are_not_counted_twice(run: Run, tmp_path: Path) -> None:
    first, copy = recorded(tmp_path / "a.jsonl"), recorded(tmp_path / "b.jsonl")
    status, _, err = run("report", first, copy, "-o", tmp_path / "a.html")
    assert status == 1
    assert f"{copy}: records of door overlap with those of an earlier argument" in err
    assert " 40 " not in err


def test_the_page_never_replaces_a_record(run: Run, tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.jsonl")
    before = path.read_bytes()
    assert "input" in run("report", path, "-o", path).message
    assert path.read_bytes() == before


def test_a_folder_without_write_access(run: Run, tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.jsonl")
    assert "no such folder" in run("report", path, "-o", tmp_path / "missing" / "a.html").message


def test_best_crops_are_those_of_the_crops_sink(run: Run, tmp_path: Path, portrait: Photo) -> None:
    """A track that is seen three times, best in the second frame: that crop is on the page, and no other."""
    sink = CropsSink("crops", str(tmp_path / "crops"))
    lines = []
    for number, confidence in enumerate((0.7, 0.9, 0.8)):
        found = np.array([[180, 60, 270, 180]], np.float32), np.array([confidence], np.float32)
        faces = Detections(*found, None, (512, 512), tracker_id=np.array([4]))
        picture = Frame((np.roll(portrait, 40 * number, axis=2),))
        sightings = [Sighting(frame, None, 1e9 + frame, (0, 0, 1, 1), 0.9, 0.9) for frame in (0, 2, 1)]
        ended = (Track(4, sightings[0], sightings[1], 3, sightings[2]),) if number == 2 else ()
        item = FrameFaces(
            "a/b [1]", number, None, 1e9 + number, "arrival", faces, picture=picture, ended=ended
        )
        sink.write(item)
        lines.append(encode(item))
    sink.close()
    (tmp_path / "a.jsonl").write_bytes(b"".join(lines))
    target = tmp_path / "a.html"
    assert run("report", tmp_path / "a.jsonl", tmp_path / "crops", "-o", target).status == 0
    (data,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', target.read_text())
    (file,) = (tmp_path / "crops").rglob("00000001-0-id4.jpg")
    shown, written = decode_image(b64decode(data), "page"), read_image(file)
    assert np.abs(shown.astype(int) - written).mean() < 4
    assert "a/b [1], track 4, 3 sightings" in target.read_text()
    file.write_bytes(b"damaged")
    assert run("report", tmp_path / "a.jsonl", tmp_path / "crops", "-o", target).status == 0
    assert "Best crops" not in target.read_text()
