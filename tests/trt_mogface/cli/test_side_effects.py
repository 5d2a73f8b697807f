"""Every verb, under strace: no network, and no file but its outputs and those of our own cache."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import COMMAND
from tests.support.project import REPOSITORY
from trt_mogface.cli.app import VERBS
from trt_mogface.models.cards import DEFAULT, embedded_file

NETWORK = re.compile(r"\b(?:connect|bind|listen|sendto|sendmsg|sendmmsg|recvfrom)\(|socket\(AF_INET")
CHANGED = re.compile(
    r'\b(?:open|openat|openat2|creat)\([^"]*"([^"]+)".*?(?:O_WRONLY|O_RDWR|O_CREAT)'
    r'|\b(?:mkdir|mkdirat|mknod|unlink|rmdir|truncate|symlink|link|chmod|utime\w*)\([^"]*"([^"]+)"'
    r'|\b(?:rename|renameat2?)\([^"]*"([^"]+)"'
)

ALL_VERBS = """
import sys
from trt_mogface.cli.app import main

def verb(expected, *arguments):
    sys.argv = ["trt-mogface", *arguments]
    try:
        main()
    except SystemExit as stop:
        assert stop.code == expected, arguments

verb(0, "models")
verb(0, "detect", "images/0--Parade/0.jpg", "--save", "drawn.jpg", "--json", "faces.json")
verb(0, "video", "images/0--Parade/0.jpg", "--sink", "jsonl:video.jsonl", "--sink", "crops:crops")
verb(0, "report", "video.jsonl", "crops", "-o", "report.html")
verb(0, "export", "-o", "model.onnx")
verb(0, "inspect", "model.onnx")
verb(0, "build", "model.onnx", "--precision", "fp16", "-o", "fp16.onnx")
verb(0, "compare", "model.onnx", "fp16.onnx", "images/0--Parade/0.jpg", "--html", "compare.html")
few = ("--gt", "annotations.json", "--images", "images", "--subset", "few.txt")
verb(0, "eval", "wider", *few, "--html", "eval.html")
verb(0, "bench", "--duration", "0.2", "--size", "64x64", "--roofline", "--html", "bench.html")
verb(0, "triton", "model.onnx", "-o", "repository")
verb(2, "refit", "model.onnx", "model.onnx", "-o", "refitted.engine")
verb(2, "adapt", "model.onnx", "--as", "ulfd", "-o", "adapted.onnx")
verb(2, "serve", "--queue", "0")  # what it is for is the network
verb(0, "check-env")
"""

needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is not installed: apt-get install strace"
)


def traced(code: str, folder: Path, home: Path) -> list[str]:
    """Run Python code and return the system calls of it, its threads and its children."""
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    log = folder / "strace.log"
    kept = ("PATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
    env = {name: os.environ[name] for name in kept if name in os.environ} | {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = ["strace", "-f", "-qq", "-s", "512", "-e", "trace=%network,%file", "-o", str(log)]
    done = subprocess.run(
        [*command, sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True
    )
    if "ptrace" in done.stderr and done.returncode:
        pytest.skip(f"strace may not trace here: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    return log.read_text(encoding="utf-8", errors="replace").splitlines()


def changed(calls: list[str], folder: Path) -> set[Path]:
    """Return the files and folders that the calls made, wrote or removed, but not the null device."""
    found = set()
    for call in calls:
        match = CHANGED.search(call)
        if match and " = -1 " not in call:
            found.add(folder / next(filter(None, match.groups())))
    return found - {Path("/dev/null")}


@pytest.mark.slow
@needs_strace
def test_no_verb_reaches_out(annotated_photos: Path, tmp_path: Path) -> None:
    assert all(f'"{name}"' in ALL_VERBS for name in VERBS)
    folder, home = tmp_path / "work", tmp_path / "home"
    shutil.copytree(annotated_photos, folder)
    home.mkdir()
    (folder / "few.txt").write_text("0--Parade/0\n")
    calls = traced(ALL_VERBS, folder, home)
    assert [call for call in calls if NETWORK.search(call)] == []
    allowed = (folder, home / ".cache" / "trt-mogface")
    written = changed(calls, folder)
    assert folder / "faces.json" in written  # the trace shows writing
    assert {path for path in written if not any(path.is_relative_to(each) for each in allowed)} <= {
        home / ".cache"
    }


@needs_strace
def test_the_trace_shows_reaching_out(tmp_path: Path) -> None:
    """Else the test above could not fail."""
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import pathlib, socket; pathlib.Path.home().joinpath('id').touch();"
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('127.0.0.1', 9))"
    )
    calls = traced(code, tmp_path, home)
    assert any(NETWORK.search(call) for call in calls)
    assert changed(calls, tmp_path) == {home / "id"}


def test_a_home_that_cannot_be_written_is_not_mentioned(photo_folder: Path, tmp_path: Path) -> None:
    """Even for a report, whose plots need a list of fonts."""
    (tmp_path / "home").touch()  # a file: root may write everywhere
    env = os.environ | {"HOME": str(tmp_path / "home"), "PYTHONPATH": str(REPOSITORY)}
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR"):
        env.pop(name, None)
    model = str(embedded_file(DEFAULT))
    html = str(tmp_path / "page.html")
    command = [*COMMAND, "compare", model, model, str(photo_folder), "--html", html]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, f"written: {html}\n")
