"""Where results are kept, with the machine they were measured on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trt_mogface.machine.facts import machine

RESULTS = Path(__file__).parent / "results"


def record(name: str, figures: dict[str, Any]) -> None:
    """Keep the figures of a benchmark with the machine they were measured on."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    result = {"benchmark": name, "machine": machine(), "figures": figures}
    path.write_text(json.dumps(result, indent=1) + "\n")
