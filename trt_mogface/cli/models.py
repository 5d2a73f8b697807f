"""``trt-mogface models``: models that can be used by name."""

from __future__ import annotations

from rich.table import Table

from trt_mogface.cli import output
from trt_mogface.models.cards import DEFAULT


def models() -> None:
    """List the models that can be used by name, with origin, license and size."""
    from engine_build.models.registry import recipes

    table = Table()
    table.add_column("name", no_wrap=True)
    for column in ("network", "landmarks", "size", "license", "weights from"):
        table.add_column(column, overflow="fold")
    for card in (recipe.card for recipe in recipes().values()):
        table.add_row(
            card.name + (" (default)" if card.name == DEFAULT else ""),
            card.network,
            str(card.landmarks),
            f"{card.megabytes:g} MB",
            card.license,
            card.origin + (", embedded" if card.embedded else ", or --weights FILE"),
        )
    output.out.print(table)
