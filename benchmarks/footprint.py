"""Peak memory of ``detect --model mogface`` at 640x640, and the time of ``import trt_mogface``.

python -m benchmarks.footprint
"""

from __future__ import annotations

import os
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
from engine_build.mogface.network import MogFace

IMPORTS = 7


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        weights, photo = Path(folder, "mogface.pt"), Path(folder, "photo.png")
        torch.save(MogFace().state_dict(), weights)
        cv2.imwrite(str(photo), np.random.default_rng(0).integers(0, 256, (640, 640, 3), np.uint8))
        detect = ["detect", str(photo), "--model", "mogface", "--weights", str(weights), "--json", "-"]
        first = peak_memory(detect, Path(folder))
        cached = peak_memory(detect, Path(folder))
    extra = import_seconds()
    Console().print(
        f"detect --model mogface, 640x640: peak memory {first:.2f} GB exporting, {cached:.2f} GB after\n"
        f"import trt_mogface: {extra:.3f} s beyond numpy and OpenCV"
    )
    record("footprint", {"first_run_gb": first, "cached_run_gb": cached, "import_s": extra})


def peak_memory(arguments: list[str], cache: Path) -> float:
    """Peak resident gigabytes of one run of the command line, as the operating system accounts it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "trt_mogface", *arguments],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"detect failed with status {process.returncode}")
    return usage.ru_maxrss * 1024 / 1e9


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
