"""A process of its own for the cases: limited in time and memory, and replaced when it dies."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass
from io import TextIOWrapper
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from types import TracebackType

import cv2

from tests.fuzz.invariants import Problem, check_command, check_use
from tests.fuzz.targets import Target

SPARE = 1 << 30
"""Bytes beyond the limit that can still be allocated, so that too much is measured and not only refused."""

CASES = 1000
"""Cases after which a process is replaced, lest it grows."""


@dataclass(frozen=True)
class Limits:
    """Limits of a case.

    Attributes:
        cpu_seconds: CPU seconds beyond which it hangs.
        seconds: Seconds after which a case hangs that needs no CPU; other processes may delay it.
        memory: Bytes that it may add to the process.
    """

    cpu_seconds: int = 20
    seconds: float = 180.0
    memory: int = 2 << 30


@dataclass(frozen=True)
class Case:
    """A mutated input: that of a number, or one that lies in a folder already.

    Attributes:
        target: Kind of input.
        seed: Seed of the run.
        number: Number of the case in the run.
        folder: Folder with the files; None writes them by seed and number.
    """

    target: Target
    seed: int = 0
    number: int = 0
    folder: Path | None = None

    def write(self, folder: Path) -> None:
        """Write the files, always the same."""
        if self.folder is not None:
            shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        else:
            self.target.write(Random(f"{self.seed} {self.target.name} {self.number}"), folder)

    @property
    def with_commands(self) -> bool:
        """Whether the commands read the files too."""
        return (
            self.folder is not None or Random(f"{self.seed} {self.number}").random() < 1 / self.target.every
        )

    def check(self, folder: Path) -> tuple[int, list[Problem]]:
        """Write the files and use them; return the number of uses that accepted them, and the problems."""
        self.write(folder)
        results = [check_use(use, folder) for use in self.target.uses]
        if self.with_commands:
            results += [check_command(arguments, folder) for arguments in self.target.commands]
        return sum(accepted for accepted, _ in results), [
            each for _, problems in results for each in problems
        ]


@dataclass(frozen=True)
class Outcome:
    """What became known of a case: how many uses accepted it, and the broken rules."""

    accepted: int
    problems: tuple[Problem, ...]


class Worker:
    """Runs cases in a child process, one after another.

    Args:
        scratch: Folder for the child's files.
        limits: Limits of each case.
    """

    def __init__(self, scratch: Path, limits: Limits = Limits()) -> None:
        self._scratch, self._limits = scratch, limits
        self._process: multiprocessing.process.BaseProcess | None = None
        self._done = 0

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def run(self, case: Case) -> Outcome:
        """Run a case and return its outcome, be it the death of the process."""
        if self._process is None or self._done >= CASES:
            self._start()
        self._done += 1
        try:
            self._pipe.send(case)
            if not self._pipe.poll(self._limits.seconds):
                self._stop()
                return Outcome(0, (Problem("hangs without using the CPU", ""),))
            outcome: Outcome = self._pipe.recv()
        except (EOFError, ConnectionError):
            return Outcome(0, (self._death(),))
        if any(problem.kind.startswith(TOO_MUCH) for problem in outcome.problems):
            self._stop()  # its peak stays
        return outcome

    def _start(self) -> None:
        self._stop()
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(parents=True)
        # Forked from a fresh process with the imports: this one may have threads, which survive no fork.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, self._scratch, self._limits), daemon=True)
        self._process.start()
        other.close()
        self._pipe.recv()  # it is ready, however long that takes on a busy machine
        self._done = 0

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None

    def _death(self) -> Problem:
        """Return how the process died, with the frames that it was in."""
        assert self._process is not None
        self._process.join()
        code, self._process = self._process.exitcode or 0, None
        crash = (self._scratch / "crash").read_text(errors="replace")
        where = [
            line.split('"')[1]
            for line in crash.splitlines()
            if "/trt_mogface/" in line or "/engine_build/" in line
        ]
        place = f" in {Path(where[0]).name}" if where else ""
        if -code == signal.SIGXCPU:
            return Problem(f"hangs{place}", crash[-3000:])
        name = signal.Signals(-code).name if code < 0 else f"status {code}"
        return Problem(f"the process died by {name}{place}", crash[-3000:])


TOO_MUCH = "too much memory"


def _serve(pipe: Connection, scratch: Path, limits: Limits) -> None:
    """Run the cases that arrive, in the child."""
    crash = (scratch / "crash").open("w")
    faulthandler.enable(crash)
    faulthandler.register(signal.SIGXCPU, crash, chain=True)
    for name in ("temporary", "cache", "home"):
        (scratch / name).mkdir()
    tempfile.tempdir = str(scratch / "temporary")
    os.environ |= {
        "TMPDIR": tempfile.tempdir,
        "XDG_CACHE_HOME": str(scratch / "cache"),
        "HOME": str(scratch / "home"),
    }
    # A test runner may have put objects of its own in their place.
    for name, number in (("stdout", 1), ("stderr", 2)):
        setattr(sys, name, TextIOWrapper(os.fdopen(number, "wb", closefd=False)))
    cv2.setNumThreads(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (_status("VmData") + limits.memory + SPARE,) * 2)
    pipe.send(None)
    peak = _status("VmRSS") + limits.memory
    while True:
        try:
            case: Case = pipe.recv()
        except EOFError:
            return
        pipe.send(_limited(case, scratch / "case", limits.cpu_seconds, peak))


def _limited(case: Case, folder: Path, seconds: int, most: int) -> Outcome:
    before = resource.getrusage(resource.RUSAGE_SELF)
    used = before.ru_utime + before.ru_stime
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used) + 1 + seconds, hard))
    folder.mkdir()
    try:
        accepted, problems = case.check(folder)
    finally:
        os.chdir("/")
        shutil.rmtree(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if peak > most:
        problems.append(Problem(TOO_MUCH, f"{peak / 1e9:.1f} GB"))
    return Outcome(accepted, tuple(problems))


def _status(key: str) -> int:
    """Return a number of bytes in ``/proc/self/status``."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    return 0
