"""Text files of users, as the tools of any system write them."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

WESTERN = "cp1252"
"""Encoding of older tools on Windows, for what is not UTF-8."""


def read_text(path: Path) -> str:
    """Read a text file.

    The encoding is that of the byte order mark, which is not part of the text: UTF-8, UTF-16 or UTF-32.
    Without one it is UTF-8, UTF-16 or UTF-32 by the zero bytes, else Windows-1252.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not text.
    """
    data = path.read_bytes()
    encoding = json.detect_encoding(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        try:
            text = data.decode(WESTERN if encoding.startswith("utf-8") else encoding)
        except UnicodeDecodeError as error:
            raise ValueError("not text in UTF-8, UTF-16 or Windows-1252") from error
    text = text.rstrip("\x1a\0")  # the end of a file of DOS
    if "\0" in text or (text.isspace() and b"\0" in data):
        raise ValueError("not text: it has zero bytes")
    return text


def read_lines(path: Path) -> list[str]:
    """Read the lines of a list: stripped, and without blank lines and comments (``# ...``).

    Lines end with CR, LF or both.  A byte order mark within the text, where files were joined, is dropped.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not text.
    """
    text = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    lines = (line.strip("\ufeff").strip() for line in text.split("\n"))
    return [line for line in lines if line and line != "#" and not line.startswith(("# ", "#\t"))]


def as_path(name: str) -> str:
    r"""Return a name of a list as a path with slashes; quotes around it, ``\`` and ``./`` are resolved.

    >>> as_path('".\\0--Parade\\a b.jpg"')
    '0--Parade/a b.jpg'
    """
    for quote in ('"', "'"):
        if len(name) > 1 and name[0] == name[-1] == quote:
            name = name[1:-1].strip()
    return str(PurePosixPath(name.replace("\\", "/")))


def fold_suffix(path: str) -> str:
    """Return a path with its extension in lower case.

    >>> fold_suffix("A/B.JPG")
    'A/B.jpg'
    """
    suffix = PurePosixPath(path).suffix
    return path.removesuffix(suffix) + suffix.lower()
