"""A real Triton on loopback, out of the wheel of nvidia-pytriton, which is unpacked and not installed.

It has Triton 2.51 with its Python backend and the local cache, and needs no GPU.
"""

from __future__ import annotations

import os
import shutil
import site
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.project import REPOSITORY

WHEEL = "nvidia-pytriton==0.7.0"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "trt-mogface-tests" / "triton"
CACHE_BYTES = 16 << 20
READY, STOP = 60.0, 15.0
"""Seconds until a server is ready, and until it has stopped."""


@dataclass
class Triton:
    """A server that runs.

    Attributes:
        grpc, http, metrics: Ports on loopback.
        process: Process of the server, which leads a group of its own.
        log: File with what the server prints.
    """

    grpc: int
    http: int
    metrics: int
    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """End the server at once, and the Python processes that it leaves behind."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, 9)
        self.process.wait(STOP)


def unpacked() -> Path:
    """Return the folder of the unpacked wheel; skip the test where it cannot be had."""
    folder = CACHE / "0.7.0"
    if folder.is_dir():
        return folder
    work = CACHE / f"work-{os.getpid()}"
    work.mkdir(parents=True)
    try:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            str(work),
            WHEEL,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(work.glob("*.whl"))
        if done.returncode or not wheels:
            pytest.skip(f"the wheel {WHEEL} cannot be downloaded")
        with zipfile.ZipFile(wheels[0]) as archive:
            archive.extractall(work / "files")
        server = work / "files" / "pytriton" / "tritonserver"
        backend = server / "backends" / "python"
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        stub = server / "python_backend_stubs" / version / "triton_python_backend_stub"
        if not stub.is_file():
            pytest.skip(f"{WHEEL} has no Python backend for Python {version}")
        shutil.copy(stub, backend)
        for program in (server / "bin" / "tritonserver", backend / stub.name):
            program.chmod(0o755)
        with suppress(OSError):  # another process was faster
            (work / "files").rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def python_for(folder: Path) -> Path:
    """Return the folder of a ``python3`` that has the packages of this process: the Python of the models."""
    made = folder / "python"
    if not made.is_dir():
        venv.create(made, symlinks=True)
        packages = Path(sysconfig.get_path("purelib", vars={"base": str(made), "platbase": str(made)}))
        paths = [str(REPOSITORY), *site.getsitepackages()]
        (packages / "packages.pth").write_text("\n".join(paths), encoding="utf-8")
    return made / "bin"


@contextmanager
def triton(repository: Path, folder: Path, ports: list[int] | None = None) -> Iterator[Triton]:
    """Run a server on a repository until the block ends.

    Args:
        repository: Model repository.
        folder: Folder for the log, and the Python of the models.
        ports: Ports of gRPC, HTTP and metrics; None chooses free ones.
    """
    files = unpacked()
    server = files / "pytriton" / "tritonserver"
    grpc, http, metrics = ports or free_ports(3)
    libraries = [str(files / "nvidia_pytriton.libs"), str(sysconfig.get_config_var("LIBDIR"))]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {
        "LD_LIBRARY_PATH": ":".join(libraries),
        "PATH": f"{python_for(folder)}:{os.environ['PATH']}",
    }
    command = [
        str(server / "bin" / "tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={server / 'backends'}",
        f"--cache-directory={server / 'caches'}",
        f"--cache-config=local,size={CACHE_BYTES}",
        *(f"--{name}-address=127.0.0.1" for name in ("grpc", "http", "metrics")),
        *(f"--grpc-port={grpc}", f"--http-port={http}", f"--metrics-port={metrics}"),
        "--allow-gpu-metrics=false",
        "--exit-on-error=false",
    ]
    log = folder / f"triton-{grpc}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=environment, start_new_session=True
        )
    running = Triton(grpc, http, metrics, process, log)
    try:
        _await(running)
        yield running
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP)
        running.kill()


def _await(running: Triton) -> None:
    end = time.monotonic() + READY
    while time.monotonic() < end and running.process.poll() is None:
        with suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{running.http}/v2/health/live", timeout=1).close()
            return
        time.sleep(0.1)
    raise AssertionError(running.log.read_text(encoding="utf-8", errors="replace")[-2000:])
