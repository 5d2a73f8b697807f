"""``trt-mogface models``: models that can be used by name."""

from __future__ import annotations

from rich.table import Column, Table

from trt_mogface.cli import output
from trt_mogface.models.cards import DEFAULT


def models() -> None:
    """List the models that can be used by name, with origin, license and size."""
    from engine_build.models.registry import recipes

    head = ("network", "landmarks", "size", "license", "weights from")
    table = Table(Column("name", no_wrap=True), *(Column(name, overflow="fold") for name in head))
    for card in (recipe.card for recipe in recipes().values()):
        name = f"{card.name} (default)" if card.name == DEFAULT else card.name
        origin = card.origin + (", embedded" if card.embedded else ", or --weights FILE")
        size = f"{card.megabytes:g} MB"
        table.add_row(name, card.network, str(card.landmarks), size, card.license, origin)
    output.out.print(table)
