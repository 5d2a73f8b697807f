"""Time and peak memory of whole commands."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple


class Cost(NamedTuple):
    """Cost of a command: wall-clock seconds, and peak resident gigabytes."""

    seconds: float
    gigabytes: float


def run(arguments: list[str], cache: Path) -> Cost:
    """Run ``trt-mogface`` once; the operating system reports its memory.

    Args:
        arguments: Arguments of the command line.
        cache: Folder of the command's cache.

    Raises:
        RuntimeError: If the command fails.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "trt_mogface", *arguments],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{arguments[0]} failed with status {process.returncode}")
    return Cost(time.monotonic() - started, usage.ru_maxrss * 1024 / 1e9)
