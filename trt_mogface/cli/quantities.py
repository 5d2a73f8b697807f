"""Options that are a number with a unit: ``20M``, ``5s``."""

from __future__ import annotations

import re

from trt_mogface.errors import ArgumentError

SCALES = {"": 1, "K": 1_000, "M": 1_000_000, "G": 1_000_000_000}
SECONDS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0}


def parse_count(argument: str, text: str) -> int:
    """Parse a number with K, M or G, which are decimal.

    >>> parse_count("max_bytes", "1.5M")
    1500000

    Raises:
        ArgumentError: If it is not such a number.
    """
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)([KMG]?)", text.strip().upper())
    if match is None:
        raise ArgumentError(argument, "use a number, or one with K, M or G such as 20M", text)
    return round(float(match[1]) * SCALES[match[2]])


def parse_seconds(argument: str, text: str) -> float:
    """Parse a time with ms, s or m; without a unit it is in seconds.

    >>> parse_seconds("timeout", "500ms")
    0.5

    Raises:
        ArgumentError: If it is not such a time.
    """
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|)", text.strip().lower())
    if match is None:
        raise ArgumentError(argument, "use seconds such as 5s, or 500ms, or 2m", text)
    return float(match[1]) * SECONDS[match[2]]
