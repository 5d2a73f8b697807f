"""Signals that end the command line, raised as exceptions: what was begun is completed or removed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Handler = Callable[[int, object], None]

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(KeyboardInterrupt):
    """A signal that ends the command.

    Args:
        number: Number of the signal.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(number)

    @property
    def status(self) -> int:
        """Exit status by the convention of shells."""
        return 128 + self.number

    def __str__(self) -> str:
        name = signal.Signals(self.number).name
        return "interrupted" if self.number == signal.SIGINT else f"ended by {name}"


@contextmanager
def raised() -> Iterator[None]:
    """Return a context in which the first signal raises `Ended` and later ones have no effect.

    So nothing disturbs the cleanup, up to the end of the process.
    """
    ended = False

    def end(number: int, _: object) -> None:
        nonlocal ended
        if not ended:
            ended = True
            raise Ended(number)

    before = _handle(end)
    try:
        yield
    finally:
        if not ended:  # else later ones stay without effect
            _restore(before)


@contextmanager
def stopping(stop: Callable[[], object]) -> Iterator[None]:
    """Return a context whose first signal calls `stop` and is raised at the end, and a second one at once.

    `stop` runs in a thread of its own, so that it may take locks that the main thread holds.
    """
    received: list[int] = []

    def handle(number: int, _: object) -> None:
        received.append(number)
        if len(received) == 1:
            threading.Thread(target=stop, name="stop", daemon=True).start()
        else:
            _restore(before)
            signal.raise_signal(received[0])

    before = _handle(handle)
    try:
        yield
    finally:
        _restore(before)
        if received:
            signal.raise_signal(received[0])  # to the handler that has been waiting


@contextmanager
def deferred() -> Iterator[Callable[[], bool]]:
    """Return a context for code that no exception may pass through; a signal is raised at its end.

    The function that it yields returns whether there was one.
    """
    received: list[int] = []
    before = _handle(lambda number, _: received.append(number))
    try:
        yield lambda: bool(received)
    finally:
        _restore(before)
        if received:
            signal.raise_signal(received[0])  # to the handler that has been waiting


def _handle(handler: Handler) -> dict[signal.Signals, Any]:
    """Handle all of `ENDING` but those that our parent ignores (nohup); return the handlers before."""
    before = {each: signal.getsignal(each) for each in ENDING}
    for each, old in before.items():
        if old != signal.SIG_IGN:
            signal.signal(each, handler)
    return before


def _restore(handlers: dict[signal.Signals, Any]) -> None:
    for each, handler in handlers.items():
        signal.signal(each, handler)
