"""Cost of building engines without a GPU: time, peak memory and size.

MogFace has random weights, which affect neither time nor size; INT8 is calibrated on 64 images of the test
data at 320x320.  Its accuracy is meaningless with such weights, so any loss is allowed.

    python -m benchmarks.engines
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks._lib.data import CALIBRATION
from benchmarks._lib.process import run
from benchmarks._lib.random_mogface import save_random
from benchmarks._lib.results import record

CALIB = str(CALIBRATION.resolve())


def main() -> None:
    table = Table("command", "time", "peak memory", "engine")
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        save_random("mogface.pt")
        mogface = ["build", "mogface", "--weights", "mogface.pt", "--max-loss", "100"]
        int8 = ["--calib", CALIB, "--calib-images", "64", "--calib-size", "320x320"]
        default = ["build", "retinaface-mnet025", "--calib", CALIB]
        for label, arguments in {
            "MogFace FP16, from the checkpoint": [*mogface, "--precision", "fp16"],
            "MogFace FP16, unchanged": [*mogface, "--precision", "fp16"],
            "MogFace INT8, 64 images of 320x320": [*mogface, "--precision", "int8", *int8],
            "RetinaFace FP16": [*default, "--precision", "fp16"],
            "RetinaFace INT8, 122 images at their own size": [*default, "--precision", "int8"],
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
