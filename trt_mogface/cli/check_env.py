"""``trt-mogface check-env``: what is installed here."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from trt_mogface.machine.environment import pieces


def check_env() -> None:
    """Print which GPU, libraries and decoders were found, and what each missing one is for."""
    table = Table(*(Column(name, overflow="fold") for name in ("piece", "found", "brings", "if missing")))
    for piece in pieces():
        found = escape(piece.found) if piece.found else "[red]missing[/red]"
        table.add_row(escape(piece.name), found, escape(piece.brings), escape(piece.missing))
    Console().print(table)
