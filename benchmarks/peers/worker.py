"""A peer's process: it opens the peer, then takes its turns when told to."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Literal, NamedTuple

from benchmarks.peers.peer import Opened, Peer, SkippedError, Task
from trt_mogface.errors import MissingExtraError, first_line

PR_SET_PDEATHSIG = 1
"""Of Linux's <sys/prctl.h>."""

Kind = Literal["ready", "turn", "skipped", "failed"]


class Answer(NamedTuple):
    """What a peer's process says.

    Attributes:
        kind: What it is about.
        value: Of ``ready`` what it does, its faces and its note; of a ``turn`` a `Round`; else why.
    """

    kind: Kind
    value: Any


def work(connection: Connection, peer: Peer, task: Task) -> None:
    """Answer once it is open, then after each turn; a number is the seconds of a turn, None the end."""
    os.setpgid(0, 0)  # its own processes end with it, and Ctrl-C is the parent's
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    _be_quiet()
    opened: list[Opened] = []

    def ready() -> Answer:
        opened.append(peer.open(task))
        return Answer("ready", (opened[0].does, opened[0].faces, opened[0].note))

    try:
        answer = _told(ready)
        connection.send(answer)
        while answer.kind in ("ready", "turn") and (seconds := connection.recv()) is not None:
            answer = _told(lambda given=seconds: Answer("turn", opened[0].turn(given)))  # type: ignore[misc]
            connection.send(answer)
    except (EOFError, OSError):  # the parent has gone
        return


def _told(act: Callable[[], Answer]) -> Answer:
    try:
        return act()
    except (SkippedError, MissingExtraError, ImportError) as reason:
        return Answer("skipped", _one_line(reason))
    except Exception as error:  # noqa: BLE001 -- whatever a peer raises is its row
        return Answer("failed", f"{type(error).__name__}: {_one_line(error)}")


def _one_line(error: Exception) -> str:
    return " ".join(first_line(error).split())


def _die_with_parent() -> None:
    """Even of a parent that was killed, and even in the middle of a run that never ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _be_quiet() -> None:
    """What a peer prints would stand between the lines of the report."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
