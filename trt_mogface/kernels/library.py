"""The shared library of the CUDA kernels: its file, and its errors as exceptions."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from importlib import resources
from pathlib import Path

from trt_mogface.cuda.driver import driver_version
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
        KernelError: If there is no such library, it belongs to another release, or the driver is too old.
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
        check_driver(self.path, int(self._functions.mogfaceCudaVersion()))
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


def check_driver(path: Path, cuda_version: int) -> None:
    """Refuse a library that was built with a newer major version of CUDA than the driver supports.

    Without a driver nothing is refused: nothing runs either.

    Args:
        path: The library.
        cuda_version: Version of CUDA that it was built with, 1000 * major + 10 * minor.

    Raises:
        KernelError: If the driver is too old.
    """
    driver, major = driver_version(), cuda_version // 1000
    if driver is not None and major > driver[0]:
        built, here = f"{major}.{cuda_version % 1000 // 10}", f"{driver[0]}.{driver[1]}"
        raise KernelError(
            f"{path}: built with CUDA {built}, but the driver supports {here}; put the nvcc of CUDA "
            f"{driver[0]} on the PATH and install trt-mogface again, or install a newer driver"
        )


def check_plugin(path: Path) -> None:
    """Refuse a plugin library that the driver is too old for, see `check_driver`.

    Raises:
        KernelError: If it is, or the file is not such a library.
    """
    try:
        version = int(ctypes.CDLL(str(path)).mogfaceCudaVersion())
    except (OSError, AttributeError) as error:
        raise KernelError(f"{path}: not the plugin of this release ({error})") from error
    check_driver(path, version)


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
