"""Contest: peers and the model under test on the same images, each in a process of its own, in turns.

Turns alternate, so that a change of clock or other programs affect all; a ratio compares turns of one round.
An exception, a crash or a hang of a peer is the result of that peer and does not affect the others.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Literal

from benchmarks.peers.peer import Does, Peer, Round, Task
from benchmarks.peers.worker import Answer, work

ROUNDS = 20
LIMIT = 300.0
"""Time limit in seconds for opening a peer, and for a turn beyond its length."""

FAREWELL = 5.0
"""Time limit in seconds for a peer to end by itself."""

Status = Literal["measured", "skipped", "failed"]


@dataclass(frozen=True)
class Standing:
    """Result of a peer.

    Attributes:
        peer: Name of the peer.
        status: Whether there are figures.
        why: Reason why there are none.
        does, faces, note: See `benchmarks.peers.peer.Opened`.
        runs: Number of runs in all rounds.
        images_per_s, min_per_s, max_per_s: Median, minimum and maximum over the rounds.
        median_ms, p99_ms: Latency of a run: median of the rounds' medians, and of their 99th percentiles,
            which mean little with few runs.
        ratio: Our images per second over the peer's, median over the rounds; above 1 ours is faster.
            Compared with the first of ours that does the same work.
    """

    peer: str
    status: Status
    why: str = ""
    does: Does | None = None
    faces: int | None = None
    note: str = ""
    runs: int | None = None
    images_per_s: float | None = None
    min_per_s: float | None = None
    max_per_s: float | None = None
    median_ms: float | None = None
    p99_ms: float | None = None
    ratio: float | None = None


class PeerError(Exception):
    """A peer that is out; the message is the reason."""

    def __init__(self, status: Status, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


class Contestant:
    """Process of a peer; `limit` is in seconds, see `LIMIT`."""

    def __init__(self, peer: Peer, task: Task, limit: float = LIMIT) -> None:
        self.peer, self._limit = peer, limit
        context = multiprocessing.get_context("spawn")  # CUDA and threads do not survive a fork
        self._connection: Connection
        self._connection, other = context.Pipe()
        self._process = context.Process(target=work, args=(other, peer, task), daemon=True)
        self._process.start()
        other.close()  # else the end of the process would go unnoticed
        self.rounds: list[Round] = []
        self.out: PeerError | None = None
        self.opened: tuple[Does, int | None, str] | None = None

    def open(self) -> None:
        """Wait until the peer is ready, or `out`."""
        self.opened = self._answer(self._limit)

    def turn(self, seconds: float) -> None:
        """Let the peer take a turn; adds to `rounds`, unless it is `out`."""
        if self.out is None:
            with suppress(OSError):  # an ended process is handled below
                self._connection.send(seconds)
            answer = self._answer(seconds + self._limit)
            if answer is not None:
                self.rounds.append(answer)

    def close(self) -> None:
        """End the process: request it, then kill it with all processes that it started."""
        with suppress(OSError, EOFError):
            self._connection.send(None)
            if self.out is None and self._connection.poll(FAREWELL):
                self._connection.recv()
        self._kill()
        self._connection.close()

    def _answer(self, limit: float) -> Any:
        """Return the value of the next answer; None if the peer is out now."""
        try:
            if not self._connection.poll(limit):
                self._kill()
                raise PeerError("failed", f"no answer within {limit:g} s")
            answer: Answer = self._connection.recv()
            if answer.kind in ("skipped", "failed"):
                raise PeerError("skipped" if answer.kind == "skipped" else "failed", answer.value)
            return answer.value
        except (EOFError, OSError):
            self._process.join(FAREWELL)
            self.out = PeerError("failed", _ended(self._process.exitcode))
        except PeerError as reason:
            self.out = reason
        return None

    def _kill(self) -> None:
        pid = self._process.pid
        if pid is not None:
            try:
                os.killpg(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):  # ended, or not yet the leader of its group
                self._process.kill()
        self._process.join(FAREWELL)


def contest(
    ours: Sequence[Peer],
    others: Sequence[Peer],
    task: Task,
    duration: float,
    *,
    limit: float = LIMIT,
    on_status: Callable[[str], None] = lambda _: None,
) -> list[Standing]:
    """Run a contest and return a result for each, in order.

    Args:
        ours: Model under test; each peer is compared with the first of ours that does the same work.
        others: Peers.
        task: Task of all.
        duration: Seconds of each peer, in `ROUNDS` turns of at least one run.
        limit: Time limit in seconds, see `LIMIT`.
        on_status: Called with each step.
    """
    running: list[Contestant] = []
    with ExitStack() as ending:
        for peer in (*ours, *others):
            on_status(f"opening {peer.name}")
            running.append(Contestant(peer, task, limit))
            ending.callback(running[-1].close)
            running[-1].open()
        for number in range(ROUNDS):
            for each in running:
                on_status(f"round {number + 1} of {ROUNDS}: {each.peer.name}")
                each.turn(duration / ROUNDS)
    references = [each for each in running[: len(ours)] if each.out is None]
    return [_standing(each, references) for each in running]


def _standing(each: Contestant, references: Sequence[Contestant]) -> Standing:
    name = each.peer.name
    if each.out is not None or each.opened is None:
        reason = each.out or PeerError("failed", "no answer")
        return Standing(name, reason.status, reason.why)
    does, faces, note = each.opened
    speeds = [turn.images_per_s for turn in each.rounds]
    reference = next((one for one in references if one.opened and one.opened[0] == does), None)
    return Standing(
        name,
        "measured",
        does=does,
        faces=faces,
        note=note,
        runs=sum(turn.runs for turn in each.rounds),
        images_per_s=statistics.median(speeds),
        min_per_s=min(speeds),
        max_per_s=max(speeds),
        median_ms=statistics.median(turn.latency.median for turn in each.rounds),
        p99_ms=statistics.median(turn.latency.p99 for turn in each.rounds),
        ratio=None if reference is None else statistics.median(map(_ratio, reference.rounds, each.rounds)),
    )


def _ratio(ours: Round, theirs: Round) -> float:
    return ours.images_per_s / theirs.images_per_s


def _ended(status: int | None) -> str:
    if status is not None and status < 0:
        try:
            return f"process ended by {signal.Signals(-status).name}"
        except ValueError:
            return f"process ended by signal {-status}"
    return f"process ended with status {status}"
