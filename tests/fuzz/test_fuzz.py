"""The fuzzers find planted faults of every kind, and none in a short run over the product."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from tests.fuzz import worker
from tests.fuzz.campaign import NOTE, Tally, cases, run
from tests.fuzz.invariants import require
from tests.fuzz.targets import TARGETS, Target
from tests.fuzz.worker import Case, Worker
from trt_mogface.errors import ModelError


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


def say_too_much(_: Path) -> None:
    raise ModelError(str(list(range(1000))))


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
    bytearray(worker.MEMORY + (200 << 20))


def take_more_memory(_: Path) -> None:
    bytearray(2 * (worker.MEMORY + worker.SPARE))


@pytest.mark.parametrize(
    ("use", "kind"),
    [
        (raise_plainly, "KeyError"),
        (say_too_much, "message too long"),
        (say_nothing, "empty message"),
        (misbehave, "accepted, but it lies"),
        (leave_a_file, "file left behind"),
        (leave_a_temporary_file, "temporary file left behind"),
        (change_the_input, "input changed"),
        (remove_the_input, "input removed"),
        (crash, "died by SIGSEGV"),
        (spin, "hangs"),
        (sleep, "hangs without using the CPU"),
        (take_memory, "GB of memory"),
        (take_more_memory, "MemoryError"),
    ],
)
def test_planted_faults_are_found(
    use: Callable[[Path], object], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "SECONDS", 1)
    if use is sleep:  # of the others, a busy machine may delay the start of the process
        monkeypatch.setattr(worker, "WAIT", 5.0)
    monkeypatch.setattr(worker, "MEMORY", 300 << 20)
    with Worker(tmp_path / "worker") as process:
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


def test_commands_are_held_to_their_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.fuzz import invariants

    def main() -> None:
        print("\x1b[31mred")
        print("Traceback (most recent call last):", file=sys.stderr)
        sys.exit(3)

    monkeypatch.setattr(invariants, "main", main)
    with Worker(tmp_path / "worker") as process:
        outcome = process.run(Case(target(accept, ("models",))))
    assert {each.kind for each in outcome.problems} == {
        "models: undocumented exit status",
        "models: traceback",
        "models: control characters printed",
    }


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
