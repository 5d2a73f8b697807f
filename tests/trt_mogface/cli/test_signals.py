"""Signals, and readers that go away: what a process of its own leaves behind and exits with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import COMMAND, hear_interrupts
from trt_mogface.cli import signals

WAITING = """
import sys, time
from pathlib import Path
from trt_mogface._files import whole_file
from trt_mogface.cli import app

def wait(arguments):
    with whole_file(Path(sys.argv[1])) as temporary:
        temporary.write_text("half")
        print("ready", flush=True)
        time.sleep(60)

app._run = wait
app.main()
"""
"""A command that is in the middle of a file for as long as nobody ends it."""


def end(place: Path, *numbers: signal.Signals, ignored: bool = False) -> tuple[int, str]:
    """Return the status and messages of a command that receives signals in the middle of a file."""
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, place],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=(lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) if ignored else hear_interrupts,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for number in numbers:
            process.send_signal(number)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
    return process.returncode, err


@pytest.mark.parametrize(
    ("number", "status", "message"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "ended by SIGTERM"),
        (signal.SIGHUP, 129, "ended by SIGHUP"),
    ],
)
def test_a_signal_has_its_status_and_leaves_no_file(
    tmp_path: Path, number: signal.Signals, status: int, message: str
) -> None:
    assert end(tmp_path / "a.txt", number) == (status, f"trt-mogface: {message}\n")
    assert list(tmp_path.iterdir()) == []


def test_further_signals_do_not_disturb_the_cleanup(tmp_path: Path) -> None:
    status, err = end(tmp_path / "a.txt", *[signal.SIGTERM, signal.SIGINT, signal.SIGHUP] * 3)
    # Signals that wait together arrive in any order, and the last ones when Python has ended.
    assert status in (143, 130, 129, -15, -2, -1)
    assert "Traceback" not in err, err
    assert list(tmp_path.iterdir()) == []


def test_nohup_is_respected(tmp_path: Path) -> None:
    assert end(tmp_path / "a.txt", signal.SIGHUP, signal.SIGTERM, ignored=True)[0] == 143


STOPPING = """
import sys, threading, time
from trt_mogface.cli import app, signals

def work(arguments):
    stopped = threading.Event()
    with signals.stopping(stopped.set):
        print("ready", flush=True)
        stopped.wait(60)
        print("stopped", flush=True)
        time.sleep(float(sys.argv[1]))
        print("done", flush=True)
    return 0

app._run = work
app.main()
"""
"""A command that finishes its work when it is to stop, which takes some seconds."""


@pytest.mark.parametrize(("again", "done"), [(False, True), (True, False)])
def test_the_first_signal_stops_and_the_second_ends(again: bool, done: bool) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPING, "60" if again else "0.1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "stopped\n"
        if again:
            process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, err) == (130, "trt-mogface: interrupted\n")
    assert ("done" in out) == done


def received() -> None:
    with signals.raised(), signals.deferred() as ended:
        assert not ended()
        signal.raise_signal(signal.SIGTERM)
        assert ended()


def test_a_deferred_signal_is_raised_afterwards() -> None:
    before = {number: signal.getsignal(number) for number in signals.ENDING}
    try:
        with pytest.raises(signals.Ended) as stop:
            received()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert stop.value.status == 143


@pytest.mark.parametrize("verb", [["--help"], ["models"], ["inspect", "--help"], ["check-env"]], ids=str)
@pytest.mark.parametrize("both", [False, True], ids=["stdout", "stdout and stderr"])
def test_a_reader_that_has_gone_ends_a_verb_quietly(verb: list[str], both: bool) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [*COMMAND, *verb], stdout=write, stderr=write if both else subprocess.PIPE, text=True
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr or "") == (141, "")


def test_an_error_without_a_reader_ends_quietly() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        assert subprocess.run([*COMMAND, "nonsense"], stderr=write, stdout=write).returncode == 141
    finally:
        os.close(write)


@pytest.mark.parametrize("streams", [">&-", "2>&-", ">&- 2>&-", "2>/dev/full", "<&-"])
def test_streams_that_are_closed_or_full_change_no_status(streams: str) -> None:
    for verb, status in (("models", 0), ("nonsense", 2)):
        done = subprocess.run(
            ["bash", "-c", f'"$@" {streams}', "_", *COMMAND, verb], capture_output=True, text=True
        )
        assert done.returncode == status
        assert "Traceback" not in done.stderr
        assert "nonsense" not in done.stdout
