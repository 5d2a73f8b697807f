"""`LineFiles`: text files of a sink that grow record by record, in segments if requested."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from trt_mogface.video.sinks.files import AppendFile
from trt_mogface.video.sinks.ledger import Ledger


@dataclass(frozen=True)
class Rotation:
    """Times by which a sink ends its files and deletes old ones.

    Attributes:
        segment: Seconds of capture time in a file, or None for one file.  Segments begin at multiples of it
            since 1970.
        keep: Age in seconds at which a file is deleted, or None.
    """

    segment: float | None = None
    keep: float | None = None

    def begin(self, captured: float) -> float | None:
        """Return the begin of the segment that a moment belongs to, or None if there is one file."""
        return None if self.segment is None else captured // self.segment * self.segment

    def expire(self, ledger: Ledger, in_use: frozenset[str]) -> None:
        """Delete the files that are too old."""
        if self.keep is not None:
            ledger.expire(time.time() - self.keep, in_use)


def stamp(moment: float) -> str:
    """Return a moment in UTC as a part of a file name.

    >>> stamp(0.0)
    '19700101T000000Z'
    """
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y%m%dT%H%M%SZ")


class LineFiles:
    """Files that grow record by record, each by its name: one, or one for each source.

    Args:
        sink: Name of the sink, for messages.
        folder: Folder of the files, created if it is missing.
        kind: Name of the ledger, or None to write one file without a ledger.
        suffix: Suffix of the files.
        head: First line of each file.
        rotation: See `Rotation`.
        resume: Whether files may have records of an earlier run.
    """

    def __init__(
        self,
        sink: str,
        folder: Path,
        kind: str | None,
        suffix: str,
        head: bytes = b"",
        rotation: Rotation | None = None,
        *,
        resume: bool = False,
    ) -> None:
        self._sink, self._folder, self._suffix, self._head = sink, folder, suffix, head
        self._rotation, self._resume = rotation or Rotation(), resume
        self._open: dict[str, _Open] = {}
        self._ledger = None if kind is None else Ledger(folder, kind, sink, resume=resume)

    def open(self, stem: str, begin: float | None = None) -> AppendFile:
        """Return the file of a name for a segment, opened; the one of an earlier segment is closed."""
        found = self._open.get(stem)
        if found is not None:
            if begin is None or found.begin is None or begin <= found.begin:
                return found.file  # a late record stays in the current segment
            self.finish(stem)
        name = f"{stem}{'' if begin is None else f'-{stamp(begin)}'}{self._suffix}"
        known = self._resume if self._ledger is None else name in self._ledger
        if self._ledger is not None and not known:
            self._ledger.add(name)
        opened = self._opened(stem, name, begin, resume=known)
        if opened.file.size < len(self._head):
            opened.file.write(self._head[opened.file.size :])
        self.expire()
        return opened.file

    def write(self, stem: str, captured: float, data: bytes) -> None:
        """Append records to the file of a name."""
        self.open(stem, self._rotation.begin(captured)).write(data)

    def finish(self, stem: str) -> None:
        """Flush and close the file of a name."""
        done = self._open.pop(stem, None)
        if done is not None:
            done.file.sync()
            done.file.close()

    def flush(self) -> None:
        """Make all files durable."""
        for each in self._open.values():
            each.file.sync()
        if self._ledger is not None:
            self._ledger.sync()
        self.expire()

    def expire(self) -> None:
        """Delete the files that are too old."""
        if self._ledger is not None:
            self._rotation.expire(self._ledger, frozenset(each.name for each in self._open.values()))

    def position(self) -> Any:
        """Return the number of files and the sizes of the open ones."""
        sizes = {stem: [each.name, each.begin, each.file.size] for stem, each in self._open.items()}
        return {"files": self._ledger.next if self._ledger else None, "open": sizes}

    def cut(self, position: Any) -> None:
        """Remove everything behind a position."""
        if self._ledger is not None:
            self._ledger.cut(position["files"])
        for stem, (name, begin, size) in position["open"].items():
            file = (
                self._open[stem].file
                if stem in self._open
                else self._opened(stem, name, begin, resume=True).file
            )
            file.cut(size)

    def close(self) -> None:
        """Flush and close all files."""
        try:
            if self._open:
                self.flush()
        finally:
            for each in self._open.values():
                each.file.close()
            self._open.clear()
            if self._ledger is not None:
                self._ledger.close()

    def _opened(self, stem: str, name: str, begin: float | None, *, resume: bool) -> _Open:
        file = AppendFile(self._folder / name, self._sink, self._head, resume=resume)
        self._open[stem] = _Open(name, begin, file)
        return self._open[stem]


@dataclass(frozen=True)
class _Open:
    name: str
    begin: float | None
    file: AppendFile


class LineSink:
    """Base of the sinks whose records are lines: a flush makes all of them durable.

    Args:
        name: Specification of the sink, for messages.
        files: Files of the lines.
    """

    needs_pictures = False

    def __init__(self, name: str, files: LineFiles) -> None:
        self.name, self._files = name, files

    def flush(self) -> None:
        """Make all lines durable."""
        self._files.flush()

    def pending(self) -> dict[str, int]:
        """Return nothing: a flush leaves nothing behind."""
        return {}

    def position(self) -> Any:
        """Return the ends of the lines that are durable."""
        return self._files.position()

    def cut(self, position: Any) -> None:
        """Remove everything behind a position."""
        self._files.cut(position)

    def close(self) -> None:
        """Flush and close."""
        self._files.close()


class OneFileSink(LineSink):
    """Base of the sinks that write one file for all sources, or its segments.

    Args:
        name: Specification of the sink, for messages.
        target: File; segments have the begin of each before its suffix.
        head: First line of each file.
        rotation: See `Rotation`.
        resume: Whether the file may have records of an earlier run.

    Raises:
        OutputError: If the file cannot be written, is in use, or has records that are not to be continued.
    """

    def __init__(
        self, name: str, target: str, head: bytes, rotation: Rotation | None, *, resume: bool
    ) -> None:
        path, rotation = Path(target), rotation or Rotation()
        kind = None if rotation.segment is None else path.name
        self._stem = path.stem
        super().__init__(name, LineFiles(name, path.parent, kind, path.suffix, head, rotation, resume=resume))
        if kind is None:
            self._files.open(self._stem)

    def append(self, captured: float, lines: bytes) -> None:
        """Append lines to the file of a capture time."""
        self._files.write(self._stem, captured, lines)
