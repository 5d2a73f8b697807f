"""TensorRT's two flavors, TensorRT 10.3 to 11 and TensorRT-RTX, behind the API that they share.

docs/engines.md lists the tested releases and machines.
"""

from __future__ import annotations

import gc
import importlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from typing_extensions import override

from trt_mogface._optional import import_failure
from trt_mogface.errors import EngineError, MissingExtraError

FlavorName = Literal["tensorrt", "tensorrt-rtx"]

MODULES: dict[FlavorName, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}

OLDEST: dict[FlavorName, tuple[int, int]] = {"tensorrt": (10, 3), "tensorrt-rtx": (1, 0)}
NEWEST: dict[FlavorName, int] = {"tensorrt": 11, "tensorrt-rtx": 1}
"""Releases whose API is known; major releases have changed it before."""


@dataclass(frozen=True)
class Flavor:
    """An installed TensorRT: its flavor, version, e.g. ``10.3.0``, and Python module."""

    name: FlavorName
    version: str
    module: Any

    @property
    def is_rtx(self) -> bool:
        """Whether engines are compiled further on the machine that runs them, and need no GPU to build."""
        return self.name == "tensorrt-rtx"


def find_tensorrt(name: FlavorName | None = None) -> Flavor:
    """Find the installed TensorRT of a flavor; None prefers the full one.

    Raises:
        MissingExtraError: If it is not installed, or cannot be loaded; the message names the package that
            this machine needs.
        EngineError: If its release is not known.
    """
    broken: MissingExtraError | None = None
    for candidate in (name,) if name else MODULES:
        try:
            module = importlib.import_module(MODULES[candidate])
        except ModuleNotFoundError:
            continue
        except Exception as error:  # its wrapper raises anything if a library is missing
            broken = import_failure(error)
            if broken is None:
                raise
            continue
        version = str(module.__version__)
        release = tuple(int(part) for part in version.split(".")[:2])
        if release < OLDEST[candidate] or release[0] > NEWEST[candidate]:
            first = ".".join(map(str, OLDEST[candidate]))
            raise EngineError(
                f"{candidate} {version} is installed, which this release does not know; "
                f"install {first} to {NEWEST[candidate]}.x"
            )
        return Flavor(candidate, version, module)
    if broken is not None:
        raise broken
    raise MissingExtraError(f"{name or 'TensorRT'} is not installed: {_advice(name)}")


def flavor_name(text: str) -> FlavorName:
    """Return the name of a flavor, as given by a user or a manifest; refuse an unknown one."""
    for name in MODULES:
        if text == name:
            return name
    raise EngineError(f"unknown TensorRT {text!r} (choose from {', '.join(MODULES)})")


_pauses, _pausing = 0, threading.Lock()


@contextmanager
def without_collection() -> Iterator[None]:
    """Suspend Python's garbage collection, in all threads, while TensorRT works.

    TensorRT calls its logger while it holds a lock.  A collection that destroyed an older object of TensorRT
    at that moment, such as the builder of a failed build, would wait for the same lock forever.
    """
    global _pauses
    with _pausing:
        was_enabled = _pauses > 0 or gc.isenabled()
        _pauses += was_enabled
        gc.disable()
    try:
        yield
    finally:
        with _pausing:
            _pauses -= was_enabled
            if was_enabled and not _pauses:
                gc.enable()


def make_logger(trt: Any, on_message: Callable[[str, str], None] | None = None) -> Any:
    """Return a logger for TensorRT, whose ``last_error`` is the last error in one line.

    ``on_message`` is called with the severity, e.g. ``warning``, and the text of each message.
    """

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last_error = "no reason given"

        @override
        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                self.last_error = " ".join(message.split())[:300]
            if on_message is not None:
                on_message(severity.name.lower(), message)

    return Logger()


def make_runtime(trt: Any, logger: Any, *, version_compatible: bool) -> Any:
    """Return a runtime for an engine whose digest was checked.

    A version-compatible plan contains code for the host, which TensorRT runs only if it is allowed.
    """
    runtime = trt.Runtime(logger)
    if version_compatible:
        runtime.engine_host_code_allowed = True
    return runtime


def serialized(memory: Any) -> bytes | None:
    """Return the bytes of TensorRT's host memory; None if it could not serialize."""
    return None if memory is None else bytes(memoryview(memory))


def _advice(name: FlavorName | None) -> str:
    if name == "tensorrt-rtx":
        return "pip install 'trt-mogface[rtx]'"
    if Path("/etc/nv_tegra_release").exists():
        return (
            "on Jetson it comes with JetPack: sudo apt install python3-libnvinfer, and a virtual "
            "environment made with --system-site-packages"
        )
    full = (
        "pip install 'trt-mogface[tensorrt]' (data center GPUs; Jetson: sudo apt install python3-libnvinfer)"
    )
    return full if name else f"pip install 'trt-mogface[rtx]' (RTX GPUs; builds without a GPU too) or {full}"
