"""Recorded results, each with the machine that it was measured on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trt_mogface.machine.facts import machine

RESULTS = Path(__file__).parents[1] / "results"


def record(name: str, figures: dict[str, Any]) -> None:
    """Write the figures of a benchmark to ``results/NAME.json``."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    result = {"benchmark": name, "machine": machine(), "figures": figures}
    path.write_text(json.dumps(result, indent=1) + "\n")


def recorded(name: str) -> Any:
    """Return the figures of a benchmark as last recorded."""
    return json.loads((RESULTS / f"{name}.json").read_text())["figures"]


def slug(gpu: str) -> str:
    """Return the folder of a GPU's results."""
    return gpu.lower().replace(" ", "-")
