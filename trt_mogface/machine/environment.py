"""Installed pieces of this environment, and the use of each."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

from trt_mogface.cuda.driver import bindings_extra, driver_version
from trt_mogface.errors import MogFaceError
from trt_mogface.kernels.library import Library, check_plugin, find_plugin
from trt_mogface.machine.gpu import find_gpu
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


def pieces() -> Iterator[Piece]:
    """Yield the GPU and everything that inference, engines and image files need."""
    gpu = find_gpu()
    yield Piece(
        "GPU",
        "" if gpu is None else f"{gpu.name}, compute capability {'.'.join(map(str, gpu.capability))}",
        "runs engines and CUDA kernels",
        "" if gpu else "no NVIDIA GPU with a driver found",
    )
    yield Piece("CUDA of the driver", gpu.driver if gpu else "", "", "" if gpu else "comes with the driver")
    yield _bindings()
    yield _package("pycuda", "reaches the GPU in programs that use PyCUDA", "pip install pycuda")
    for flavor in MODULES:
        yield _probed(flavor, "builds and runs engines", lambda name=flavor: find_tensorrt(name).version)  # type: ignore[misc]
    yield _probed("CUDA kernels", "frames to faces on the GPU", lambda: str(Library().path))
    yield _probed("TensorRT plugin", "engines that end in faces", _plugin)
    yield _package("onnxruntime", "runs models on the CPU", "pip install onnxruntime")
    yield _package(
        "opencv-python", "reads images and videos", "pip install opencv-python", "opencv-python-headless"
    )
    yield _package("pillow-heif", "reads HEIC photos", "pip install 'trt-mogface[heif]'")
    yield _package("av", "reads videos of all kinds", "pip install av")
    yield _package("PyNvVideoCodec", "decodes videos on the GPU", "pip install PyNvVideoCodec")
    yield _package("onnx", "exports, and builds engines", "pip install 'trt-mogface[engines]'")
    yield _package("torch", "exports MogFace", "pip install 'trt-mogface[build]'")
    yield _package("matplotlib", "plots in reports", "pip install 'trt-mogface[reports]'")
    yield _package("jinja2", "reports as pages", "pip install 'trt-mogface[reports]'")
    yield _package("nvidia-ml-py", "power and clocks in benchmarks", "pip install 'trt-mogface[bench]'")
    yield _package("prometheus-client", "counters for Prometheus", "pip install 'trt-mogface[metrics]'")


def _package(name: str, brings: str, command: str, other: str = "") -> Piece:
    for each in filter(None, (name, other)):
        with suppress(importlib.metadata.PackageNotFoundError):
            return Piece(each, importlib.metadata.version(each), brings)
    return Piece(name, "", brings, command)


def _bindings() -> Piece:
    """Return cuda-bindings, which are missing too where they need a newer driver."""
    command, driver = f"pip install 'trt-mogface[{bindings_extra()}]'", driver_version()
    piece = _package("cuda-bindings", "reaches the GPU", command)
    major = piece.found.split(".")[0]
    if piece.missing or driver is None or int(major) <= driver[0]:
        return piece
    needs = f"{piece.found} needs a driver for CUDA {major}, this one is for {driver[0]}.{driver[1]}"
    return piece._replace(found="", missing=f"{needs}; {command}")


def _plugin() -> str:
    path = find_plugin()
    check_plugin(path)
    return str(path)


def _probed(name: str, brings: str, probe: Callable[[], str]) -> Piece:
    try:
        return Piece(name, probe(), brings)
    except MogFaceError as error:
        return Piece(name, "", brings, str(error))
