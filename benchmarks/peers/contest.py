"""Peers beside the model under test: the same pictures, each in a process of its own, turn by turn.

Turns alternate, so that a change of clock or a neighbor's work hits all; a ratio is that of turns of the
same round.
What a peer does to its process, from an exception to a crash, is its own row and nobody else's.
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
"""Seconds that a peer may take to open, and beyond its turn."""

FAREWELL = 5.0
"""Seconds that a peer may take to end by itself."""

Status = Literal["measured", "skipped", "failed"]


@dataclass(frozen=True)
class Standing:
    """A peer's row.

    Attributes:
        peer: Its name.
        status: Whether there are figures.
        why: Why there are none.
        does, faces, note: See `benchmarks.peers.peer.Opened`.
        runs: In all rounds.
        pictures_per_s: Median of the rounds; then their least and most.
        median_ms, p99_ms: Of a run: median of the rounds' medians, and of their 99th percentiles, which say
            little of few runs.
        ratio: Ours to its pictures a second, median of the rounds; above 1 ours is faster.  Ours is the first
            of ours that does the same.
    """

    peer: str
    status: Status
    why: str = ""
    does: Does | None = None
    faces: int | None = None
    note: str = ""
    runs: int | None = None
    pictures_per_s: float | None = None
    least_per_s: float | None = None
    most_per_s: float | None = None
    median_ms: float | None = None
    p99_ms: float | None = None
    ratio: float | None = None


class PeerError(Exception):
    """A peer that is out, and why."""

    def __init__(self, status: Status, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


class Contestant:
    """A peer's process, from its begin to its end.

    Args:
        peer, task: What it runs on what.
        limit: See `LIMIT`.
    """

    def __init__(self, peer: Peer, task: Task, limit: float = LIMIT) -> None:
        self.peer, self._limit = peer, limit
        context = multiprocessing.get_context("spawn")  # a fork has neither CUDA nor threads
        self._connection: Connection
        self._connection, other = context.Pipe()
        self._process = context.Process(target=work, args=(other, peer, task), daemon=True)
        self._process.start()
        other.close()  # or its end would not be noticed
        self.rounds: list[Round] = []
        self.out: PeerError | None = None
        self.opened: tuple[Does, int | None, str] | None = None

    def open(self) -> None:
        """Wait until it is ready; if it is not to be, `out` says so."""
        self.opened = self._answer(self._limit)

    def turn(self, seconds: float) -> None:
        """Its turn; what came out is added to `rounds`, or it is `out`."""
        if self.out is None:
            with suppress(OSError):  # its end is noticed below
                self._connection.send(seconds)
            answer = self._answer(seconds + self._limit)
            if answer is not None:
                self.rounds.append(answer)

    def close(self) -> None:
        """End it: asked first, then killed, with all processes that it began."""
        with suppress(OSError, EOFError):
            self._connection.send(None)
            if self.out is None and self._connection.poll(FAREWELL):
                self._connection.recv()
        self._kill()
        self._connection.close()

    def _answer(self, limit: float) -> Any:
        """The value of its next answer; None if it is out now."""
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
            except (ProcessLookupError, PermissionError):  # ended, or not yet the first of its group
                self._process.kill()
        self._process.join(FAREWELL)


def contest(
    ours: Sequence[Peer],
    others: Sequence[Peer],
    task: Task,
    duration: float,
    *,
    limit: float = LIMIT,
    told: Callable[[str], None] = lambda _: None,
) -> list[Standing]:
    """Let them all run.

    Args:
        ours: The model under test; the first that does the same as another is what that one is compared with.
        others: The rest.
        task: The same for all.
        duration: Seconds of each peer, in `ROUNDS` turns; a run that takes longer is made once a turn.
        limit: See `LIMIT`.
        told: What is being done.

    Returns:
        A row for each, in that order.
    """
    running: list[Contestant] = []
    with ExitStack() as ending:
        for peer in (*ours, *others):
            told(f"opening {peer.name}")
            running.append(Contestant(peer, task, limit))
            ending.callback(running[-1].close)
            running[-1].open()
        for number in range(ROUNDS):
            for each in running:
                told(f"round {number + 1} of {ROUNDS}: {each.peer.name}")
                each.turn(duration / ROUNDS)
    references = [each for each in running[: len(ours)] if each.out is None]
    return [_standing(each, references) for each in running]


def _standing(each: Contestant, references: Sequence[Contestant]) -> Standing:
    name = each.peer.name
    if each.out is not None or each.opened is None:
        reason = each.out or PeerError("failed", "no answer")
        return Standing(name, reason.status, reason.why)
    does, faces, note = each.opened
    speeds = [turn.pictures_per_s for turn in each.rounds]
    reference = next((one for one in references if one.opened and one.opened[0] == does), None)
    return Standing(
        name,
        "measured",
        does=does,
        faces=faces,
        note=note,
        runs=sum(turn.runs for turn in each.rounds),
        pictures_per_s=statistics.median(speeds),
        least_per_s=min(speeds),
        most_per_s=max(speeds),
        median_ms=statistics.median(turn.latency.median for turn in each.rounds),
        p99_ms=statistics.median(turn.latency.p99 for turn in each.rounds),
        ratio=None if reference is None else _ratio(reference.rounds, each.rounds),
    )


def _ratio(ours: Sequence[Round], theirs: Sequence[Round]) -> float:
    return statistics.median(one.pictures_per_s / other.pictures_per_s for one, other in zip(ours, theirs))


def _ended(status: int | None) -> str:
    if status is not None and status < 0:
        try:
            return f"its process was ended by {signal.Signals(-status).name}"
        except ValueError:
            return f"its process was ended by signal {-status}"
    return f"its process ended with status {status}"
