"""Arrays and streams of torch, CuPy, PyCUDA, Numba, cuda-core and others with the same protocols."""

from __future__ import annotations

import ctypes as c
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from trt_mogface.errors import ArgumentError, first_line

ON_HOST, ON_CUDA, PINNED, MANAGED = 1, 2, 3, 13
"""DLPack's device types.  Kernels reach pinned and managed memory like device memory."""

LEGACY_STREAM = 1
"""DLPack's number of the default stream."""


@dataclass(frozen=True)
class Array:
    """Memory that a kernel reads or writes.

    Attributes:
        pointer: Address of the first element.
        shape: Number of elements along each dimension.
        pitch: Bytes from one element of the first dimension to the next; each is contiguous.
        dtype: Type of an element.
        device: Number of the CUDA device; None if the array does not tell it.
        owner: Object that keeps the memory alive.
    """

    pointer: int
    shape: tuple[int, ...]
    pitch: int
    dtype: np.dtype[Any]
    device: int | None
    owner: object

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def array(
    source: object,
    name: str,
    *,
    host: bool = False,
    writable: bool = False,
    pitched: bool = False,
    stream: int = 0,
) -> Array:
    """Return an array of another library without a copy.

    The caller must order work that fills the array before ``stream``; arrays of DLPack do it themselves.

    Args:
        source: Array with ``__cuda_array_interface__`` or ``__dlpack__``.
        name: Name of the argument in messages.
        host: Whether the array must lie in host memory, not in device memory; for emulated kernels.
        writable: Whether the array will be written.
        pitched: Whether there may be gaps between the elements of the first dimension.
        stream: Handle of the stream that uses the array.

    Raises:
        ArgumentError: If it has neither protocol, lies in other memory, is not contiguous, or is read-only.
    """
    kind, number = _device(source)
    reachable = (ON_HOST,) if host else (ON_CUDA, PINNED, MANAGED)
    if kind is not None and kind not in reachable:
        where = "host" if kind == ON_HOST else "foreign"
        raise ArgumentError(
            name,
            f"{type(source).__name__} in {where} memory, out of a kernel's reach; copy it to the GPU first",
        )
    if hasattr(source, "__cuda_array_interface__"):
        raw = _of_interface(source, name, writable)
    elif hasattr(source, "__dlpack__"):
        raw = _of_dlpack(source, name, host, stream)
    else:
        raise ArgumentError(
            name,
            f"not a device array but {type(source).__name__}; pass one with __cuda_array_interface__ or "
            "__dlpack__ (torch, CuPy, PyCUDA, Numba)",
        )
    pointer, shape, strides, dtype, owner = raw
    if pointer == 0 and 0 not in shape:
        raise ArgumentError(name, "address must not be null")
    return Array(pointer, shape, _pitch(name, shape, strides, dtype.itemsize, pitched), dtype, number, owner)


def stream_handle(stream: object) -> int:
    """Return the handle of a CUDA stream.

    Args:
        stream: None or 0 for the default stream, a handle, or a stream of cuda-core (``__cuda_stream__``),
            torch (``cuda_stream``), CuPy (``ptr``) or PyCUDA (``handle``).

    Raises:
        ArgumentError: If it is not a CUDA stream.
    """
    if stream is None:
        return 0
    if hasattr(stream, "__cuda_stream__"):
        protocol = stream.__cuda_stream__
        return int((protocol() if callable(protocol) else protocol)[1])
    for attribute in ("cuda_stream", "ptr", "handle"):
        if hasattr(stream, attribute):
            return int(getattr(stream, attribute))
    if isinstance(stream, int) and not isinstance(stream, bool) and stream >= 0:
        return stream
    raise ArgumentError(
        "stream",
        f"not a CUDA stream but {type(stream).__name__}; pass a handle, or a stream of cuda-core, torch, "
        "CuPy or PyCUDA",
    )


_Raw: TypeAlias = tuple[int, tuple[int, ...], tuple[int, ...] | None, "np.dtype[Any]", object]
"""Address, shape, strides in bytes or None, dtype, and owner of the memory."""


def _device(source: object) -> tuple[int | None, int | None]:
    """Return DLPack's type and number of the device, None if the array does not tell them."""
    ask = getattr(source, "__dlpack_device__", None)
    if ask is None:
        return None, None
    kind, number = ask()
    return int(kind), int(number)


def _of_interface(source: Any, name: str, writable: bool) -> _Raw:
    interface = source.__cuda_array_interface__
    pointer, read_only = interface["data"]
    if writable and read_only:
        raise ArgumentError(name, "must not be read-only")
    shape = tuple(int(side) for side in interface["shape"])
    return int(pointer or 0), shape, interface.get("strides"), np.dtype(interface["typestr"]), source


class _Tensor(c.Structure):
    """``DLTensor``, the start of a ``DLManagedTensor``."""

    _fields_ = [
        ("data", c.c_void_p),
        ("device_type", c.c_int32),
        ("device_id", c.c_int32),
        ("ndim", c.c_int32),
        ("code", c.c_uint8),
        ("bits", c.c_uint8),
        ("lanes", c.c_uint16),
        ("shape", c.POINTER(c.c_int64)),
        ("strides", c.POINTER(c.c_int64)),
        ("byte_offset", c.c_uint64),
    ]


_KINDS = {0: "i", 1: "u", 2: "f", 6: "b"}
"""DLPack's type codes in numpy's letters."""

_pointer_of = c.PYFUNCTYPE(c.c_void_p, c.py_object, c.c_char_p)(("PyCapsule_GetPointer", c.pythonapi))


def _of_dlpack(source: Any, name: str, host: bool, stream: int) -> _Raw:
    try:
        capsule = source.__dlpack__() if host else source.__dlpack__(stream=stream or LEGACY_STREAM)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise ArgumentError(name, f"cannot be shared ({first_line(error)})") from error
    tensor = _Tensor.from_address(_pointer_of(capsule, b"dltensor"))
    kind = _KINDS.get(tensor.code)
    if kind is None or tensor.lanes != 1:
        raise ArgumentError(name, f"unknown DLPack element type {tensor.code}")
    dtype = np.dtype(f"{kind}{tensor.bits // 8}")
    dimensions = range(tensor.ndim)
    shape = tuple(tensor.shape[i] for i in dimensions)
    strides = tuple(tensor.strides[i] * dtype.itemsize for i in dimensions) if tensor.strides else None
    # The capsule is not consumed: it releases the memory together with the array.
    return (tensor.data or 0) + tensor.byte_offset, shape, strides, dtype, capsule


def _pitch(
    name: str, shape: tuple[int, ...], strides: tuple[int, ...] | None, itemsize: int, pitched: bool
) -> int:
    """Check all strides that matter; return the bytes between elements of the first dimension."""
    dense = [itemsize]
    for side in reversed(shape[1:]):
        dense.insert(0, dense[0] * side)
    if strides is None or 0 in shape:
        return dense[0]
    checked = list(zip(shape, strides, dense))[1 if pitched else 0 :]
    if any(side != 1 and stride != wanted for side, stride, wanted in checked):
        raise ArgumentError(name, "must be contiguous; use ascontiguousarray or .contiguous()")
    return strides[0] if pitched and shape[0] > 1 else dense[0]
