"""`Sink`: what every sink does, so that several can be written at once and resumed after a crash."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from trt_mogface.video.items import Item


@runtime_checkable
class Sink(Protocol):
    """A place for records, videos or metrics.

    A sink is called by one thread.  After `flush` everything written before survives a crash of the machine,
    but what `pending` counts.
    """

    @property
    def name(self) -> str:
        """Specification of the sink, such as ``jsonl:out.jsonl``, for messages."""
        ...

    @property
    def needs_pictures(self) -> bool:
        """Whether it uses pictures and sound; to other sinks items come without them."""
        ...

    def write(self, item: Item) -> None:
        """Add an item.

        Raises:
            OutputError: If it cannot be written.
        """
        ...

    def flush(self) -> None:
        """Make everything written so far durable.

        Raises:
            OutputError: If it cannot be written.
        """
        ...

    def pending(self) -> dict[str, int]:
        """Return the number of the last items of each source that the last `flush` did not make durable.

        They are those that the sink has to hold: frames within an encoder, or rows of an unfinished part.  A
        resumed run writes them again.  A source without such items may be missing.
        """
        ...

    def position(self) -> Any:
        """Return plain JSON values from which `cut` finds the end of what the last `flush` made durable."""
        ...

    def cut(self, position: Any) -> None:
        """Remove everything behind a position of an earlier run; called before the first `write`.

        Raises:
            OutputError: If what lies there is not what the position says.
        """
        ...

    def close(self) -> None:
        """Finish and flush; closing twice is harmless."""
        ...
