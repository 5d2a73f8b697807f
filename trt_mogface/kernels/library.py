"""The shared library of the CUDA kernels: its file, and its errors as exceptions."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from importlib import resources
from pathlib import Path

from trt_mogface.errors import ArgumentError, CudaError, KernelError
from trt_mogface.kernels.interface import INTERFACE, declare

NAME, VARIABLE = "libtrt_mogface_kernels.so", "TRT_MOGFACE_KERNELS"
PLUGIN_NAME, PLUGIN_VARIABLE = "libtrt_mogface_plugin.so", "TRT_MOGFACE_PLUGIN"
"""Files of the package, and environment variables that name others."""


class Library:
    """A loaded library.

    Args:
        path: The file; default that of `find_library`.

    Raises:
        KernelError: If there is no such library, or it belongs to another release.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or find_library()
        try:
            self._functions = ctypes.CDLL(str(self.path))
            interface = int(self._functions.mogfaceInterface())
            if interface == INTERFACE:
                declare(self._functions)
        except (OSError, AttributeError) as error:
            raise KernelError(f"{self.path}: not the kernels of this project ({error})") from error
        if interface != INTERFACE:
            raise KernelError(
                f"{self.path}: has interface {interface}, not {INTERFACE} of this release; "
                "install trt-mogface again"
            )
        self.runs_on_host = bool(self._functions.mogfaceRunsOnHost())

    def call(self, name: str, *arguments: object) -> None:
        """Call a function that returns a CUDA error, or refuses an argument and launches nothing."""
        status = getattr(self._functions, name)(*arguments)
        if not status:
            return
        refused = self._functions.mogfaceProblem().decode()
        if refused:  # "argument value: problem"
            subject, _, problem = refused.partition(": ")
            argument, _, value = subject.partition(" ")
            raise ArgumentError(argument, problem, value or None)
        what = name.removeprefix("mogface").lower()
        error = self._functions.mogfaceErrorName(status).decode()
        text = self._functions.mogfaceErrorText(status).decode()
        raise CudaError(f"{what}: CUDA error {status} ({error}): {text}")


def find_library() -> Path:
    """Return the kernels' library of the package, or the one that ``TRT_MOGFACE_KERNELS`` names."""
    remedy = "install the CUDA toolkit, put nvcc on the PATH"
    return _find(NAME, VARIABLE, "CUDA kernels", "nvcc", remedy)


def find_plugin() -> Path:
    """Return the library of the plugin ``MogFaceDetect``, or the one that ``TRT_MOGFACE_PLUGIN`` names."""
    lacked, remedy = "nvcc or TensorRT's C++ headers", "set TensorRT_ROOT to the folder with its include/"
    return _find(PLUGIN_NAME, PLUGIN_VARIABLE, "TensorRT plugin", lacked, remedy)


def _find(name: str, variable: str, what: str, lacked: str, remedy: str) -> Path:
    named = os.environ.get(variable)
    if named:
        if not Path(named).is_file():
            raise KernelError(f"{variable}={named}: no such file")
        return Path(named)
    with suppress(ModuleNotFoundError):
        path = Path(str(resources.files("trt_mogface.native") / name))
        if path.is_file():
            return path
    raise KernelError(
        f"{what}: not part of this installation, which was made without {lacked}; {remedy} and install "
        "trt-mogface again"
    )
