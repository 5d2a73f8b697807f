"""Reading JSON that comes from a model file or from beside one: untrusted input."""

from __future__ import annotations

import math
from typing import Any, cast

LARGEST = 1 << 128
"""Whole numbers beyond this are a mistake or an attack, and no float holds the largest."""


class Fields:
    """Values of a JSON object by name, each of the type asked for.

    Every method raises TypeError for a value of another type, KeyError for a missing one and ValueError for
    a number that is not finite.
    """

    def __init__(self, fields: Any) -> None:
        self._fields = _of(dict, fields)

    def inner(self, name: str) -> Fields:
        """An object."""
        return Fields(self._fields[name])

    def inners(self, name: str) -> list[Fields]:
        """A list of objects."""
        return [Fields(value) for value in _of(list, self._fields[name])]

    def text(self, name: str) -> str:
        """A string."""
        return cast(str, _of(str, self._fields[name]))

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings."""
        return tuple(_of(str, value) for value in _of(list, self._fields[name]))

    def flag(self, name: str) -> bool:
        """True or false."""
        return cast(bool, _of(bool, self._fields[name]))

    def integer(self, name: str) -> int:
        """A whole number."""
        return cast(int, _of(int, self._fields[name]))

    def integers(self, name: str) -> tuple[int, ...]:
        """A list of whole numbers."""
        return tuple(_of(int, value) for value in _of(list, self._fields[name]))

    def optional_integer(self, name: str) -> int | None:
        """A whole number or null."""
        return None if self._fields[name] is None else self.integer(name)

    def number(self, name: str) -> float:
        """A finite number."""
        return _finite(self._fields[name])

    def numbers(self, name: str) -> tuple[float, ...]:
        """A list of finite numbers."""
        return tuple(_finite(value) for value in _of(list, self._fields[name]))

    def names(self) -> list[str]:
        """What there is."""
        return list(self._fields)


def _finite(value: Any) -> float:
    whole = 0 if isinstance(value, float) else _of(int, value)
    if abs(whole) > LARGEST:
        raise ValueError("a number is too large")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is not finite")
    return number


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:  # bool is an int to isinstance
        raise TypeError(f"{value!r:.40} is no {kind.__name__}")
    return value
