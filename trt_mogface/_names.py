"""Lists of names in one argument, separated by commas."""

from __future__ import annotations

from collections.abc import Iterable

from trt_mogface.errors import ArgumentError


def split_list(text: str) -> list[str]:
    """Return the parts of a text between commas; spaces around a part do not count."""
    return [part.strip() for part in text.split(",")]


def parse_names(argument: str, text: str, known: Iterable[str]) -> list[str]:
    """Return the names in a text, each once, in their order there; spaces around a name do not count.

    Args:
        argument: Name of the argument, for the message.
        text: Names, separated by commas.
        known: Names to choose from.

    Raises:
        ArgumentError: If a name is unknown.
    """
    names = list(dict.fromkeys(split_list(text)))
    for name in names:
        if name not in known:
            raise ArgumentError(
                argument, f"unknown {argument} (choose from {', '.join(known)})", repr(name[:40])
            )
    return names
