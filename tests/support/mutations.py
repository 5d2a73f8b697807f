"""Damaged copies of a JSON text, always the same ones."""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Iterator
from typing import Any

VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1e6,
    1e308,
    math.inf,
    math.nan,
    10**400,
    "",
    "x" * 5000,
    "\ud800",
    [],
    {},
    [[]],
    [0.5],
)


def mutations(text: str, count: int, seed: int = 0) -> Iterator[str]:
    """Yield texts: every fourth with damaged characters, the others with a value changed or gone."""
    rng = random.Random(seed)
    for number in range(count):
        if number % 4:
            fields = copy.deepcopy(json.loads(text))
            _change(fields, rng)
            yield json.dumps(fields)
        else:
            at, end = sorted(rng.randrange(len(text) + 1) for _ in range(2))
            letter = chr(rng.randrange(1, 0x3000))
            middle = rng.choice(("", text[at:end] * 2, letter, "[" * 10_000, "9" * 400))
            yield text[:at] + middle + text[rng.choice((at, at + 1, end)) :]


def _change(fields: Any, rng: random.Random) -> None:
    """Change one value, as deep as chance will have it, in place."""
    inside = fields
    while True:
        keys: list[Any] = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
        key = rng.choice(keys)
        if isinstance(inside[key], (dict, list)) and inside[key] and rng.random() < 0.8:
            inside = inside[key]
            continue
        break
    value, kind = inside[key], rng.randrange(4)
    if kind == 0:
        del inside[key]
    elif kind == 1 and isinstance(inside, list):
        inside.insert(rng.randrange(len(inside) + 1), value)
    elif kind == 2 and isinstance(value, (int, float)):
        inside[key] = value * rng.choice((-1, 0, 1.0001, 10, 1e6))
    else:
        inside[key] = rng.choice(VALUES)
