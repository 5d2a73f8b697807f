"""The CUDA driver of this machine, asked directly, so that no Python package is needed."""

from __future__ import annotations

import ctypes

COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR = 75, 76
"""Attributes of a device in ``cuda.h``."""

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


def bindings_extra() -> str:
    """Return the extra with the cuda-bindings that fit the driver; without a driver, the newest."""
    major, _ = driver_version() or (NEWEST_BINDINGS, 0)
    return f"cuda{min(max(major, OLDEST_BINDINGS), NEWEST_BINDINGS)}"


def _library() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
