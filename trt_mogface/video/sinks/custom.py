"""`CustomSink`: an object of the caller as a sink."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from trt_mogface.errors import ArgumentError, MogFaceError, OutputError, first_line
from trt_mogface.video.items import Item


class Writable(Protocol):
    """An object with `write`, `flush` and `close`; see `Sink` for what else it may have."""

    def write(self, item: Item) -> object:
        """Add an item."""
        ...

    def flush(self) -> object:
        """Make everything durable."""
        ...

    def close(self) -> object:
        """Finish."""
        ...


class CustomSink:
    """An object of the caller with ``write(item)``, ``flush()`` and ``close()``.

    A resumed run needs ``position()`` and ``cut(position)`` too; ``name`` and ``pending()`` are optional.

    Args:
        target: The object.

    Raises:
        ArgumentError: If it lacks a method.
    """

    needs_pictures = True

    def __init__(self, target: Writable) -> None:
        self._target, self.name = target, str(getattr(target, "name", type(target).__name__))
        for method in ("write", "flush", "close"):
            if not callable(getattr(target, method, None)):
                raise ArgumentError("sinks", f"must have a method {method}", self.name)

    def write(self, item: Item) -> None:
        """Hand an item on.

        Raises:
            OutputError: If the object raises an exception.
        """
        self._call(self._target.write, item)

    def flush(self) -> None:
        """Flush the object."""
        self._call(self._target.flush)

    def pending(self) -> dict[str, int]:
        """Return the object's answer, or nothing."""
        pending: dict[str, int] = self._call(getattr(self._target, "pending", dict))
        return pending

    def position(self) -> Any:
        """Return the object's answer, or nothing."""
        return self._call(getattr(self._target, "position", lambda: None))

    def cut(self, position: Any) -> None:
        """Cut the object.

        Raises:
            OutputError: If it has no such method.
        """
        cut = getattr(self._target, "cut", None)
        if cut is None:
            raise OutputError(
                f"{self.name}: cannot be resumed without the methods position and cut; add them"
            )
        self._call(cut, position)

    def close(self) -> None:
        """Close the object."""
        self._call(self._target.close)

    def _call(self, method: Callable[..., Any], *arguments: object) -> Any:
        try:
            return method(*arguments)
        except (MogFaceError, BrokenPipeError):
            raise
        except Exception as error:
            problem = f"failed ({type(error).__name__}: {first_line(error)})"
            raise OutputError(f"{self.name}: {problem}; see the cause of this exception") from error
