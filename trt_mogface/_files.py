"""Files: written whole or not at all, and identified by their digest."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trt_mogface.errors import OutputError

REMEDIES = {
    errno.ENOSPC: "free disk space, or choose another place",
    errno.EDQUOT: "free disk space, or choose another place",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f), or choose another place",
    errno.EACCES: "allow writing in the folder, or choose another place",
    errno.EROFS: "choose a place that can be written",
    errno.ENAMETOOLONG: "choose a shorter name",
}


@contextmanager
def whole_file(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path, which becomes ``path`` if the block ends without an exception.

    Args:
        path: File to write.
        durable: Whether to wait until the disk has the contents, so that they outlive a power failure.

    Raises:
        OutputError: If the folder is missing or not writable, the disk is full, or ``path`` is no file.
    """
    if path.exists() and not path.is_file():
        raise OutputError(f"{path}: exists and is not a plain file; choose another name")
    target = Path(os.path.realpath(path))  # a symbolic link stays, and its target is replaced
    # The suffix stays last, because writers such as OpenCV choose the format by it.
    temporary = target.with_name(f".tmp-{secrets.token_hex(8)}{target.suffix}")
    try:
        # Named before it exists: an interrupt finds it wherever it strikes.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        if durable:
            _flush(temporary)
        temporary.replace(target)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError):  # such as of a missing folder
            temporary.unlink()


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder, whose files move to ``path`` if the block ends without an exception.

    A folder that exists keeps its other files.

    Raises:
        OutputError: If the parent is missing or not writable, the disk is full, or ``path`` is a file.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".tmp-", dir=path.parent) as name:
            temporary = Path(name) / path.name
            temporary.mkdir()
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    _flush(file)
            if path.is_dir():
                for file in temporary.iterdir():
                    file.replace(path / file.name)
            else:
                temporary.rename(path)
    except OSError as error:
        raise cannot_write(path, error) from error


def check_writable(path: Path, *, stream: bool = False) -> None:
    """Refuse a file that could not be written later; nothing is left behind.

    Args:
        path: File.
        stream: Whether a device or pipe will do.

    Raises:
        OutputError: If the folder is missing or not writable, or ``path`` is a folder.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise OutputError(f"{path}: cannot be written, it is a folder; name a file in it")
        if not stat.S_ISREG(mode):
            if stream:
                return
            raise OutputError(f"{path}: cannot be written, it is not a plain file; choose another name")
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise cannot_write(path, error) from error
    parent = Path(os.path.realpath(path)).parent
    try:
        with tempfile.TemporaryFile(dir=parent):
            pass
    except FileNotFoundError as error:
        raise OutputError(f"{path}: cannot be written, no such folder; mkdir -p {parent}") from error
    except OSError as error:
        raise cannot_write(path, error) from error


def check_folder(folder: Path) -> None:
    """Refuse a folder that could not be created or written to later; nothing is left behind.

    Raises:
        OutputError: If a part of its path is not a folder, or not writable.
    """
    try:
        nearest = next(each for each in (folder, *folder.parents) if _exists(each))
        if not nearest.is_dir():
            raise OutputError(f"{folder}: cannot be written, {nearest} is not a folder; choose another name")
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except (OSError, ValueError) as error:
        raise cannot_write(folder, error) from error


def _exists(path: Path) -> bool:
    """Return whether a name is taken; names that are impossible raise OSError."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def cannot_write(path: Path, error: OSError | ValueError) -> OutputError:
    """Return the error for a file that the system refuses to write, with the remedy for its reason."""
    number = error.errno if isinstance(error, OSError) else None
    remedy = REMEDIES.get(number or 0, "choose another place")
    return OutputError(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error}); {remedy}")


def identity(path: Path) -> tuple[object, ...]:
    """Return a key that all names of a file share: device and inode, or its place if it is missing."""
    with suppress(OSError, ValueError):
        found = path.stat()
        return found.st_dev, found.st_ino
    place = Path(os.path.realpath(path))
    with suppress(OSError, ValueError):
        folder = place.parent.stat()
        return folder.st_dev, folder.st_ino, place.name
    return (place,)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all; see `whole_file`."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, which is read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _flush(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
