"""``trt-mogface check-env``: what is installed here."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from trt_mogface.machine.environment import pieces
from trt_mogface.reporting.tables import print_whole


def check_env() -> None:
    """Print which GPU, libraries and decoders were found, and what each missing one is for."""
    table = Table(*(Column(name, overflow="fold") for name in ("piece", "found", "brings", "if missing")))
    for piece in pieces():
        found = escape(piece.found) if piece.found else "[red]missing[/red]"
        table.add_row(escape(piece.name), found, escape(piece.brings), escape(piece.missing))
    console = Console()
    if console.is_terminal:
        console.print(table)  # folded
    else:
        print_whole(console, table)
