"""``trt-mogface models``: models that can be used by name."""

from __future__ import annotations

from rich.table import Table

from trt_mogface.cli import output
from trt_mogface.models.cards import DEFAULT
from trt_mogface.reporting.tables import print_whole


def models() -> None:
    """List the models that can be used by name, with origin, license and size."""
    from engine_build.models.registry import cards

    table = Table("name", "network", "landmarks", "size", "license", "weights from")
    for card in cards().values():
        name = f"{card.name} (default)" if card.name == DEFAULT else card.name
        name += f" ({card.alias})" if card.alias else ""
        origin = card.origin + (", embedded" if card.embedded else ", or --weights FILE")
        size = f"{card.megabytes:g} MB"
        table.add_row(name, card.network, str(card.landmarks), size, card.license, origin)
    print_whole(output.out, table)
