"""``trt-mogface models``: what can be used by name."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from engine_build.models.registry import recipes
from trt_mogface.models.cards import DEFAULT


def models() -> None:
    """List the models that can be used by name, with origin, license and size."""
    table = Table()
    for column in ("name", "network", "landmarks", "size", "license", "weights from"):
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
    Console().print(table)
