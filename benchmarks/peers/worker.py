"""Process of a peer: opens the peer, then takes a turn on each request."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Literal, NamedTuple

from benchmarks.peers.peer import Peer, SkippedError, Task
from trt_mogface.errors import MissingExtraError, first_line

PR_SET_PDEATHSIG = 1
"""Constant of Linux's <sys/prctl.h>."""

Kind = Literal["ready", "turn", "skipped", "failed"]


class Answer(NamedTuple):
    """Answer of a peer's process.

    Attributes:
        kind: Kind of the answer.
        value: For ``ready`` the attributes of `Opened`, for ``turn`` a `Round`, else the reason.
    """

    kind: Kind
    value: Any


def work(connection: Connection, peer: Peer, task: Task) -> None:
    """Answer when the peer is open, then after each turn.  A request is the turn's seconds; None ends it."""
    os.setpgid(0, 0)  # the parent kills the group, and handles Ctrl-C
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    _be_quiet()
    with suppress(EOFError, OSError):  # the parent has ended
        for answer in _answers(connection, peer, task):
            connection.send(answer)


def _answers(connection: Connection, peer: Peer, task: Task) -> Iterator[Answer]:
    try:
        opened = peer.open(task)
        yield Answer("ready", (opened.does, opened.faces, opened.note))
        while (seconds := connection.recv()) is not None:
            yield Answer("turn", opened.turn(seconds))
    except (SkippedError, MissingExtraError, ImportError) as reason:
        yield Answer("skipped", _one_line(reason))
    except Exception as error:  # noqa: BLE001 -- any failure of a peer is its result
        yield Answer("failed", f"{type(error).__name__}: {_one_line(error)}")


def _one_line(error: Exception) -> str:
    return " ".join(first_line(error).split())


def _die_with_parent() -> None:
    """Die even if the parent is killed, and even during a run that never ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _be_quiet() -> None:
    """Discard what a peer prints, which would mix with the report."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
