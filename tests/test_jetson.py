"""What a Jetson installs: every dependency has a wheel for it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import REPOSITORY, project

EXTRAS = frozenset(project()["project"]["optional-dependencies"])

PLATFORM = "aarch64-unknown-linux-gnu"

EXEMPT = {
    "rtx": "TensorRT-RTX does not run on Jetson",
    "tensorrt": "TensorRT comes with JetPack",
    "pycuda": "PyCUDA is compiled on the device",
    "dev": "contains rtx",
}
"""Extras without wheels for this platform, and why a Jetson needs none."""

JETPACKS = {"JetPack 6": ("3.10", "cuda12"), "JetPack 7": ("3.12", "cuda13")}
"""Version of Python, and the extra that reaches the GPU."""

UNREACHABLE = ("error sending request", "dns error", "failed to fetch", "connect", "timed out", "offline")


def resolve(python: str, *names: str) -> subprocess.CompletedProcess[str]:
    """Resolve extras to wheels; skip without uv or a package index."""
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.is_file() else shutil.which("uv")
    if uv is None:
        pytest.skip("uv, which resolves for other platforms, is not installed")
    command = [uv, "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--only-binary", ":all:"]
    command += ["--python-platform", PLATFORM, "--python-version", python, "pyproject.toml"]
    command += [f"--extra={name}" for name in names]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=600)
    if done.returncode and any(text in done.stderr.lower() for text in UNREACHABLE):
        pytest.skip("the package index cannot be reached")
    return done


@pytest.mark.slow
@pytest.mark.parametrize("jetpack", JETPACKS)
def test_every_extra_has_wheels_for_jetson(jetpack: str) -> None:
    python, cuda = JETPACKS[jetpack]
    others = {other for _, other in JETPACKS.values()} - {cuda}
    names = sorted(EXTRAS - EXEMPT.keys() - others)
    assert cuda in names
    done = resolve(python, *names)
    assert done.returncode == 0, f"{jetpack}, Python {python}: {done.stderr}"
    found = dict(line.split("==") for line in done.stdout.splitlines() if "==" in line)
    assert found["cuda-bindings"].startswith(f"{cuda.removeprefix('cuda')}.")
    assert "numpy" in found


@pytest.mark.slow
def test_a_dependency_without_a_wheel_is_noticed() -> None:
    done = resolve("3.10", "pycuda")
    assert done.returncode
    assert "no usable wheels" in " ".join(done.stderr.split())


def test_exempt_extras_exist() -> None:
    assert set(EXEMPT) < EXTRAS
