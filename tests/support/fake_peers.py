"""Peers that work, and peers that fail; each is sent to a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.peer import FACES, Does, Loop, Opened, SkippedError, Task
from trt_mogface.errors import MissingExtraError


@dataclass(frozen=True)
class Sleeper:
    """A run is a sleep of `seconds`."""

    name: str
    seconds: float = 0.002
    does: Does = FACES

    def open(self, task: Task) -> Opened:
        note_down(task, self.name)
        return Loop(lambda: time.sleep(self.seconds), len(task.images), self.does, 3, "sleeps")


@dataclass(frozen=True)
class Breaking:
    """Peer that breaks in some way, when it is opened or in its first turn."""

    name: str
    way: str
    at_once: bool = True

    def open(self, task: Task) -> Opened:
        note_down(task, self.name)
        print("output of a peer does not belong into the report")
        runs = 1 if self.at_once else 0

        def run() -> None:
            nonlocal runs
            runs += 1
            if runs > 1:  # the first is part of opening
                self.breaks()

        return Loop(run, 1, FACES)

    def breaks(self) -> None:
        ways = {
            "raise": self._raise,
            "exit": lambda: os._exit(7),
            "segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
            "hang": self._hang,
            "package": self._package,
            "extra": self._extra,
            "skip": self._skip,
        }
        ways[self.way]()

    def _raise(self) -> None:
        raise ValueError("it [b]does not[/b] work\nfor many reasons")

    def _hang(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(1000)

    def _package(self) -> None:
        import a_package_that_nobody_has  # type: ignore[import-not-found]  # noqa: F401

    def _extra(self) -> None:
        raise MissingExtraError("pip install 'trt-mogface[bench]'")

    def _skip(self) -> None:
        raise SkippedError("it is another model")


@dataclass(frozen=True)
class Parent:
    """Peer that starts a process and leaves it."""

    name: str

    def open(self, task: Task) -> Opened:
        child = subprocess.Popen(["sleep", "1000"])
        task.files["pids"].joinpath(self.name).write_text(str(child.pid))
        return Loop(lambda: time.sleep(0.001), 1, FACES)


def note_down(task: Task, name: str) -> None:
    """Write the process id, if a test requests it."""
    if "pids" in task.files:
        Path(task.files["pids"], name).write_text(str(os.getpid()))
