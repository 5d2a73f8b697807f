"""Peers in processes of their own: a failure of one does not affect the others."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers import contest as module
from benchmarks.peers.contest import Standing, contest
from benchmarks.peers.peer import NETWORK, Peer, Task
from tests.support.fake_peers import Breaking, Parent, Sleeper
from tests.support.specs import small_spec

OURS = Sleeper("ours")
SHORT = 0.1


@pytest.fixture
def task(tmp_path: Path) -> Task:
    (tmp_path / "pids").mkdir()
    image = np.zeros((8, 8, 3), np.uint8)
    selection = small_spec().thresholds
    return Task(
        tmp_path / "a.onnx", "small", False, [image] * 2, selection, 1, files={"pids": tmp_path / "pids"}
    )


def held(task: Task, *others: Peer, limit: float = 60.0) -> dict[str, Standing]:
    rows = contest([OURS], others, task, SHORT, limit=limit)
    assert [row.peer for row in rows] == [OURS.name, *(other.name for other in others)]
    return {row.peer: row for row in rows}


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def assert_all_ended(task: Task, *names: str) -> None:
    for name in names:
        pid = int((task.files["pids"] / name).read_text())
        deadline = time.monotonic() + 10.0
        while is_running(pid):
            assert time.monotonic() < deadline, f"{name} is still running"
            time.sleep(0.01)


def test_a_peer_that_takes_three_times_as_long_has_a_ratio_of_three(task: Task) -> None:
    rows = contest([Sleeper("ours", 0.02)], [Sleeper("slow", 0.06)], task, 1.0)
    ours, slow = rows
    assert ours.ratio == pytest.approx(1.0)
    assert slow.ratio == pytest.approx(3.0, rel=0.2)
    assert slow.images_per_s == pytest.approx(2 / 0.06, rel=0.2)
    assert slow.median_ms == pytest.approx(60.0, rel=0.2)
    assert (slow.status, slow.faces, slow.note) == ("measured", 3, "sleeps")
    assert slow.runs is not None
    assert slow.runs >= module.ROUNDS


def test_a_peer_is_compared_with_ours_that_does_the_same(task: Task) -> None:
    ours = [Sleeper("ours", 0.02), Sleeper("our network", 0.01, NETWORK)]
    rows = contest(ours, [Sleeper("network", 0.04, NETWORK)], task, 0.5)
    assert rows[2].ratio == pytest.approx(4.0, rel=0.25)


def test_each_failure_is_a_row_and_the_others_stand(task: Task) -> None:
    broken = [
        Breaking("raises", "raise"),
        Breaking("exits", "exit"),
        Breaking("crashes", "segfault"),
        Breaking("raises later", "raise", at_once=False),
        Breaking("crashes later", "segfault", at_once=False),
        Breaking("needs a package", "package"),
        Breaking("needs an extra", "extra"),
        Breaking("is another model", "skip"),
    ]
    rows = held(task, *broken, Sleeper("last"))
    assert rows["ours"].status == rows["last"].status == "measured"
    expected = {
        "raises": ("failed", "ValueError: it [b]does not[/b] work"),
        "exits": ("failed", "process ended with status 7"),
        "crashes": ("failed", "process ended by SIGSEGV"),
        "raises later": ("failed", "ValueError: it [b]does not[/b] work"),
        "crashes later": ("failed", "process ended by SIGSEGV"),
        "needs a package": ("skipped", "No module named 'a_package_that_nobody_has'"),
        "needs an extra": ("skipped", "pip install 'trt-mogface[bench]'"),
        "is another model": ("skipped", "it is another model"),
    }
    for name, (status, why) in expected.items():
        row = rows[name]
        assert (row.status, row.why) == (status, why)
        assert row.images_per_s is row.ratio is row.runs is row.median_ms is row.faces is None
    assert_all_ended(task, *rows)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_peer_that_hangs_runs_into_the_limit_and_is_killed(task: Task, at_once: bool) -> None:
    rows = held(task, Breaking("hangs", "hang", at_once=at_once), limit=8.0)
    assert rows["ours"].status == "measured"
    assert rows["hangs"].status == "failed"
    assert "no answer within 8" in rows["hangs"].why
    assert_all_ended(task, *rows)


def test_processes_of_a_peer_end_with_it(task: Task) -> None:
    held(task, Parent("parent"))
    assert_all_ended(task, "parent")


def test_an_interrupt_ends_all_processes(task: Task) -> None:
    def on_status(text: str) -> None:
        if text.startswith("round 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        contest(
            [OURS],
            [Sleeper("other"), Breaking("hangs", "hang", at_once=False)],
            task,
            SHORT,
            limit=3.0,
            on_status=on_status,
        )
    assert_all_ended(task, "ours", "other", "hangs")


KILLED = """
import sys
from pathlib import Path
import numpy as np
from tests.support.fake_peers import Breaking, Sleeper
from tests.support.specs import small_spec
from benchmarks.peers.contest import contest
from benchmarks.peers.peer import Task

if __name__ == "__main__":
    files = {"pids": Path(sys.argv[1])}
    image = np.zeros((8, 8, 3), np.uint8)
    task = Task(Path("a.onnx"), "small", False, [image], small_spec().thresholds, 1, files=files)
    contest([Sleeper("ours")], [Breaking("hangs", "hang", at_once=False)], task, 0.1)
"""


def test_a_parent_that_is_killed_takes_even_a_hanging_peer_along(task: Task, tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    parent = subprocess.Popen([sys.executable, script, task.files["pids"]], env=environment)
    deadline = time.monotonic() + 60.0
    while not (task.files["pids"] / "hangs").exists():
        assert parent.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)
    parent.kill()
    parent.wait()
    assert_all_ended(task, "ours", "hangs")


def test_without_ours_the_others_have_figures_and_no_ratio(task: Task) -> None:
    rows = contest([Breaking("ours", "raise")], [Sleeper("other")], task, SHORT)
    assert rows[0].status == "failed"
    assert rows[1].images_per_s is not None
    assert rows[1].ratio is None


def test_output_of_a_peer_is_not_printed(task: Task, capfd: pytest.CaptureFixture[str]) -> None:
    held(task, Breaking("prints", "raise"))
    assert capfd.readouterr().out == ""
