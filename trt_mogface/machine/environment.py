"""Installed pieces of this environment, and the use of each."""

from __future__ import annotations

import importlib
import importlib.metadata
import io
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, suppress
from typing import NamedTuple

from trt_mogface._onnxruntime import without_telemetry
from trt_mogface._optional import import_failure
from trt_mogface.errors import MogFaceError
from trt_mogface.machine.tensorrt import MODULES, find_tensorrt


class Piece(NamedTuple):
    """A package, library or device that may be present.

    Attributes:
        found: Version or location; empty if missing.
        brings: Use of the piece.
        missing: Command that installs it, or the reason it is unusable; empty if present.
    """

    name: str
    found: str
    brings: str
    missing: str = ""


PACKAGES = {
    "numpy": ("numpy", "arrays", "pip install numpy"),
    "onnxruntime": ("onnxruntime", "runs models on the CPU", "pip install onnxruntime"),
    "opencv-python": ("cv2", "reads images and videos", "pip install opencv-python"),
    "pillow": ("PIL.Image", "reads headers of images, and some formats", "pip install pillow"),
    "pillow-heif": ("pillow_heif", "reads HEIC photos", "pip install 'trt-mogface[heif]'"),
    "av": ("av", "reads videos of all kinds", "pip install av"),
    "PyNvVideoCodec": ("PyNvVideoCodec", "decodes videos on the GPU", "pip install PyNvVideoCodec"),
    "onnx": ("onnx", "exports, and builds engines", "pip install 'trt-mogface[engines]'"),
    # Not imported: torch takes seconds, and matplotlib makes folders in the user's home.
    "torch": ("", "exports MogFace", "pip install 'trt-mogface[build]'"),
    "matplotlib": ("", "plots in reports", "pip install 'trt-mogface[reports]'"),
    "jinja2": ("jinja2", "reports as pages", "pip install 'trt-mogface[reports]'"),
    "nvidia-ml-py": ("pynvml", "power and clocks in benchmarks", "pip install 'trt-mogface[bench]'"),
    "prometheus-client": ("prometheus_client", "counters of a runner", "pip install 'trt-mogface[metrics]'"),
}
"""Module of each Python package, its use, and the command that installs it."""


def pieces() -> Iterator[Piece]:
    """Yield the GPU and everything that inference, engines and image files need."""
    yield from _gpu()
    yield _package("pycuda", "pycuda", "reaches the GPU in programs that use PyCUDA", "pip install pycuda")
    for flavor in MODULES:
        yield _probed(flavor, "builds and runs engines", lambda name=flavor: find_tensorrt(name).version)  # type: ignore[misc]
    yield _probed("CUDA kernels", "frames to faces on the GPU", _kernels)
    yield _probed("TensorRT plugin", "engines that end in faces", _plugin)
    without_telemetry()
    for name, (module, brings, command) in PACKAGES.items():
        yield _package(name, module, brings, command)


def _gpu() -> Iterator[Piece]:
    uses = "runs engines and CUDA kernels"
    try:
        from trt_mogface.machine.gpu import find_gpu

        gpu = find_gpu()
    except Exception as error:
        failure = import_failure(error)
        if failure is None:
            raise
        yield Piece("GPU", "", uses, str(failure))
        return
    found = "" if gpu is None else f"{gpu.name}, compute capability {'.'.join(map(str, gpu.capability))}"
    yield Piece("GPU", found, uses, "" if gpu else "no NVIDIA GPU with a driver found")
    yield Piece("CUDA of the driver", gpu.driver if gpu else "", "", "" if gpu else "comes with the driver")
    yield _bindings()


def _package(name: str, module: str, brings: str, command: str) -> Piece:
    """Return a package with its version, or why it is missing or cannot be loaded."""
    name, version = _installed(name)
    if not module:
        return Piece(name, version, brings, "" if version else command)
    try:
        with redirect_stderr(io.StringIO()):  # native code prints there too
            loaded = importlib.import_module(module)
    except Exception as error:
        absent, failure = isinstance(error, ModuleNotFoundError) and not version, import_failure(error)
        if failure is None:
            raise
        return Piece(name, "", brings, command if absent else str(failure))
    return Piece(name, version or str(getattr(loaded, "__version__", "of unknown version")), brings)


def _installed(name: str) -> tuple[str, str]:
    """Return the name and version of a package or its headless build; no version if neither is installed."""
    for each in (name, f"{name}-headless"):
        with suppress(importlib.metadata.PackageNotFoundError):
            return each, importlib.metadata.version(each)
    return name, ""


def _bindings() -> Piece:
    """Return cuda-bindings, which are missing too where they need a newer driver."""
    from trt_mogface.cuda.driver import bindings_extra, driver_version

    command, driver = f"pip install 'trt-mogface[{bindings_extra()}]'", driver_version()
    piece = _package("cuda-bindings", "cuda.bindings", "reaches the GPU", command)
    major = piece.found.split(".")[0]
    if piece.missing or driver is None or int(major) <= driver[0]:
        return piece
    needs = f"{piece.found} needs a driver for CUDA {major}, this one is for {driver[0]}.{driver[1]}"
    return piece._replace(found="", missing=f"{needs}; {command}")


def _kernels() -> str:
    from trt_mogface.kernels.library import Library

    return str(Library().path)


def _plugin() -> str:
    from trt_mogface.kernels.library import check_plugin, find_plugin

    path = find_plugin()
    check_plugin(path)
    return str(path)


def _probed(name: str, brings: str, probe: Callable[[], str]) -> Piece:
    try:
        return Piece(name, probe(), brings)
    except Exception as error:
        failure = error if isinstance(error, MogFaceError) else import_failure(error)
        if failure is None:
            raise
        return Piece(name, "", brings, str(failure))
