"""``trt-mogface video`` killed with SIGKILL and resumed: the real analysis, tracking, blur and sinks."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections import defaultdict
from pathlib import Path

import pytest

from tests.support.clips import PORTRAIT, clip
from tests.support.command import COMMAND
from tests.support.streams import is_requested
from trt_mogface.video.records import read_records

av = pytest.importorskip("av")
pytestmark = [pytest.mark.streams, is_requested()]


def command(video: Path, folder: Path, *more: str) -> list[str]:
    sinks = [f"jsonl:{folder}/out.jsonl", f"parquet:{folder}/out", f"mot:{folder}/out", f"mp4:{folder}/out"]
    named = [part for sink in sinks for part in ("--sink", sink)]
    sampled = ["--every", "2", "--size", "320x192", "--track", "--blur", "solid"]
    return [*COMMAND, "video", f"a={video}", f"b={video}", *sampled, *named, "--progress", "none", *more]


def lines(path: Path) -> dict[str, list[str]]:
    found = defaultdict(list)
    for line in path.read_text().splitlines():
        found[json.loads(line)["source"]].append(line)
    return dict(found)


def count(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def shown(folder: Path, source: str) -> int:
    """Return the number of frames in all video files of a source."""
    total = 0
    for path in folder.glob(f"{source}*.mp4"):
        with av.open(str(path)) as container:
            total += sum(1 for _ in container.decode(video=0))
    return total


def test_a_killed_command_goes_on(test_data: Path, tmp_path: Path) -> None:
    video_clip = clip(test_data, PORTRAIT)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    subprocess.run(command(video_clip, whole), check=True, capture_output=True)
    kills = 0
    while True:
        process = subprocess.Popen(command(video_clip, killed, "--resume"), stderr=subprocess.PIPE, text=True)
        goal = count(killed / "out.jsonl") + random.randint(5, 40)
        while process.poll() is None and (count(killed / "out.jsonl") < goal or kills >= 20):
            time.sleep(0.02)
        process.kill()
        _, errors = process.communicate()
        if process.returncode == 0:
            break
        assert process.returncode == -9, errors
        kills += 1
    assert kills >= 3
    assert lines(killed / "out.jsonl") == lines(whole / "out.jsonl")
    assert len(list(read_records(killed / "out"))) == count(whole / "out.jsonl") - _tracks(whole)
    for path in (whole / "out").glob("*.txt"):
        assert (killed / "out" / path.name).read_bytes() == path.read_bytes()
    for source in ("a", "b"):
        assert shown(killed / "out", source) == shown(whole / "out", source) > 50
    done = subprocess.run(command(video_clip, killed, "--resume"), capture_output=True, text=True)
    assert done.returncode == 0
    assert lines(killed / "out.jsonl") == lines(whole / "out.jsonl")


def _tracks(folder: Path) -> int:
    return sum(len(item.ended) for item in read_records(folder / "out.jsonl"))
