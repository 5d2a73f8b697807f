"""JSON Lines: every record in one line, in a file, in segments, or on standard output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trt_mogface.video.items import Item
from trt_mogface.video.records import encode
from trt_mogface.video.sinks.lines import LineFiles, Rotation

STDOUT = "-"


class JsonLinesSink:
    """A file of JSON Lines.

    Args:
        name: Specification of the sink, for messages.
        target: File; segments have the begin of each before its suffix.
        rotation: See `Rotation`.
        resume: Whether the file may have records of an earlier run.

    Raises:
        OutputError: If the file cannot be written, is in use, or has records that are not to be continued.
    """

    needs_pictures = False

    def __init__(
        self, name: str, target: str, *, rotation: Rotation | None = None, resume: bool = False
    ) -> None:
        path, rotation = Path(target), rotation or Rotation()
        kind = None if rotation.segment is None else path.name
        self.name, self._stem = name, path.stem
        self._files = LineFiles(name, path.parent, kind, path.suffix, b"", rotation, resume=resume)
        if kind is None:
            self._files.open(self._stem)

    def write(self, item: Item) -> None:
        """Append the records of an item."""
        self._files.write(self._stem, item.captured, encode(item))

    def flush(self) -> None:
        """Make all records durable."""
        self._files.flush()

    def pending(self) -> dict[str, int]:
        """Return nothing: a flush leaves nothing behind."""
        return {}

    def position(self) -> Any:
        """Return the end of the records that are durable."""
        return self._files.position()

    def cut(self, position: Any) -> None:
        """Remove everything behind a position."""
        self._files.cut(position)

    def close(self) -> None:
        """Flush and close."""
        self._files.close()


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
