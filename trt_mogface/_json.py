"""Strict reading of JSON that comes from a model file or lies beside one: untrusted input."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

import msgspec

T = TypeVar("T")

SEAL = "sha256"
"""Field with the SHA-256 of a record's other fields, which reveals a changed number."""

Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


def convert(values: object, kind: type[T], *, complete: bool = False) -> T:
    """Turn plain values, such as JSON has, into a dataclass.

    Args:
        values: Values.  Booleans are not integers, NaN and infinity are not numbers.
        kind: Dataclass of plain values, tuples, dictionaries and further dataclasses.
        complete: Whether fields with a default must be present too.

    Raises:
        ValueError: If a value is not plain or of another type, or a field is unknown or missing; the message
            names its path, e.g. ``$.levels[0]``.
    """
    try:
        text = json.dumps(values, allow_nan=False)
        value = msgspec.json.decode(text, type=kind)
        raw, known = msgspec.json.decode(text), dump(value)
        unknown = _lacking(raw, known, "$")
        missing = _lacking(known, raw, "$") if complete else ""
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{error!s:.120}") from error
    if unknown or missing:
        raise ValueError(f"{'unknown' if unknown else 'missing'} field - at `{unknown or missing:.80}`")
    return value


def sealed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain values with the digest of their content, for `unseal`."""
    return {**fields, SEAL: _digest(fields)}


def unseal(fields: dict[str, Any]) -> bool:
    """Remove the digest from plain values, in place; return whether they are those that were sealed.

    Raises:
        KeyError: If there is no digest.
    """
    seal = fields.pop(SEAL)
    return bool(seal == _digest(fields))


def read_sealed(text: str, kind: type[T], version: int) -> tuple[T, bool]:
    """Read a dataclass that was sealed with a ``format``.

    Args:
        text: JSON.
        kind: Dataclass; see `convert`.
        version: Number that the format must have.

    Returns:
        The value, and whether it is what was sealed.

    Raises:
        ValueError, TypeError, KeyError: If the text is something else, or a value has another type.
    """
    fields = json.loads(text)
    found = fields["format"]
    if type(found) is not int or found != version:
        raise ValueError("made by another release of trt-mogface")
    is_whole = unseal(fields)
    del fields["format"]
    return convert(fields, kind, complete=True), is_whole


def _digest(fields: Mapping[str, Any]) -> str:
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def dump(value: Any) -> Any:
    """Return a dataclass as plain dictionaries, lists and values, defaults included."""
    return msgspec.to_builtins(asdict(value))  # by itself, msgspec omits the defaults of what it has read


def _lacking(one: Any, other: Any, path: str) -> str:
    """Return the path of the first field of ``one`` that ``other`` lacks, or an empty text."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name, value in one.items():
            inner = f"{path}.{name}"
            found = _lacking(value, other[name], inner) if name in other else inner
            if found:
                return found
    elif isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        for index, (value, another) in enumerate(zip(one, other)):
            if found := _lacking(value, another, f"{path}[{index}]"):
                return found
    return ""
