"""Run the command line in this process, or as a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from trt_mogface.cli.app import main

COMMAND = [sys.executable, "-m", "trt_mogface"]


def hear_interrupts() -> None:
    """Restore signals in a child: jobs in the background, or under nohup, inherit that some are ignored."""
    for each in (signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_DFL)


class Result(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """Return the one line that a failed command prints."""
        assert self.status == 2
        assert "Traceback" not in self.err
        (line,) = self.err.splitlines()
        assert line.startswith("trt-mogface: ")
        return line.removeprefix("trt-mogface: ")


Run = Callable[..., Result]


def runner(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs ``main`` and captures its output, and that of the libraries below it."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["trt-mogface", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capfd.readouterr()
        assert isinstance(stop.value.code, int)
        return Result(stop.value.code, printed.out, printed.err)

    return run


def command(*arguments: object, env: dict[str, str] | None = None) -> Result:
    """Run the command line as a process of its own."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, env=env, errors="surrogateescape"
    )
    return Result(done.returncode, done.stdout, done.stderr)
