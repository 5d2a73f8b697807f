"""The CUDA sources compiled for the host, with the emulation beside this file and perhaps a sanitizer."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
EMULATION = REPOSITORY / "tests" / "plugins" / "emulation"
PLUGINS = REPOSITORY / "plugins"
KERNELS = sorted(path for path in (PLUGINS / "kernels").iterdir() if path.suffix in {".cu", ".cpp"})

SANITIZERS = {
    "none": (),
    "address": ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    "thread": ("-fsanitize=thread",),
}

SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0",  # Python keeps memory to its end
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:exitcode=66:ignore_noninstrumented_modules=1:atexit_sleep_ms=0",
}
"""Environment of programs with a sanitizer."""

FLAGS = (
    *("-std=c++17", "-O1", "-g", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror"),
    "-ffp-contract=off",  # as nvcc's --fmad=false
    f"-I{EMULATION}",
    f"-I{PLUGINS / 'include'}",
    f"-I{PLUGINS / 'kernels'}",
)


def shared_library(sanitizer: str = "none") -> Path:
    """The kernels for the host; made once for each state of the sources."""
    return build("libkernels.so", KERNELS, (*SANITIZERS[sanitizer], "-shared"))


def build(name: str, sources: Iterable[Path], flags: tuple[str, ...]) -> Path:
    """Compile CUDA or C++ sources with the scheduler, and link them; the last flags say into what.

    Skips the test where there is no compiler.
    """
    if shutil.which("g++") is None:
        pytest.skip("g++, which compiles the kernels for the host, is not installed")
    sources = list(sources)
    files = [*sources, *EMULATION.iterdir(), *PLUGINS.rglob("*.h"), *PLUGINS.rglob("*.cuh")]
    state = hashlib.sha256(repr((name, flags, FLAGS, *(f.read_bytes() for f in sorted(files)))).encode())
    folder = Path(tempfile.gettempdir()) / f"trt-mogface-emulated-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    made = folder / f"{state.hexdigest()[:16]}-{name}"
    if made.exists():
        return made
    compiled = tuple(flag for flag in flags if flag != "-shared")
    jobs: list[tuple[Path, tuple[str, ...]]] = [(path, compiled) for path in sources]
    jobs.append((EMULATION / "scheduler.cpp", ()))
    with tempfile.TemporaryDirectory(dir=folder) as work:
        with ThreadPoolExecutor() as pool:
            objects = list(pool.map(lambda job: _compile(job[0], job[1], Path(work)), jobs))
        linked = Path(work) / name
        _run("g++", "-o", linked, *objects, *flags, "-ldl")
        linked.replace(made)  # another process may have made the same at the same time
    return made


def _compile(source: Path, flags: tuple[str, ...], work: Path) -> Path:
    made = work / f"{source.name}.o"
    _run("g++", *FLAGS, *flags, "-x", "c++", "-c", source, "-o", made)
    return made


def _run(*command: str | Path) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
