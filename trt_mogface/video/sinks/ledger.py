"""`Ledger`: the files that a sink has written into a folder, and its lock against other runs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from trt_mogface._files import cannot_write
from trt_mogface.errors import OutputError
from trt_mogface.video.sinks.files import UNFINISHED, lock, make_folder, sync_folder, write_all

OBSOLETE = 1000
"""Names of deleted files after which the ledger is written anew."""


GONE = "gone"
"""Name for the last number if its file was deleted."""


class Ledger:
    """A list of the files of one sink in a folder, where other sinks and people have files too.

    A name is entered before its file is created, so that a killed run leaves no file that is not listed.
    Each line is a number and a name.  Numbers go on across runs; a position is the number of the next one.

    Args:
        folder: Folder, created if it is missing.
        kind: Name of the ledger in the folder.
        sink: Name of the sink, for messages.
        resume: Whether there may be files of an earlier run.
        content: Names of the files within folders that are entered, for their deletion.

    Raises:
        OutputError: If the folder cannot be written, is in use by another run, has files of an earlier run
            that is not resumed, or the ledger is damaged.
    """

    def __init__(
        self, folder: Path, kind: str, sink: str, *, resume: bool, content: re.Pattern[str] | None = None
    ) -> None:
        make_folder(folder)
        self.folder, self._sink, self._content = folder, sink, content
        self._path = folder / f".{kind}.ledger"
        self._files: list[int] = []
        try:
            self._file = self._open()
            self._names = dict(self._read())
        except OSError as error:
            raise cannot_write(self._path, error) from error
        self._known = set(self._names.values())
        self.next = 1 + max(self._names, default=-1)
        self._obsolete = 0
        if not resume and any(self._exists(name) for name in self._names.values()):
            self.close()
            raise OutputError(
                f"{sink}: has files of an earlier run; resume that run, or choose another folder"
            )

    def add(self, name: str, *, durable: bool = True) -> Path:
        """Enter a file that is about to be created, and return its path.

        Args:
            name: Path below the folder, with slashes; a folder ends in one.
            durable: Whether to wait until the disk has the entry.

        Raises:
            OutputError: If the ledger cannot be written.
        """
        line = _line(self.next, name)
        try:
            write_all(self._file, line)
            if durable:
                os.fsync(self._file)
        except OSError as error:
            raise cannot_write(self._path, error) from error
        self._names[self.next] = name
        self._known.add(name)
        self.next += 1
        return self.folder / name

    def sync(self) -> None:
        """Make all entries durable.

        Raises:
            OutputError: If the disk refuses.
        """
        try:
            os.fsync(self._file)
            sync_folder(self.folder)
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def cut(self, position: int) -> None:
        """Delete the files behind a position.

        Raises:
            OutputError: If a file cannot be deleted, or the ledger is shorter than the position.
        """
        if position > self.next:
            problem = f"lists {self.next} files, but {position} were written"
            raise OutputError(f"{self._path}: {problem}; restore the folder, or begin anew elsewhere")
        behind = [number for number in self._names if number >= position]
        if behind:
            self._delete(behind)
            self._rewrite()  # or a later run would take them for files that it may append to

    def expire(self, before: float, keep: frozenset[str] = frozenset()) -> None:
        """Delete the files whose last change is older than a moment, in seconds since 1970, except `keep`.

        Raises:
            OutputError: If a file cannot be deleted.
        """
        old = []
        for number, name in self._names.items():
            if name in keep:
                continue
            if self._changed(name) >= before:
                break  # later files are younger
            old.append(number)
        self._delete(old)

    def close(self) -> None:
        """Give the lock back; closing twice is harmless."""
        for file in self._files:
            os.close(file)
        self._files.clear()

    def _open(self) -> int:
        """Open and lock the ledger; another run may just have replaced it."""
        while True:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            self._files.append(file)
            try:
                lock(file, self._sink)
            except OutputError:
                self.close()
                raise
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file), self._path.stat()):
                    return file

    def _read(self) -> Iterator[tuple[int, str]]:
        lines = self._path.read_bytes().split(b"\n")
        if lines[-1]:  # cut off by a crash
            os.ftruncate(self._file, os.fstat(self._file).st_size - len(lines[-1]))
        try:
            yield from map(_entry, lines[:-1])
        except (ValueError, RecursionError) as error:
            self.close()
            problem = "is damaged; delete it if no other run is to be resumed, or choose another folder"
            raise OutputError(f"{self._path}: {problem}") from error

    def _delete(self, numbers: list[int]) -> None:
        for number in numbers:
            name = self._names.pop(number)
            self._known.discard(name)
            path = self.folder / name
            try:
                if name.endswith("/"):
                    self._empty(path)
                else:
                    path.unlink(missing_ok=True)
                    path.with_name(f".{path.name}{UNFINISHED}").unlink(missing_ok=True)
                self._remove_empty(path.parent)
            except OSError as error:
                raise cannot_write(path, error) from error
        self._obsolete += len(numbers)
        if self._obsolete >= OBSOLETE:
            self._rewrite()

    def _empty(self, folder: Path) -> None:
        if folder.is_dir() and self._content is not None:
            for file in list(folder.iterdir()):
                if self._content.fullmatch(file.name):
                    file.unlink()
            self._remove_empty(folder)

    def _remove_empty(self, folder: Path) -> None:
        """Remove a folder and those above it that have become empty, up to the sink's own."""
        while folder != self.folder and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent

    def _rewrite(self) -> None:
        """Write the ledger without the names of deleted files; the lock of the old file is kept."""
        unfinished = self._path.with_name(f"{self._path.name}{UNFINISHED}")
        try:
            file = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o666)
            self._files.append(file)
            lock(file, self._sink)
            kept = {
                **self._names,
                self.next - 1: self._names.get(self.next - 1, GONE),
            }  # numbers go on from it
            write_all(file, b"".join(_line(number, name) for number, name in kept.items()))
            os.fsync(file)
            unfinished.replace(self._path)
            sync_folder(self.folder)
        except OSError as error:
            raise cannot_write(self._path, error) from error
        self._file, self._obsolete = file, 0

    def _changed(self, name: str) -> float:
        """Return the time of the last change in seconds since 1970; 0 for a file that someone has deleted."""
        try:
            return (self.folder / name).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def _exists(self, name: str) -> bool:
        return (self.folder / name).exists()


def _line(number: int, name: str) -> bytes:
    return f"{number} {json.dumps(name)}\n".encode()


def _entry(line: bytes) -> tuple[int, str]:
    number, _, text = line.partition(b" ")
    name = json.loads(text)
    if not isinstance(name, str) or not _is_below(name):
        raise ValueError("not a path below the folder")
    return int(number), name


def _is_below(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name
