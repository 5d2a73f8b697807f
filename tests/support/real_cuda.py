"""The real PyCUDA and cuda-bindings, in programs of their own on the driver of `fake_driver`.

`python -m tests.support.real_cuda` installs them into a cache, which `make test` does first; PyCUDA is
compiled, which takes a minute or two.  Of cuda-bindings only 12.8.0 calls nothing but the driver; later
releases link NVIDIA's runtime, whose private tables a driver would have to imitate, so they run without one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import fake_driver
from tests.support.emulated import SANITIZER_OPTIONS
from tests.support.fake_driver import Log, read_log

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = {
    "pycuda": "pycuda==2026.1",
    "cuda-python": "cuda-bindings==12.8.0",
    "cuda12": "cuda-bindings==12.9.10",
    "cuda13": "cuda-bindings==13.5.0",
}
BINDINGS = ("cuda-python", "cuda12", "cuda13")
"""The ones of `PACKAGES` that are cuda-bindings, the one that runs on the driver first."""

WAIT = 120.0
"""Seconds after which a program has hung."""


@dataclass(frozen=True)
class Program:
    """A program that has ended.

    Attributes:
        status: Exit status; negative for a signal.
        out, err: Text that it printed.
        log: Calls of the driver.
    """

    status: int
    out: str
    err: str
    log: Log


def folder(package: str) -> Path:
    """Return the folder in which a package of `PACKAGES` is installed for this interpreter."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (
        cache / "trt-mogface-tests" / f"{PACKAGES[package].replace('==', '-')}-{sys.implementation.cache_tag}"
    )


def run(
    package: str | None,
    source: str,
    folder_of_log: Path,
    *arguments: str,
    driver: bool = True,
    sanitizer: str = "none",
    **settings: object,
) -> Program:
    """Run Python source with a package of `PACKAGES`.

    Skips the test where the package or the driver cannot be made.

    Args:
        package: Package that can be imported; None needs none.
        source: Program, which can also import ``tests``.
        folder_of_log: Folder for the log.
        arguments: Arguments of the program.
        driver: Whether there is a driver.
        sanitizer: Sanitizer that the driver is compiled with.
        settings: Settings of the driver without ``FAKE_CUDA_``, e.g. ``devices=1``.
    """
    if package is not None and not folder(package).is_dir():
        pytest.skip(f"{PACKAGES[package]} is not in the cache; run python -m tests.support.real_cuda")
    log = folder_of_log / "driver.log"
    log.unlink(missing_ok=True)
    log.touch()
    paths = os.pathsep.join(map(str, ([folder(package)] if package else []) + [REPOSITORY]))
    environment = os.environ | {"PYTHONPATH": paths, "FAKE_CUDA_LOG": str(log)}
    environment |= {f"FAKE_CUDA_{name.upper()}": str(value) for name, value in settings.items()}
    environment |= SANITIZER_OPTIONS
    libraries = fake_driver.library(sanitizer) if driver else folder_of_log
    environment["LD_LIBRARY_PATH"] = str(libraries)
    if sanitizer != "none":
        environment["LD_PRELOAD"] = fake_driver.runtime(sanitizer)
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(source), *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=WAIT,
    )
    return Program(done.returncode, done.stdout, done.stderr, read_log(log))


def install(package: str) -> None:
    """Install a package of `PACKAGES` into the cache, unless it is there."""
    target = folder(package)
    if target.is_dir():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        made = Path(work) / "made"
        source = _pycuda(Path(work)) if package == "pycuda" else PACKAGES[package]
        _pip("install", "--no-deps", "--target", str(made), str(source))
        made.rename(target)


def _pycuda(work: Path) -> Path:
    """Return PyCUDA's sources, set up for the driver of the tests."""
    include = fake_driver.headers()
    if include is None:
        raise OSError("cuda.h is missing; install the CUDA toolkit")
    _pip("download", "--no-deps", "--no-binary", "pycuda", "--dest", str(work), PACKAGES["pycuda"])
    (archive,) = work.glob("pycuda-*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(work, filter="data")
    sources = archive.with_name(archive.name.removesuffix(".tar.gz"))
    libraries = work / "libraries"
    libraries.mkdir()
    (libraries / "libcuda.so").symlink_to(fake_driver.library() / fake_driver.NAME)
    (sources / "siteconf.py").write_text(
        f"CUDA_ROOT = {str(include.parent)!r}\n"
        f"CUDADRV_LIB_DIR = [{str(libraries)!r}]\n"
        f"CUDART_LIB_DIR = [{str(include.parent / 'lib64')!r}]\n"
        "CUDA_ENABLE_CURAND = False\n"
    )
    return sources


def _pip(*arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments],
        check=True,
        env=os.environ | {"CFLAGS": "-O0 -g0 -w"},  # half the time of -O3
    )


def main() -> None:
    """Install all packages; where that fails, say so, and their tests are skipped."""
    failures = (OSError, subprocess.CalledProcessError, pytest.skip.Exception)
    for package, requirement in PACKAGES.items():
        try:
            install(package)
        except failures as error:  # noqa: PERF203 -- the others can be there
            print(f"{requirement} cannot be installed, its tests will be skipped: {error}")


if __name__ == "__main__":
    main()
