"""What building engines costs: time, peak memory and size, without a GPU.

MogFace has random weights, on which neither time nor size depends; INT8 is calibrated on 64 of the test
data's pictures at 320x320.  Its accuracy says nothing with such weights, so any loss is allowed.

    python -m benchmarks.engines
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.data import DATA
from benchmarks.machine import record
from benchmarks.process import run
from engine_build.models.mogface.network import MogFace

CALIB = str(DATA.resolve() / "wider_val_calib")


def main() -> None:
    table = Table()
    for column in ("command", "time", "peak memory", "engine"):
        table.add_column(column)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        torch.manual_seed(0)
        torch.save(MogFace().state_dict(), "mogface.pt")
        mogface = ["build", "mogface", "--weights", "mogface.pt", "--max-loss", "100"]
        int8 = ["--calib", CALIB, "--calib-images", "64", "--calib-size", "320x320"]
        default = ["build", "retinaface-mnet025", "--calib", CALIB]
        for label, arguments in {
            "MogFace FP16, from the checkpoint": [*mogface, "--precision", "fp16"],
            "MogFace FP16, unchanged": [*mogface, "--precision", "fp16"],
            "MogFace INT8, 64 pictures of 320x320": [*mogface, "--precision", "int8", *int8],
            "RetinaFace FP16": [*default, "--precision", "fp16"],
            "RetinaFace INT8, 122 pictures at their own size": [*default, "--precision", "int8"],
            "RetinaFace INT8, unchanged": [*default, "--precision", "int8"],
        }.items():
            before = set(Path().glob("*.engine"))
            cost = run(arguments, Path("cache"))
            made = set(Path().glob("*.engine")) - before
            size = f"{sum(path.stat().st_size for path in made) / 1e6:.1f} MB" if made else "the same"
            table.add_row(label, f"{cost.seconds:.1f} s", f"{cost.gigabytes:.2f} GB", size)
            figures[label] = {"seconds": cost.seconds, "gigabytes": cost.gigabytes, "engine": size}
    Console().print(table)
    record("engines", figures)


if __name__ == "__main__":
    main()
