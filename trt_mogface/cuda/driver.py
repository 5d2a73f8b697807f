"""The CUDA driver of this machine, asked directly, so that no Python package is needed."""

from __future__ import annotations

import ctypes
from functools import cache

COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR = 75, 76
"""Attributes of a device in ``cuda.h``."""

MEMORY_TYPE, IS_MANAGED, DEVICE_ORDINAL = 2, 8, 9
"""Attributes of an address in ``cuda.h``."""

ON_DEVICE = 2
"""Type of memory on a device."""

OLDEST_BINDINGS = 12
NEWEST_BINDINGS = 13
"""Major versions of CUDA with an extra of their own, ``cuda12`` and ``cuda13``."""


def driver_version() -> tuple[int, int] | None:
    """Return the newest CUDA version that the driver supports; None without a driver."""
    library, version = _library(), ctypes.c_int()
    if library is None or library.cuDriverGetVersion(ctypes.byref(version)):
        return None
    return version.value // 1000, version.value % 1000 // 10


def find_device(number: int) -> tuple[str, tuple[int, int]] | None:
    """Return the name and compute capability of a GPU; None without a driver or such a GPU."""
    library, name, get = _library(), ctypes.create_string_buffer(128), ctypes.byref
    handle, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    failed = (
        library is None
        or library.cuInit(0)
        or library.cuDeviceGet(get(handle), number)
        or library.cuDeviceGetName(name, len(name), handle)
        or library.cuDeviceGetAttribute(get(major), COMPUTE_CAPABILITY_MAJOR, handle)
        or library.cuDeviceGetAttribute(get(minor), COMPUTE_CAPABILITY_MINOR, handle)
    )
    return None if failed else (name.value.decode(errors="replace"), (major.value, minor.value))


def memory_device(address: int) -> int | None:
    """Return the number of the GPU that an address belongs to.

    Returns:
        None for memory of the host, managed memory and memory that the driver does not know.
    """
    library, values = _library(), []
    for attribute in (MEMORY_TYPE, IS_MANAGED, DEVICE_ORDINAL):
        value, where = ctypes.c_int(), ctypes.c_uint64(address)
        if library is None or library.cuPointerGetAttribute(ctypes.byref(value), attribute, where):
            return None
        values.append(value.value)
    kind, is_managed, number = values
    return number if kind == ON_DEVICE and not is_managed and number >= 0 else None


def foreign_device(stream: int) -> int | None:
    """Return the number of the GPU of a stream that is not of the current context.

    Args:
        stream: Handle of the stream.

    Returns:
        None for a stream of the current context and for default streams.
    """
    library, get = _library(), ctypes.byref
    here, there, number = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_int()
    if (
        library is None
        or library.cuCtxGetCurrent(get(here))
        or library.cuStreamGetCtx(ctypes.c_void_p(stream), get(there))
        or here.value == there.value
        or library.cuCtxPushCurrent_v2(there)
    ):
        return None
    failed = library.cuCtxGetDevice(get(number))
    library.cuCtxPopCurrent_v2(get(there))
    return None if failed else number.value


def bindings_extra() -> str:
    """Return the extra with the cuda-bindings that fit the driver; without a driver, the newest."""
    major, _ = driver_version() or (NEWEST_BINDINGS, 0)
    return f"cuda{min(max(major, OLDEST_BINDINGS), NEWEST_BINDINGS)}"


@cache
def _library() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
