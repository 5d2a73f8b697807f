"""Files of sinks: named after sources, written whole or appended to, and durable after a flush."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from trt_mogface._files import cannot_write
from trt_mogface.errors import OutputError

LONGEST = 150
"""Characters of a name; the rest of 255 bytes, which file systems allow, is for dates and suffixes."""

UNFINISHED = ".unfinished"
"""Suffix of a file that is being written, which no pattern of finished files matches."""


def file_name(source: str) -> str:
    """Return the name of a source as a file name without suffix; no other source has the same.

    >>> file_name("clips/a 1.mp4"), file_name(".hidden")
    ('clips%2Fa 1.mp4', '%2Ehidden')
    """
    name = quote(source, safe=" +,=@")
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    if len(name) > LONGEST:
        name = f"{name[: LONGEST - 17]}-{hashlib.sha256(source.encode()).hexdigest()[:16]}"
    return name


def lock(file: int, sink: str) -> None:
    """Keep other runs from a file until it is closed.

    Raises:
        OutputError: If another run has it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(f"{sink}: in use by another run; end that one, or choose another place") from error


def make_folder(folder: Path) -> None:
    """Create a folder and those above it, durably.

    Raises:
        OutputError: If it cannot be created.
    """
    missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for each in missing:
            sync_folder(each.parent)
    except OSError as error:
        raise cannot_write(folder, error) from error


def sync_file(path: Path) -> None:
    """Make the contents of a file durable; one that someone has deleted needs nothing.

    Raises:
        OutputError: If the disk refuses.
    """
    try:
        with open(path, "rb") as file:
            os.fsync(file.fileno())
    except FileNotFoundError:
        pass
    except OSError as error:
        raise cannot_write(path, error) from error


def sync_folder(folder: Path) -> None:
    """Make the names of the files in a folder durable."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def write_whole(path: Path, data: bytes, *, durable: bool) -> None:
    """Write a file whole or not at all; its name is durable after `sync_folder`.

    Args:
        path: File.
        data: Contents.
        durable: Whether to wait until the disk has the contents.

    Raises:
        OutputError: If it cannot be written.
    """
    unfinished = path.with_name(f".{path.name}{UNFINISHED}")
    try:
        with open(unfinished, "wb", buffering=0) as file:
            write_all(file.fileno(), data)
            if durable:
                os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink()
        raise cannot_write(path, error) from error


def write_all(file: int, data: bytes) -> None:
    """Write bytes to a file descriptor, in several calls if the system takes only a part."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


class AppendFile:
    """A file that grows by whole records, locked against other runs.

    Pipes and devices are written too; they have no size, and nothing to cut.

    Args:
        path: File, created if it is missing.
        sink: Name of the sink, for messages.
        head: Beginning of each file, which is not a record.
        resume: Whether the file may have records of an earlier run.

    Raises:
        OutputError: If it cannot be written, is in use, or has records that are not to be continued.
    """

    def __init__(self, path: Path, sink: str, head: bytes = b"", *, resume: bool) -> None:
        self.path, self.size, self._is_dirty = path, 0, False
        try:
            is_plain = not path.exists() or path.is_file()
            self._file = os.open(
                path, os.O_APPEND | os.O_CREAT | (os.O_RDWR if is_plain else os.O_WRONLY), 0o666
            )
        except FileNotFoundError as error:
            raise OutputError(f"{path}: cannot be written, no such folder; mkdir -p {path.parent}") from error
        except OSError as error:
            raise cannot_write(path, error) from error
        self._is_plain, self._has_name = stat.S_ISREG(os.fstat(self._file).st_mode), False
        if not self._is_plain:
            return
        try:
            lock(self._file, sink)
            self.size = os.fstat(self._file).st_size
            has_records = self.size > len(head) or os.pread(self._file, self.size, 0) != head[: self.size]
            if has_records and not resume:
                raise OutputError(
                    f"{path}: has records of an earlier run; resume that run, or choose another file"
                )
        except BaseException:
            os.close(self._file)
            raise

    def write(self, data: bytes) -> None:
        """Append a record, of which nothing stays if it does not fit.

        Raises:
            OutputError: If the disk is full, or the file cannot be written.
            BrokenPipeError: If it is a pipe whose reader has gone.
        """
        try:
            write_all(self._file, data)
        except BrokenPipeError:
            raise
        except OSError as error:
            if self._is_plain:
                with suppress(OSError):
                    os.ftruncate(self._file, self.size)
            raise cannot_write(self.path, error) from error
        self.size, self._is_dirty = self.size + len(data), True

    def sync(self) -> None:
        """Make contents and name durable.

        Raises:
            OutputError: If the disk refuses.
        """
        if not self._is_plain:
            return
        try:
            if self._is_dirty:
                os.fsync(self._file)
                self._is_dirty = False
            if not self._has_name:
                sync_folder(self.path.absolute().parent)
                self._has_name = True
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def cut(self, size: int) -> None:
        """Remove everything behind a size.

        Raises:
            OutputError: If the file is shorter, or cannot be written.
        """
        if not self._is_plain:
            return
        if self.size < size:
            problem = f"has {self.size} bytes, but {size} were written"
            raise OutputError(f"{self.path}: {problem}; restore the file, or begin anew elsewhere")
        try:
            os.ftruncate(self._file, size)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self.size, self._is_dirty = size, True

    def close(self) -> None:
        """Close the file without a sync; closing twice is harmless."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
