"""The machine, versions and commit that a measurement belongs to, and where results are kept."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from trt_mogface.gpu import find_gpu

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("numpy", "opencv-python", "onnx", "onnxruntime", "tensorrt-rtx-cu13", "torch", "modelscope")


def machine() -> dict[str, Any]:
    """Processor, core count, GPU if there is one, versions and commit."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        **({} if (gpu := find_gpu()) is None else {"gpu": gpu.name, "driver": gpu.driver}),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "commit": _commit(),
    }


def record(name: str, figures: dict[str, Any]) -> None:
    """Keep the figures of a benchmark with the machine they were measured on."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    result = {"benchmark": name, "machine": machine(), "figures": figures}
    path.write_text(json.dumps(result, indent=1) + "\n")


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str:
    run = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=RESULTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return run.stdout.strip()
