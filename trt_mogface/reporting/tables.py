"""Tables on a terminal, printed at their own width so that no number is folded."""

from __future__ import annotations

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

WIDEST = 1000
"""Largest width of a table in characters."""


def print_whole(console: Console, table: Table) -> None:
    """Print a table without folding its cells, except in columns of fixed width."""
    needed = Measurement.get(console, console.options.update(max_width=WIDEST), table).maximum
    width = console.width
    console.width = max(width, needed)  # the argument of print() can only narrow it
    try:
        console.print(table)
    finally:
        console.width = width
