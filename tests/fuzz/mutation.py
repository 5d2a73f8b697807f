"""Mutations of bytes, text and JSON, all decided by one random generator.

Hypothesis draws values well, but in one process, and it remembers every example.  Here a case is a number:
100,000 of them need no memory, and one that kills its process can be written again by another.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

INTEGERS = (
    0,
    1,
    -1,
    2,
    5,
    127,
    128,
    255,
    256,
    32767,
    65535,
    65536,
    2**31 - 1,
    2**31,
    -(2**31),
    2**32 - 1,
    2**32,
)
LARGE = (2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64, 10**30)
FLOATS = (0.5, -0.0, 1e-320, -3.7, 1e6, 1e39, 1e308, math.nan, math.inf, -math.inf)
TEXTS = (
    "", " ", "nan", "-inf", "1_000", "0x10", "1e400", "\u0663", "\uff11", "9" * 5000, "true",
    "null", "../../../etc/passwd", "/dev/zero", "/etc/hostname", "..", "/", "~", "-", "a/b", "a\\b", "*?[",
    "a" * 300, "b" * 200_000, "\0", "\x1b[31mred\x1b[0m", "two\nlines", "\r", "\x85", "\u2028",
    "\u202e", "\ud800",     "é", "e\u0301", "😀", "%s%n", "[bold]x[/bold]", "[/]", "{0}", "<b>", '"', "'",
)  # fmt: skip
LINE_ENDS = ("\n", "\r\n", "\r", "\x85", "\u2028", "\v", "\n\n")
ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "latin-1", "cp1252", "utf-32")

SCALARS: tuple[Any, ...] = (*INTEGERS, *LARGE, *FLOATS, *TEXTS, True, False, None)
DEEP = 100_000
"""Levels of nesting that no recursive reader survives."""


def several(rng: Random, most: int = 8) -> range:
    """Return a range of 1 to `most` steps; few are likelier."""
    return range(min(most, 1 + int(rng.expovariate(0.7))))


def mutate_bytes(rng: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Damage a file: flipped bits, numbers at their limits, cuts, copies, and parts of `others`."""
    found = bytearray(data)
    for _ in several(rng):
        rng.choice(BYTE_STEPS)(rng, found, others)
    return bytes(found)


def _position(rng: Random, data: bytearray) -> int:
    """Return a position, often in the first or last hundred bytes, where formats keep numbers."""
    near = rng.randrange(min(len(data), 100) + 1)
    return rng.choice((near, len(data) - near, rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))


def _flip(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if at := _position(rng, data):
        data[at - 1] ^= 1 << rng.randrange(8)


def _byte(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if at := _position(rng, data):
        data[at - 1] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _number(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at, size, order = _position(rng, data), rng.choice((2, 4, 8)), rng.choice(("little", "big"))
    value = rng.choice((*INTEGERS, *LARGE)) % (1 << 8 * size)
    data[at : at + size] = value.to_bytes(size, order)  # type: ignore[arg-type]


def _cut(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    del data[_position(rng, data) :]


def _remove(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = _position(rng, data)
    del data[at : at + rng.choice((1, 2, 4, rng.randrange(64)))]


def _repeat(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = _position(rng, data)
    part = bytes(data[at : at + 1 + rng.randrange(64)])
    data[at:at] = part * rng.choice((1, 2, 100))


def _insert(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = _position(rng, data)
    data[at:at] = rng.choice((rng.randbytes(rng.randrange(32)), b"\0" * 1000, b"\xff" * 100))


def _splice(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    other = rng.choice(others) if others else bytes(data)
    at, start = _position(rng, data), rng.randrange(len(other) + 1)
    data[at : at + rng.randrange(200)] = other[start : start + rng.choice((rng.randrange(200), len(other)))]


BYTE_STEPS: tuple[Callable[[Random, bytearray, Sequence[bytes]], None], ...] = (
    _flip, _flip, _byte, _byte, _number, _number, _cut, _remove, _repeat, _insert, _splice,
)  # fmt: skip


def mutate_text(rng: Random, text: str) -> bytes:
    """Damage a text line by line and word by word, then perhaps its encoding or its bytes."""
    lines = text.split("\n")
    for _ in several(rng):
        _change_line(rng, lines)
    whole = (rng.choice(LINE_ENDS) if rng.random() < 0.2 else "\n").join(lines)
    encoding = rng.choice(ENCODINGS) if rng.random() < 0.2 else "utf-8"
    data = whole.encode(encoding, errors="replace" if rng.random() < 0.5 else "ignore")
    return mutate_bytes(rng, data) if rng.random() < 0.25 else data


def _change_line(rng: Random, lines: list[str]) -> None:
    if not lines:
        lines.append("")
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    words = lines[at].split(" ")
    word = rng.randrange(len(words))
    step = rng.randrange(8)
    if step == 0:
        del lines[at]
    elif step == 1:
        lines.insert(other, lines[at])
    elif step == 2:
        lines[at], lines[other] = lines[other], lines[at]
    elif step == 3:
        del words[word]
    elif step == 4:
        words.insert(word, rng.choice(words))
    else:
        words[word] = str(rng.choice(SCALARS))
    if step > 2:
        lines[at] = " ".join(words)


def mutate_json(rng: Random, value: Any) -> str:
    """Return JSON with some values replaced, moved, renamed or removed; NaN, infinity and depth included."""
    holder = [copy.deepcopy(value)]
    for _ in several(rng, 4):
        _change_value(rng, holder)
    text = json.dumps(holder[0], indent=rng.choice((None, None, 1)))
    if rng.random() < 0.03:
        opening, closing = rng.choice((("[", "]"), ('{"a":', "}")))
        deep = opening * DEEP + "1" + closing * DEEP
        return deep if rng.random() < 0.5 else text.replace("0", deep, 1)
    return text


def _change_value(rng: Random, holder: list[Any]) -> None:
    places = list(_places(holder))
    container, key = rng.choice(places)
    step = rng.randrange(8)
    if step == 0 and container is not holder:
        del container[key]
    elif step == 1 and isinstance(container, list) and container is not holder:
        container.insert(key, copy.deepcopy(container[key]))
    elif step == 2 and isinstance(container, dict):
        container[str(rng.choice(SCALARS))] = container.pop(key)
    elif step == 3:
        other, there = rng.choice(places)
        container[key] = copy.deepcopy(other[there])
    elif step == 4:
        container[key] = rng.choice(([], {}, [container[key]], {"a": container[key]}, [container[key]] * 50))
    elif step == 5 and isinstance(container[key], (int, float)):
        container[key] += rng.choice((1, -1, 0.5, 1e-9))
    else:
        container[key] = rng.choice(SCALARS)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each entry of nested lists and dictionaries as its container and its key."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])
