"""`open_backend`: from a model's name, file or address to the backend that runs it."""

from __future__ import annotations

import os
import re
from numbers import Integral
from pathlib import Path

from typing_extensions import Unpack

from trt_mogface.backends.base import Backend
from trt_mogface.backends.cpu import CpuBackend
from trt_mogface.backends.onnxruntime import CPU
from trt_mogface.backends.options import DetectorOptions, check_options
from trt_mogface.backends.triton.address import SCHEMES
from trt_mogface.errors import ArgumentError, ModelError
from trt_mogface.models.cascade import is_cascade_folder
from trt_mogface.models.files import model_path
from trt_mogface.models.manifest import is_cascade_engine, is_engine


def open_backend(
    model: str | Path | Backend,
    *,
    device: int | None = None,
    slots: int = 1,
    **options: Unpack[DetectorOptions],
) -> Backend:
    """Open a model.

    Args:
        model: Contract ONNX file, folder of a cascade or name of a model, for the CPU; TensorRT engine or
            folder of a cascade's engines, for the GPU; address of a model on a Triton server, such as
            ``triton://HOST:8001/NAME``; or an opened backend, which is returned as it is.
        device: Number of the GPU that runs an engine, or an ONNX file with a provider that has GPUs; None for
            the first.
        slots: Number of slots that will run at a time; they share the cores of a CPU.
        **options: See `DetectorOptions`.

    Raises:
        ArgumentError: If an option is unknown, impossible, or not one of this kind of model.
        ModelError: If the model is unknown or unreadable.
        MissingExtraError: If a package is not installed that the model needs.
        ServerError: If a server cannot be reached.
        EngineError, KernelError, CudaError, OutOfMemoryError: If an engine cannot run here.
    """
    check_options(options)
    _check_device(device)
    if not isinstance(model, (str, os.PathLike)):
        if not hasattr(model, "slot"):
            raise ModelError(
                f"model: must be a name, a file or an opened backend, not {type(model).__name__}"
            )
        return model
    name = os.fspath(model)
    if not isinstance(name, str) or not name or "\0" in name:
        raise ModelError(f"model {name!r:.40}: must be a name or a file")
    scheme = re.match(r"([a-z][a-z0-9+.-]*)://", name)
    if scheme and scheme[1] in SCHEMES:
        if device is not None:
            raise ArgumentError("device", f"names a GPU, and {name} is on a server; omit it", device)
        from trt_mogface.backends.triton.backend import TritonBackend

        return TritonBackend(name, options)
    if scheme:
        raise ModelError(f"{name}: unknown scheme {scheme[1]!r}; pass a file or a model name")
    if not is_engine(name):
        for_cpu = list(options.get("providers") or [CPU]) == [CPU]
        if device is not None and for_cpu:
            raise ArgumentError("device", f"names a GPU, and {name} runs on the CPU; omit it", device)
        path = model_path(name, options.get("weights"), options.get("min_face"), for_cpu=for_cpu)
        if is_cascade_folder(path):
            from trt_mogface.backends.cascade import CascadeBackend  # needs Pillow

            return CascadeBackend(path, options, device, slots)
        return CpuBackend(path, options, device, slots)
    for option in ("weights", "min_face", "threads", "providers"):
        value = options.get(option)
        if value is not None:
            raise ArgumentError(option, f"does not apply to {name}, an engine; omit it", value)
    if is_cascade_engine(name):
        from trt_mogface.backends.gpu.cascade import open_cascade_engine

        return open_cascade_engine(Path(name), device or 0, options)
    from trt_mogface.backends.gpu.backend import open_engine

    return open_engine(Path(name), device or 0, options)


def _check_device(device: object) -> None:
    if device is not None and (isinstance(device, bool) or not isinstance(device, Integral) or device < 0):
        raise ArgumentError("device", "must be the number of a GPU", repr(device)[:40])
