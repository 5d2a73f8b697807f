"""Tables on a terminal, as wide as they are: figures cut in two by a narrow one would be none."""

from __future__ import annotations

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

WIDEST = 1000
"""Characters of a table."""


def print_whole(console: Console, table: Table) -> None:
    """Print a table without folding its cells, except where a column has a width of its own."""
    needed = Measurement.get(console, console.options.update(max_width=WIDEST), table).maximum
    width = console.width
    console.width = max(width, needed)  # the argument of print() makes it only narrower
    try:
        console.print(table)
    finally:
        console.width = width
