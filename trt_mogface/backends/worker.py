"""`Worker`: a thread that runs one call after another."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Generic, NamedTuple, TypeVar

from trt_mogface.errors import RunnerError

T = TypeVar("T")


class Call(NamedTuple, Generic[T]):
    """A call, and the future of its result."""

    run: Callable[[], T]
    future: Future[T]


class Worker(Generic[T]):
    """A thread that runs one call after another.

    It ends when it is closed or no longer referenced, and before Python exits: a thread inside ONNX Runtime
    at that moment would crash the process.  `concurrent.futures.ThreadPoolExecutor` would refuse calls once
    the main thread has ended, while other threads still work.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[Call[T] | None] = SimpleQueue()
        thread = threading.Thread(target=_serve, args=(self._calls,), name="trt-mogface-slot", daemon=True)
        thread.start()
        self._end = weakref.finalize(self, _end, self._calls, thread)

    def submit(self, run: Callable[[], T]) -> Future[T]:
        """Queue a call and return the future of its result.

        Raises:
            RunnerError: If the worker has ended, or Python exits.
        """
        if not self._end.alive:
            raise RunnerError("the slot is closed; open a new one")
        call = Call(run, Future())
        self._calls.put(call)
        return call.future

    def close(self) -> None:
        """Finish the queued calls; closing twice is harmless."""
        self._end()


def _serve(calls: SimpleQueue[Call[T] | None]) -> None:
    while (call := calls.get()) is not None:
        try:
            call.future.set_result(call.run())
        except Exception as error:  # noqa: BLE001 -- it goes to the future
            call.future.set_exception(error)
        del call  # or its owner would live until the next one


def _end(calls: SimpleQueue[Call[T] | None], thread: threading.Thread) -> None:
    calls.put(None)
    if thread is not threading.current_thread():  # which the last reference may have been left to
        thread.join()
