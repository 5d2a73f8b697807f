"""The fuzzers find planted faults of every kind, and none in a short run over the product."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.campaign import NOTE, Tally, cases, run
from tests.fuzz.invariants import require, status_problems
from tests.fuzz.targets import TARGETS, Target
from tests.fuzz.worker import SPARE, Case, Limits, Worker
from tests.support.project import REPOSITORY
from trt_mogface.errors import ModelError

LITTLE = Limits(cpu_seconds=1, memory=300 << 20)
FEW = Limits(seconds=3.0)


def write(rng: Random, folder: Path) -> None:
    (folder / "input").write_bytes(rng.randbytes(8))


def target(use: Callable[[Path], object], *commands: tuple[str, ...]) -> Target:
    return Target("planted", write, (use,), commands, every=1)


def accept(_: Path) -> None:
    pass


def refuse(_: Path) -> None:
    raise ModelError("no")


def raise_plainly(_: Path) -> None:
    raise KeyError("a bug")


class UnlimitedError(ModelError):
    def __str__(self) -> str:
        return "x" * 100_000


class RedError(ModelError):
    def __str__(self) -> str:
        return "\x1b[31mred"


def say_it_in_red(_: Path) -> None:
    raise RedError


def say_too_much(_: Path) -> None:
    raise UnlimitedError


def say_nothing(_: Path) -> None:
    raise ModelError("")


def misbehave(_: Path) -> None:
    require(False, "it lies")


def leave_a_file(folder: Path) -> None:
    (folder / "more").touch()


def leave_a_temporary_file(_: Path) -> None:
    tempfile.mkdtemp()


def change_the_input(folder: Path) -> None:
    (folder / "input").write_bytes(b"")


def remove_the_input(folder: Path) -> None:
    (folder / "input").unlink()


def crash(_: Path) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def spin(_: Path) -> None:
    while True:
        pass


def sleep(_: Path) -> None:
    time.sleep(1000)


def take_memory(_: Path) -> None:
    bytearray(LITTLE.memory + (200 << 20))


def take_more_memory(_: Path) -> None:
    bytearray(2 * (LITTLE.memory + SPARE))


@pytest.mark.parametrize(
    ("use", "kind"),
    [
        (raise_plainly, "KeyError"),
        (say_too_much, "message too long"),
        (say_nothing, "empty message"),
        (say_it_in_red, "message with control characters"),
        (misbehave, "accepted, but it lies"),
        (leave_a_file, "file left behind"),
        (leave_a_temporary_file, "temporary file left behind"),
        (change_the_input, "input changed"),
        (remove_the_input, "input removed"),
        (crash, "died by SIGSEGV"),
        (spin, "hangs"),
        (sleep, "hangs without using the CPU"),
        (take_memory, "too much memory"),
        (take_more_memory, "MemoryError"),
    ],
)
def test_planted_faults_are_found(use: Callable[[Path], object], kind: str, tmp_path: Path) -> None:
    limits = FEW if use is sleep else LITTLE
    with Worker(tmp_path / "worker", limits) as process:
        found = process.run(Case(target(use)))
        after = process.run(Case(target(accept)))
    assert kind in found.problems[0].kind
    assert after.accepted == 1, "it continues after a finding"
    assert not after.problems


@pytest.mark.parametrize("use", [accept, refuse])
def test_good_behavior_is_no_finding(use: Callable[[Path], object], tmp_path: Path) -> None:
    with Worker(tmp_path / "worker") as process:
        outcome = process.run(Case(target(use, ("models",), ("inspect", "input"))))
    assert not outcome.problems
    assert outcome.accepted == (use is accept) + 1, "of the commands, the first succeeds"


@pytest.mark.parametrize(
    ("status", "printed", "said", "kind"),
    [
        (3, "", "", "undocumented exit status"),
        (None, "", "", "undocumented exit status"),
        (1, "", "Traceback (most recent call last):\n", "traceback"),
        (2, "", "", "failed without exactly one line"),
        (2, "", "trt-mogface: a\ntrt-mogface: b\n", "failed without exactly one line"),
        (2, "", "a: b\n", "failed without exactly one line"),
        (2, "", "trt-mogface: out of memory: use smaller images\n", "out of memory"),
        (0, "\x1b[31mred\n", "", "control characters printed"),
        (2, "", "trt-mogface: \x1b[31mred\n", "control characters printed"),
        (1, "", "trt-mogface: " + "x" * 5000 + "\n", "line too long"),
    ],
)
def test_commands_are_held_to_their_contract(status: int | None, printed: str, said: str, kind: str) -> None:
    assert [problem.kind for problem in status_problems(status, printed, said)] == [kind]


@pytest.mark.parametrize("status", [0, 1, 2])
def test_good_commands_are_no_finding(status: int) -> None:
    said = {0: "", 1: "trt-mogface: a: damaged\n", 2: "libpng error: x\ntrt-mogface: a: damaged\n"}[status]
    assert not list(status_problems(status, "faces\n", said))


def test_a_finding_is_kept_and_can_be_tried_again(tmp_path: Path) -> None:
    planted = target(raise_plainly)
    tallies = run(islice(cases([planted], 7), 3), keep=tmp_path)
    assert tallies["planted"] == Tally(3, 0, 3, tallies["planted"].kinds)
    assert len(list(tmp_path.iterdir())) == 3
    folder = tmp_path / "planted-7-1"
    note = (folder / NOTE).read_text()
    assert note.startswith(f"python -m tests.fuzz --replay {folder}\n")
    assert "KeyError" in note
    Case(planted, 7, 1).write(tmp_path)
    assert (tmp_path / "input").read_bytes() == (folder / "input").read_bytes(), "the same case again"


@pytest.mark.parametrize("name", TARGETS)
def test_cases_are_the_same_in_every_run(name: str, tmp_path: Path) -> None:
    contents = []
    for part in ("one", "two"):
        for number in range(5):
            folder = tmp_path / part / str(number)
            folder.mkdir(parents=True)
            Case(TARGETS[name], 3, number).write(folder)
        files = sorted(path for path in (tmp_path / part).rglob("*") if path.is_file())
        contents.append([path.read_bytes() for path in files])
    assert contents[0] == contents[1]


def test_the_product_survives_a_short_run(tmp_path: Path) -> None:
    """`make fuzz` runs many more cases; a process of its own, as this one may have threads."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--count", "1500", "--keep", str(tmp_path)],
        cwd=REPOSITORY, capture_output=True, text=True,
    )  # fmt: skip
    notes = "\n".join(path.read_text(encoding="utf-8")[:2000] for path in tmp_path.rglob(NOTE))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{notes}"
