"""Peak memory of ``detect --model mogface`` at 640x640, and the time of ``import trt_mogface``.

python -m benchmarks.footprint
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console

from benchmarks.machine import record
from benchmarks.process import run
from engine_build.models.mogface.network import MogFace

IMPORTS = 7


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        weights, photo = Path(folder, "mogface.pt"), Path(folder, "photo.png")
        torch.save(MogFace().state_dict(), weights)
        cv2.imwrite(str(photo), np.random.default_rng(0).integers(0, 256, (640, 640, 3), np.uint8))
        detect = ["detect", str(photo), "--model", "mogface", "--weights", str(weights), "--json", "-"]
        first = run(detect, Path(folder)).gigabytes
        cached = run(detect, Path(folder)).gigabytes
    extra = import_seconds()
    Console().print(
        f"detect --model mogface, 640x640: peak memory {first:.2f} GB exporting, {cached:.2f} GB after\n"
        f"import trt_mogface: {extra:.3f} s beyond numpy and OpenCV"
    )
    record("footprint", {"first_run_gb": first, "cached_run_gb": cached, "import_s": extra})


def import_seconds() -> float:
    """Median seconds that importing the package adds once numpy and OpenCV are there."""
    code = (
        "import numpy, cv2, time; start = time.perf_counter(); import trt_mogface; "
        "print('took', time.perf_counter() - start)"
    )
    runs = (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(IMPORTS)
    )
    return statistics.median(float(re.findall(r"took (\S+)", text)[0]) for text in runs)


if __name__ == "__main__":
    main()
