"""Files: written whole or not at all, and identified by their digest."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trt_mogface.errors import OutputError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path, which becomes ``path`` if the block ends without an exception.

    Raises:
        OutputError: If the folder is missing or not writable, the disk is full, or ``path`` is no file.
    """
    if path.exists() and not path.is_file():
        raise OutputError(f"{path}: exists and is not a plain file; choose another name")
    path = path.resolve()  # a symbolic link stays, and its target is replaced
    # The suffix stays last, because writers such as OpenCV choose the format by it.
    try:
        handle, name = tempfile.mkstemp(prefix=".tmp-", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); choose another place") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _make_durable(temporary)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}); choose another place"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all; see `whole_file`.

    Raises:
        OutputError: If the file cannot be written.
    """
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, which is read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _make_durable(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
        # mkstemp makes the file private; a result gets the permissions of any new file.
        mask = os.umask(0)
        os.umask(mask)
        path.chmod(0o666 & ~mask)
