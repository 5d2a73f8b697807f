"""Records of images, written as they come: a JSON array or JSON Lines, valid whenever the program stops."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from trt_mogface._files import cannot_write, whole_file
from trt_mogface.cli.output import STDOUT
from trt_mogface.errors import OutputError

Record = Mapping[str, Any]
"""An image by the name that the user gave it, with its faces or the error: ``{"image": ..., ...}``."""


class Format(NamedTuple):
    """Text around records, each of which is one line."""

    head: str
    before_first: str
    before_next: str
    after_each: str
    tail: str


ARRAY = Format("[", "\n", ",\n", "", "\n]\n")
LINES = Format("", "", "", "\n", "")


class Writer(Protocol):
    """Destination of records."""

    def write(self, text: str) -> None:
        """Append a record; if that fails, those before it stay whole."""

    def close(self) -> None:
        """Complete the document."""


class RecordFile:
    """A plain file that is a whole document after each record, even if the process is killed.

    Args:
        path: File.
        form: Format.
        append: Whether to append to what `keep` has left, instead of replacing the file.

    Raises:
        OutputError: If the file cannot be opened or written.
    """

    def __init__(self, path: Path, form: Format, *, append: bool) -> None:
        self._path, self._form = path, form
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            size = os.fstat(self._file).st_size if append else 0
            self._end = max(size - len(form.tail), len(form.head))
            if not size:
                os.ftruncate(self._file, 0)
                self._put(form.head + form.tail, 0)
        except OSError as error:
            raise cannot_write(path, error) from error

    def write(self, text: str) -> None:
        """Append a record over the end of the document, and a new end, in one call of the system.

        Raises:
            OutputError: If the disk is full, or the file cannot be written.
        """
        form = self._form
        before = form.before_next if self._end > len(form.head) else form.before_first
        added = before + text + form.after_each
        try:
            self._put(added + form.tail, self._end)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, self._end)
                self._put(form.tail, self._end)
            raise cannot_write(self._path, error) from error
        self._end += len(added)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _put(self, text: str, at: int) -> None:
        data = text.encode("ascii")  # JSON of this program escapes the rest
        while data:
            count = os.pwrite(self._file, data, at)
            data, at = data[count:], at + count


class RecordStream:
    """Standard output, or a file that has no positions, such as a pipe.

    Raises:
        OutputError: If a file cannot be written; the errors of standard output are those of the system.
    """

    def __init__(self, path: Path, file: IO[str], form: Format) -> None:
        self._path, self._file, self._form, self._before = path, file, form, form.before_first
        self._put(form.head)

    def write(self, text: str) -> None:
        """Write a record, for the reader to see at once."""
        self._put(self._before + text + self._form.after_each)
        self._before = self._form.before_next

    def close(self) -> None:
        """Complete the document."""
        self._put(self._form.tail)

    def _put(self, text: str) -> None:
        try:
            self._file.write(text)
            self._file.flush()
        except OSError as error:
            if self._path == STDOUT or isinstance(error, BrokenPipeError):
                raise
            raise cannot_write(self._path, error) from error


@contextmanager
def opened(
    targets: Sequence[tuple[Path | None, Format]], *, append: bool = False
) -> Iterator[Sequence[Writer]]:
    """Open a writer for each destination, and complete its document at the end, even of a failure.

    Args:
        targets: Files to replace, or `STDOUT`, with their formats; None is left out.
        append: Whether files go on; see `keep`.
    """
    with ExitStack() as stack:
        writers: list[Writer] = []
        for path, form in targets:
            if path is None:
                continue
            if path == STDOUT:
                writers.append(RecordStream(path, sys.stdout, form))
            elif path.exists() and not path.is_file():
                # Unbuffered: there is no second error when it is closed.
                raw = stack.enter_context(open(path, "wb", buffering=0))
                writers.append(RecordStream(path, TextIOWrapper(raw, "ascii", write_through=True), form))
            else:
                writers.append(RecordFile(path, form, append=append))
            stack.callback(writers[-1].close)
        yield writers


def write_all(writers: Sequence[Writer], record: Record) -> None:
    """Write a record to all destinations."""
    text = json.dumps(record) if writers else ""
    for writer in writers:
        writer.write(text)


def recorded(path: Path) -> set[str]:
    """Return the names of the images whose faces a file has, of either format; none if there is no file.

    Raises:
        OutputError: If it is another file.
    """
    return {str(record["image"]) for record, _ in _read(path) if "error" not in record}


def keep(path: Path, form: Format, names: set[str]) -> None:
    """Reduce a file to the records of some images, one each, to be continued by `RecordFile`.

    Raises:
        OutputError: If it is another file, or cannot be written.
    """
    if not path.exists():
        return
    left = set(names)
    with whole_file(path) as temporary, opened([(temporary, form)]) as (writer,):
        for record, line in _read(path):
            if record["image"] in left and "error" not in record:
                left.remove(record["image"])
                writer.write(line)


def _read(path: Path) -> Iterator[tuple[Record, str]]:
    """Yield each record and its line; a line that was cut off by a crash ends the file."""
    if not path.exists():
        return
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            text = line.strip().removesuffix(b",")
            if text in (b"", b"[", b"]"):
                continue
            try:
                record = json.loads(text)
                if not isinstance(record["image"], str) or not {"faces", "error"} & set(record):
                    raise ValueError("not a record")
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                if text.startswith(b'{"image": ') and not line.endswith(b"\n"):
                    return
                problem = f"line {number} is not a record of `detect`"
                raise OutputError(f"{path}: {problem}; choose another file, or omit --resume") from error
            yield record, text.decode("ascii", "backslashreplace")
