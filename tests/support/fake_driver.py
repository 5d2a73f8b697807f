"""A `libcuda` in host memory, on which the real PyCUDA and the real cuda-bindings run without a GPU.

`library` compiles the sources in ``driver/``; every function that they lack becomes a stub that returns
CUDA_ERROR_NOT_SUPPORTED.  The environment sets it up:

=========================  ==========================================================================
``FAKE_CUDA_DEVICES``      number of devices, 2 by default
``FAKE_CUDA_CAPABILITY``   compute capability of each, such as ``9.0,7.5``
``FAKE_CUDA_VERSION``      CUDA version of the driver, 13000 by default
``FAKE_CUDA_INTEGRATED``   1 if the devices share the host's memory
``FAKE_CUDA_MEMORY``       bytes of each device, 4 GiB by default
``FAKE_CUDA_REUSE``        1 if device addresses are given out again once they are free, as CUDA does
``FAKE_CUDA_FAIL``         ``function=error``: every call of the function fails with that error
``FAKE_CUDA_LOG``          file that receives a line per call, a line per misuse, and what was not freed
=========================  ==========================================================================
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.emulated import SANITIZERS

SOURCES = Path(__file__).with_name("driver")
NAME = "libcuda.so.1"
FLAGS = ("-std=c++17", "-O1", "-g", "-fPIC", "-Wall", "-Wextra", "-Werror")
STUB = 'extern "C" int {name}() {{ return fakeCudaStub("{name}"); }}\n'


def library(sanitizer: str = "none") -> Path:
    """Return the folder of a compiled ``libcuda.so.1``; made once for each state of the sources.

    Skips the test without a C++ compiler or the CUDA toolkit's headers.
    """
    include = headers()
    if shutil.which("g++") is None or include is None:
        pytest.skip("g++ and cuda.h, which the CUDA driver of the tests is made from, are not both installed")
    sources = sorted(SOURCES.glob("*.cpp"))
    state = hashlib.sha256(repr((sanitizer, FLAGS, STUB, include)).encode())
    for path in [*sources, SOURCES / "driver.h", Path(__file__)]:
        state.update(path.read_bytes())
    folder = Path(tempfile.gettempdir()) / f"trt-mogface-driver-{os.getuid()}" / state.hexdigest()[:16]
    if (folder / NAME).exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        flags = (*FLAGS, *SANITIZERS[sanitizer], f"-I{include}")
        whole = [Path(work) / f"{path.stem}.o" for path in sources]
        for path, made in zip(sources, whole):
            _run("g++", *flags, "-c", path, "-o", made)
        stubs = Path(work) / "stubs.cpp"
        missing = sorted(_declared(include) - _defined(whole))
        stubs.write_text(
            'extern "C" int fakeCudaStub(const char*);\n'
            + "".join(STUB.format(name=name) for name in missing)
            + 'extern "C" const char* const fakeCudaStubs[] = {'
            + "".join(f'"{name}", ' for name in missing)
            + "nullptr};\n"
        )
        linked = Path(work) / NAME
        _run("g++", *flags, "-shared", f"-Wl,-soname,{NAME}", "-o", linked, *whole, stubs, "-ldl", "-pthread")
        linked.replace(folder / NAME)  # another process may have made the same at the same time
    return folder


def runtime(sanitizer: str) -> str:
    """Return the sanitizer's library, which programs that load a sanitized driver must load first."""
    name = {"address": "libasan.so", "thread": "libtsan.so"}[sanitizer]
    done = subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def headers() -> Path | None:
    """Return the folder of ``cuda.h``, or None without the CUDA toolkit."""
    roots = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    nvcc = shutil.which("nvcc")
    if nvcc is not None:
        roots.append(str(Path(nvcc).resolve().parents[1]))
    found = (Path(root) / "include" for root in roots if root)
    return next((path for path in found if (path / "cuda.h").is_file()), None)


@dataclass(frozen=True)
class Call:
    """A line of the log."""

    thread: int
    device: int
    name: str
    error: int
    detail: str


@dataclass(frozen=True)
class Log:
    """A log of the driver.

    Attributes:
        calls: Calls in their order.
        problems: Misuses that CUDA would not notice, such as work on freed memory.
        live: What the program has not freed, by kind.
    """

    calls: tuple[Call, ...]
    problems: tuple[str, ...]
    live: dict[str, int]

    def count(self, name: str) -> int:
        """Return the number of successful calls of a function."""
        return sum(call.name == name and not call.error for call in self.calls)

    @property
    def failed(self) -> Counter[tuple[str, int]]:
        """Failed calls by function and error."""
        return Counter((call.name, call.error) for call in self.calls if call.error)


def read_log(path: Path) -> Log:
    """Read what ``FAKE_CUDA_LOG`` names."""
    calls, problems, live = [], [], {}
    for line in path.read_text().splitlines():
        if line.startswith("PROBLEM: "):
            problems.append(line.removeprefix("PROBLEM: "))
        elif line.startswith("LIVE: "):
            live = {kind: int(count) for kind, count in re.findall(r"(\w[\w ]*) (\d+)", line[6:])}
        else:
            _, thread, _, device, name, error, *rest = line.split(" ", 6)
            calls.append(Call(int(thread), int(device), name, int(error), "".join(rest)))
    return Log(tuple(calls), tuple(problems), live)


def _declared(include: Path) -> set[str]:
    """Return the names of all versions of all functions of the driver."""
    names: set[str] = set()
    for version in ("", "-D__CUDA_API_VERSION_INTERNAL"):  # the newest names, and all older ones
        command = ["g++", "-E", *filter(None, [version]), "-x", "c++", f"-I{include}", "-"]
        source = "#include <cuda.h>\n#include <cudaProfiler.h>\n"
        done = subprocess.run(command, input=source, capture_output=True, text=True, check=True)
        names.update(re.findall(r"\bCUresult\s+(cu[A-Z]\w*)\s*\(", done.stdout))
    return names


def _defined(objects: list[Path]) -> set[str]:
    done = subprocess.run(
        ["nm", "-g", "--defined-only", *objects], capture_output=True, text=True, check=True
    )
    return set(re.findall(r" T (cu[A-Z]\w*)", done.stdout))


def _run(*command: str | Path) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
