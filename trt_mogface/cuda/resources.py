"""CUDA resources: memory, streams, events, graphs.  Each is freed once, when closed or garbage collected."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Resource:
    """A handle and the function that frees it.

    Args:
        handle: CUDA's handle or address, as an integer.
        release: Called once with the handle; not at exit of the interpreter, when the driver is gone already.
    """

    native: Any = None
    """What the providing library keeps with it."""

    def __init__(self, handle: int, release: Callable[[int], None]) -> None:
        self.handle = handle
        self._release = weakref.finalize(self, release, handle)
        self._release.atexit = False

    def close(self) -> None:
        """Free the resource; closing twice is harmless."""
        self._release()

    @property
    def closed(self) -> bool:
        """Whether the resource was freed."""
        return not self._release.alive


class Stream(Resource):
    """A queue of work, run in order."""

    def __cuda_stream__(self) -> tuple[int, int]:
        """Return the version of the protocol and the handle."""
        return 0, self.handle


class Event(Resource):
    """A point in the work of a stream."""


class Graph(Resource):
    """Captured work, ready to launch."""


@dataclass(frozen=True)
class DeviceArray:
    """Part of device memory as a contiguous array with ``__cuda_array_interface__``."""

    pointer: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    owner: object

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Description of the array, version 3 of the protocol."""
        return {"shape": self.shape, "typestr": self.dtype.str, "data": (self.pointer, False), "version": 3}

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


class DeviceMemory(Resource):
    """Device memory; ``handle`` is its address."""

    def __init__(self, handle: int, nbytes: int, release: Callable[[int], None]) -> None:
        super().__init__(handle, release)
        self.nbytes = nbytes

    def view(self, offset: int, shape: tuple[int, ...], dtype: Any) -> DeviceArray:
        """Return a part as an array, from an offset in bytes."""
        return DeviceArray(self.handle + offset, shape, np.dtype(dtype), self)


class PinnedMemory(Resource):
    """Page-locked host memory; ``handle`` is its address.

    Args:
        device_pointer: Device address of mapped memory, else None.
    """

    def __init__(
        self, handle: int, nbytes: int, release: Callable[[int], None], device_pointer: int | None = None
    ) -> None:
        super().__init__(handle, release)
        self.nbytes, self.device_pointer = nbytes, device_pointer

    @property
    def array(self) -> NDArray[np.uint8]:
        """All bytes, as an array that keeps the memory alive."""
        raw = (ctypes.c_uint8 * self.nbytes).from_address(self.handle)
        raw._owner = self  # type: ignore[attr-defined]
        array: NDArray[np.uint8] = np.ctypeslib.as_array(raw)
        return array
