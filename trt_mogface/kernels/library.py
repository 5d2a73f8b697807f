"""The shared library of the CUDA kernels: where it lies, and how its answers become exceptions."""

from __future__ import annotations

import ctypes
import os
from importlib import resources
from pathlib import Path

from trt_mogface.errors import CudaError, KernelError
from trt_mogface.kernels.interface import INTERFACE, declare

NAME, VARIABLE = "libtrt_mogface_kernels.so", "TRT_MOGFACE_KERNELS"
PLUGIN_NAME, PLUGIN_VARIABLE = "libtrt_mogface_plugin.so", "TRT_MOGFACE_PLUGIN"
"""Files, and the environment variables that name others than those that come with the package."""


class Library:
    """A loaded library.

    Args:
        path: The file; None takes `find_library`'s.

    Raises:
        KernelError: None is there, or it is not one, or of another release.
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
                f"{self.path}: has interface {interface}, this release needs {INTERFACE}: install it again"
            )
        self.runs_on_host = bool(self._functions.mogfaceRunsOnHost())

    def call(self, name: str, *arguments: object) -> None:
        """Call a function that returns a CUDA error.

        Raises:
            KernelError: It refused an argument, and launched nothing.
            CudaError: CUDA reported an error.
        """
        status = getattr(self._functions, name)(*arguments)
        if not status:
            return
        what = name.removeprefix("mogface").lower()
        problem = self._functions.mogfaceProblem().decode()
        if problem:
            raise KernelError(f"{what}: {problem}")
        error = self._functions.mogfaceErrorName(status).decode()
        text = self._functions.mogfaceErrorText(status).decode()
        raise CudaError(f"{what}: CUDA error {status} ({error}): {text}")


def find_library() -> Path:
    """The kernels' library that comes with the package, or the one that ``TRT_MOGFACE_KERNELS`` names.

    Raises:
        KernelError: The package was installed without it.
    """
    return _find(
        NAME,
        VARIABLE,
        "the CUDA kernels are not part of this installation, nvcc was not found when it was made: "
        "install the CUDA toolkit, put nvcc on the PATH and install trt-mogface again",
    )


def find_plugin() -> Path:
    """The library of the TensorRT plugin ``MogFaceDetect``, or the one that ``TRT_MOGFACE_PLUGIN`` names.

    Raises:
        KernelError: The package was installed without it.
    """
    return _find(
        PLUGIN_NAME,
        PLUGIN_VARIABLE,
        "the TensorRT plugin is not part of this installation, nvcc or TensorRT's C++ headers were not found "
        "when it was made: set TensorRT_ROOT to the folder with its include/ and install trt-mogface again",
    )


def _find(name: str, variable: str, missing: str) -> Path:
    named = os.environ.get(variable)
    if named:
        if not Path(named).is_file():
            raise KernelError(f"{variable}={named}: no such file")
        return Path(named)
    try:
        path = Path(str(resources.files("trt_mogface.native") / name))
    except ModuleNotFoundError:
        raise KernelError(missing) from None
    if not path.is_file():
        raise KernelError(missing)
    return path
