"""MATLAB files of level 5, as far as ground truth needs them: cells, texts and arrays of numbers.

SciPy's reader ends the process on some damaged files, and believes any size.  The layout is that of "MAT-File
Format" (MathWorks): elements of a type, a size and as many bytes, nested, and compressed one by one.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

HEADER = 128
"""Bytes before the first element; the last two tell the byte order."""

MATRIX, COMPRESSED = 14, 15
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Data types of numbers, as numpy calls them."""

TEXTS = {2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16"}
"""Encodings of text by the data type of its characters."""

CELL, CHARACTERS, ARRAYS = 1, 4, range(6, 16)
"""Classes of matrices."""

MAX_BYTES = 1 << 28
"""Size of a decompressed element beyond which a file is an attack."""

MAX_DEPTH = 8
"""Depth of cells in cells."""


def read_matlab(path: Path, names: Collection[str]) -> dict[str, Any]:
    """Read variables of a MATLAB file, which is untrusted input.

    Args:
        path: File.
        names: Names of the variables; others are not read.

    Returns:
        Values by name, of those in the file: arrays of numbers or, for cells, of objects; texts as `str`.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it has another form, or a variable is of another class.
    """
    data = path.read_bytes()
    order = {b"IM": "<", b"MI": ">"}.get(data[HEADER - 2 : HEADER])
    if order is None:
        raise ValueError("not a MATLAB file of level 5")
    variables = {}
    for kind, body in _elements(memoryview(data)[HEADER:], order):
        if kind == COMPRESSED:
            kind, body = next(_elements(_decompressed(body), order), (0, body))
        if kind == MATRIX and (name := _parts(body, order)[2]) in names:
            variables[name] = _matrix(body, order, 0)
    return variables


def _decompressed(body: memoryview) -> memoryview:
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(body, MAX_BYTES)
    except zlib.error as error:
        raise ValueError("a damaged compressed element") from error
    if not stream.eof:
        raise ValueError("a truncated or too large compressed element")
    return memoryview(data)


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Yield type and content of consecutive elements; up to four bytes of content lie within the tag."""
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            raise ValueError("a truncated element")
        kind, size = struct.unpack_from(f"{order}II", data, at)
        start, step = at + 8, 8 + size
        if kind >> 16:
            kind, size, start, step = kind & 0xFFFF, kind >> 16, at + 4, 8
        body = data[start : start + size]
        if len(body) < size or (step == 8 and start == at + 4 and size > 4):
            raise ValueError("a truncated element")
        yield kind, body
        at += step if kind == COMPRESSED else -(-step // 8) * 8


def _parts(body: memoryview, order: str) -> tuple[int, tuple[int, ...], str, list[tuple[int, memoryview]]]:
    """Return class, shape, name and further elements of a matrix element."""
    (_, flags), (_, sizes), (_, name), *parts = _elements(body, order)
    shape = tuple(map(int, np.frombuffer(sizes, f"{order}i4")))
    if len(flags) != 8 or min(shape, default=-1) < 0:
        raise ValueError("a matrix of impossible size")
    return struct.unpack_from(f"{order}I", flags)[0] & 0xFF, shape, str(name, "latin-1"), parts


def _matrix(body: memoryview, order: str, depth: int) -> Any:
    """Return the value of a matrix element; one without content is an empty array."""
    if not body:
        return np.empty((0, 0))
    kind, shape, _, parts = _parts(body, order)
    if kind != CELL:
        return _content(kind, shape, parts[0] if parts else (2, memoryview(b"")), order)
    if depth > MAX_DEPTH or any(each != MATRIX for each, _ in parts):
        raise ValueError("cells nested too deeply, or of something else than matrices")
    values = np.empty(len(parts), object)
    for index, (_, part) in enumerate(parts):
        values[index] = _matrix(part, order, depth + 1)
    return _shaped(values, shape)


def _content(kind: int, shape: tuple[int, ...], part: tuple[int, memoryview], order: str) -> Any:
    stored, data = part
    if kind == CHARACTERS and stored in TEXTS:
        ending = {"<": "-le", ">": "-be"}[order] if TEXTS[stored] == "utf-16" else ""
        return str(data, TEXTS[stored] + ending)
    if kind not in ARRAYS or stored not in NUMBERS:
        raise ValueError(f"a variable of an unknown class or type ({kind}, {stored})")
    return _shaped(np.frombuffer(data, order + NUMBERS[stored]), shape)


def _shaped(values: Any, shape: tuple[int, ...]) -> Any:
    if math.prod(shape) != len(values):
        raise ValueError(f"{len(values)} values for a matrix of {'x'.join(map(str, shape))}")
    return values.reshape(shape, order="F")
