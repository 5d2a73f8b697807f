"""Faces of a sequence of pictures, in their order, with few of them in flight."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_mogface.detections import Detections
from trt_mogface.errors import RunnerError

Picture = NDArray[np.uint8]
Frames = Iterable[Picture] | AsyncIterable[Picture]
Submit = Callable[[Picture], "Future[Detections]"]


class Results:
    """What `Runner.map` returns: to be iterated once, with ``for`` or with ``async for``.

    At most ``window`` pictures are taken from the source before their faces are.  Where the source fails, the
    faces of the pictures before it come first.  Where the loop ends early, waiting pictures are cancelled.
    """

    def __init__(self, frames: Frames, submit: Submit, window: int) -> None:
        self._frames, self._submit, self._window = frames, submit, window

    def __iter__(self) -> Iterator[Detections]:
        if not isinstance(self._frames, Iterable):
            raise TypeError("pictures of an async source: iterate with `async for`")
        pending: deque[Future[Detections]] = deque()
        source, failure = iter(self._frames), None
        try:
            while True:
                try:
                    pending.append(self._submit(next(source)))
                except StopIteration:
                    break
                except Exception as error:  # noqa: BLE001 -- the source's, or a runner's that takes no more
                    failure = error
                    break
                while self._is_due(pending):
                    yield _faces(pending.popleft())
            while pending:
                yield _faces(pending.popleft())
            if failure is not None:
                raise failure
        finally:
            _cancel(pending)

    async def __aiter__(self) -> AsyncIterator[Detections]:
        import asyncio  # half of what importing this package would cost

        pending: deque[Future[Detections]] = deque()
        source, failure, over = _as_async(self._frames), None, threading.Event()

        def submit(frame: Picture) -> None:
            pending.append(self._submit(frame))
            if over.is_set():  # the loop was left while this waited for room
                _cancel(pending)

        try:
            while True:
                try:
                    frame = await source.__anext__()
                    # Submission waits where the line is full; the event loop must not.
                    await asyncio.to_thread(submit, frame)
                except StopAsyncIteration:
                    break
                except Exception as error:  # noqa: BLE001 -- see above
                    failure = error
                    break
                while self._is_due(pending):
                    yield await _arrived(pending)
            while pending:
                yield await _arrived(pending)
            if failure is not None:
                raise failure
        finally:
            over.set()
            _cancel(pending)

    def _is_due(self, pending: deque[Future[Detections]]) -> bool:
        return bool(pending) and (len(pending) >= self._window or pending[0].done())


def _faces(future: Future[Detections]) -> Detections:
    try:
        return future.result()
    except CancelledError as error:
        raise RunnerError("the runner was closed before this picture's turn came") from error


async def _arrived(pending: deque[Future[Detections]]) -> Detections:
    """The faces of the first; it stays in line while they are waited for, to be cancelled with the others."""
    import asyncio

    # Awaiting the future itself would not tell its being cancelled from ours.
    await asyncio.wait([asyncio.wrap_future(pending[0])])
    return _faces(pending.popleft())


def _as_async(frames: Frames) -> AsyncIterator[Picture]:
    return aiter(frames) if isinstance(frames, AsyncIterable) else _each(frames)


async def _each(frames: Iterable[Picture]) -> AsyncIterator[Picture]:
    import asyncio

    end: Any = object()
    source = iter(frames)
    while (frame := await asyncio.to_thread(next, source, end)) is not end:  # it may wait for a camera
        yield frame


def _cancel(pending: Iterable[Future[Detections]]) -> None:
    for future in list(pending):  # of a deque that another thread may append to
        future.cancel()
