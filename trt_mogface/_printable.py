"""Text from files and libraries, made safe to print: one line, without control characters."""

from __future__ import annotations

import unicodedata

UNSAFE = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories that end a line, command a terminal, or cannot be encoded."""


def printable(text: str) -> str:
    r"""Return a text with unsafe characters as escapes.

    >>> printable("red \x1b[31m\n")
    'red \\x1b[31m\\n'
    """
    if text.isprintable():
        return text
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in UNSAFE else c for c in text)
