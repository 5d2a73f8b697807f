"""Peak memory of ``detect --model mogface`` at 640x640, and time of ``import trt_mogface``.

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
from rich.console import Console

from benchmarks._lib.process import run
from benchmarks._lib.random_mogface import save_random
from benchmarks._lib.results import record
from trt_mogface.bench.sources import noise

IMPORTS = 7


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        weights, photo = Path(folder, "mogface.pt"), Path(folder, "photo.png")
        save_random(weights)
        cv2.imwrite(str(photo), noise((640, 640), 1)[0])
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
    """Return the median seconds of importing the package after numpy and OpenCV."""
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
