"""The default model beside others by `trt-mogface bench`, twice, and how far the two runs' ratios are apart.

One thread each: where threads of one network wait for each other, as on all cores of a shared machine, ratios
swing by far more.

    python -m benchmarks.peers
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.data import DATA
from benchmarks.machine import record
from benchmarks.process import run

ULFD = DATA / "weights" / "ulfd_version-RFB-640.onnx"
ARGUMENTS = ("--batch", "1,4", "--size", "640x480", "--threads", "1", "--duration", "6", "--mode", "network")


def main() -> None:
    arguments = ["bench", *ARGUMENTS, "--peers", "onnxruntime,retinaface"]
    if ULFD.is_file():
        arguments[-1] += ",ulfd"
        pictures = DATA / "dlib_faces"
        arguments += ["--peer-model", f"ulfd={ULFD}", "--images", str(pictures)]
    with tempfile.TemporaryDirectory() as folder:
        first, second = (measured(arguments, Path(folder, f"{turn}.json")) for turn in range(2))
    table = Table("batch", "peer", "does", "ours / it", "again")
    for key, row in first.items():
        table.add_row(*key, f"{row:.3f}", f"{second[key]:.3f}")
    apart = max(abs(first[key] / second[key] - 1) for key in first)
    console = Console()
    console.print(table)
    console.print(f"the two runs agree within {apart:.1%}")
    rows = [
        {"batch": batch, "peer": peer, "does": does, "ratio": first[batch, peer, does]}
        for batch, peer, does in first
    ]
    record("peers", {"arguments": arguments[: len(ARGUMENTS) + 1], "rows": rows, "apart": apart})


def measured(arguments: list[str], path: Path) -> dict[tuple[str, str, str], float]:
    """Ours to each peer's speed."""
    run([*arguments, "--json", str(path)], Path(os.environ.get("XDG_CACHE_HOME", path.parent)))
    content: dict[str, Any] = json.loads(path.read_text())
    return {
        (batch, each["peer"], each["does"]): each["ratio"]
        for batch, standings in content["contests"].items()
        for each in standings
        if each["ratio"] is not None and not each["peer"].startswith("trt-mogface")
    }


if __name__ == "__main__":
    main()
