"""`Results`: detections of a sequence of images, in order, with few of them in flight."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast

from trt_mogface.detections import Detections
from trt_mogface.errors import MogFaceError, RunnerError
from trt_mogface.frame import ImageOrFrame

R_co = TypeVar("R_co", covariant=True)

Frames: TypeAlias = Iterable[ImageOrFrame] | AsyncIterable[ImageOrFrame]
Submit: TypeAlias = Callable[[ImageOrFrame], "Future[Detections]"]


OnError: TypeAlias = Literal["raise", "yield"]


class Results(Generic[R_co]):
    """Result of `Runner.map`, to be iterated once with ``for`` or ``async for``.

    If the source fails, the detections of the images before come first.  If the loop ends early, waiting
    images are cancelled.

    Args:
        frames, submit: Source of images, and function that queues one.
        window: Largest number of images that are taken ahead of their detections.
        on_error: Whether an image that fails raises at its place, or yields its exception there.
    """

    def __init__(self, frames: Frames, submit: Submit, window: int, on_error: OnError = "raise") -> None:
        self._frames, self._submit, self._window, self._on_error = frames, submit, window, on_error

    def __iter__(self) -> Iterator[R_co]:
        if not isinstance(self._frames, Iterable):
            raise TypeError("the source is async; iterate with `async for`")
        pending: deque[Future[Detections]] = deque()
        source, failure = iter(self._frames), None
        try:
            while True:
                try:
                    pending.append(self._submit(next(source)))
                except StopIteration:
                    break
                except Exception as error:  # noqa: BLE001 -- of the source or the runner
                    failure = error
                    break
                while self._is_due(pending):
                    yield self._result(pending.popleft())
            while pending:
                yield self._result(pending.popleft())
            if failure is not None:
                raise failure
        finally:
            _cancel(pending)

    async def __aiter__(self) -> AsyncIterator[R_co]:
        import asyncio  # half the time of importing this package

        pending: deque[Future[Detections]] = deque()
        frames = self._frames if isinstance(self._frames, AsyncIterable) else _each(self._frames)
        source, failure, over = aiter(frames), None, threading.Event()

        def submit(frame: ImageOrFrame) -> None:
            pending.append(self._submit(frame))
            if over.is_set():  # the loop ended while this waited for space
                _cancel(pending)

        try:
            while True:
                try:
                    frame = await source.__anext__()
                    # Submission waits while the queue is full; the event loop must not.
                    await asyncio.to_thread(submit, frame)
                except StopAsyncIteration:
                    break
                except Exception as error:  # noqa: BLE001 -- see above
                    failure = error
                    break
                while self._is_due(pending):
                    yield self._result(await _arrived(pending))
            while pending:
                yield self._result(await _arrived(pending))
            if failure is not None:
                raise failure
        finally:
            over.set()
            _cancel(pending)

    def _result(self, future: Future[Detections]) -> R_co:
        result: Any
        try:
            result = future.result()
        except CancelledError as error:
            raise RunnerError("the runner was closed while this image waited; open a new one") from error
        except MogFaceError as error:
            # What breaks the runner is not about this image.
            if self._on_error == "raise" or isinstance(error, RunnerError) or error.is_fatal:
                raise
            result = error
        return cast("R_co", result)

    def _is_due(self, pending: deque[Future[Detections]]) -> bool:
        return bool(pending) and (len(pending) >= self._window or pending[0].done())


async def _arrived(pending: deque[Future[Detections]]) -> Future[Detections]:
    """Wait for the first future, which stays in `pending` meanwhile, to be cancelled with the others."""
    import asyncio

    # Awaiting the future itself would mix up its cancellation with that of this task.
    await asyncio.wait([asyncio.wrap_future(pending[0])])
    return pending.popleft()


async def _each(frames: Iterable[ImageOrFrame]) -> AsyncIterator[ImageOrFrame]:
    import asyncio

    end: Any = object()
    source = iter(frames)
    while (frame := await asyncio.to_thread(next, source, end)) is not end:  # may wait for a camera
        yield frame


def _cancel(pending: Iterable[Future[Detections]]) -> None:
    for future in list(pending):  # another thread may append
        future.cancel()
