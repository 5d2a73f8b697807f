"""Strict reading of JSON that comes from a model file or lies beside one: untrusted input."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def parse(text: str, kind: type[T]) -> T:
    """Read JSON as a dataclass.

    Args:
        text: JSON.
        kind: Dataclass of plain values, tuples, dictionaries and further dataclasses.

    Returns:
        The value.  Booleans are not integers, NaN and infinity are not numbers, and every field is known.

    Raises:
        ValueError: If the text is not JSON of that form; the message names the path, e.g. ``$.levels[0]``.
    """
    try:
        value = msgspec.json.decode(text, type=kind)
        unknown = _unknown(msgspec.json.decode(text), msgspec.to_builtins(value), "$")
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise ValueError(f"{error!s:.120}") from error
    if unknown:
        raise ValueError(f"unknown field - at `{unknown:.80}`")
    return value


def convert(values: object, kind: type[T]) -> T:
    """Turn plain values into a dataclass; see `parse`.

    Raises:
        ValueError: See `parse`.
    """
    try:
        return parse(msgspec.json.encode(values).decode(), kind)
    except (TypeError, RecursionError, OverflowError) as error:
        raise ValueError(f"{error!s:.120}") from error


def dump(value: object) -> Any:
    """Return a dataclass as plain dictionaries, lists and values."""
    return msgspec.to_builtins(value)


def _unknown(raw: Any, known: Any, path: str) -> str:
    """Return the path of the first field of ``raw`` that ``known`` lacks, or an empty text."""
    if isinstance(raw, dict) and isinstance(known, dict):
        for name, value in raw.items():
            found = _unknown(value, known[name], f"{path}.{name}") if name in known else f"{path}.{name}"
            if found:
                return found
    elif isinstance(raw, list) and isinstance(known, (list, tuple)):
        for index, (value, other) in enumerate(zip(raw, known)):
            if found := _unknown(value, other, f"{path}[{index}]"):
                return found
    return ""
