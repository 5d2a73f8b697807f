"""JSON Lines: every record in one line, in a file, in segments, or on standard output."""

from __future__ import annotations

from typing import Any

from trt_mogface.video.items import Item
from trt_mogface.video.records import encode
from trt_mogface.video.sinks.lines import OneFileSink, Rotation

STDOUT = "-"


class JsonLinesSink(OneFileSink):
    """A file of JSON Lines.

    Args:
        name: Specification of the sink, for messages.
        target: File; segments have the begin of each before its suffix.
        rotation: See `Rotation`.
        resume: Whether the file may have records of an earlier run.

    Raises:
        OutputError: If the file cannot be written, is in use, or has records that are not to be continued.
    """

    def __init__(
        self, name: str, target: str, *, rotation: Rotation | None = None, resume: bool = False
    ) -> None:
        super().__init__(name, target, b"", rotation, resume=resume)

    def write(self, item: Item) -> None:
        """Append the records of an item."""
        self.append(item.captured, encode(item))


class StdoutSink:
    """JSON Lines on standard output, which a reader sees at once.

    Nothing can be cut there: a resumed run goes on behind what the checkpoint counts.

    Args:
        name: Specification of the sink, for messages.
    """

    needs_pictures = False

    def __init__(self, name: str) -> None:
        self.name = name

    def write(self, item: Item) -> None:
        """Print the records of an item.

        Raises:
            BrokenPipeError: If the reader has gone.
        """
        print(encode(item).decode(), end="", flush=True)

    def flush(self) -> None:
        """Do nothing: `write` has flushed."""

    def pending(self) -> dict[str, int]:
        """Return nothing."""
        return {}

    def position(self) -> Any:
        """Return nothing."""

    def cut(self, position: Any) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Leave standard output open."""
