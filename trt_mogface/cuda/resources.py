"""What CUDA hands out: memory, streams, events, graphs.  Each frees itself once, when closed or forgotten."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Resource:
    """A handle, and what frees it.

    Args:
        handle: CUDA's, as an integer.
        release: Called once with the handle; never when the interpreter ends, as the driver goes first then.
    """

    native: Any = None
    """The providing library's own object, where it has one."""

    def __init__(self, handle: int, release: Callable[[int], None]) -> None:
        self.handle = handle
        self._release = weakref.finalize(self, release, handle)
        self._release.atexit = False

    def close(self) -> None:
        """Free it; closing twice is harmless."""
        self._release()

    @property
    def closed(self) -> bool:
        """Whether it was freed."""
        return not self._release.alive


class Stream(Resource):
    """Work in order."""

    def __cuda_stream__(self) -> tuple[int, int]:
        """Protocol version and handle."""
        return 0, self.handle


class Event(Resource):
    """A point in a stream."""


class Graph(Resource):
    """Captured work, ready to be launched."""


@dataclass(frozen=True)
class DeviceArray:
    """A part of device memory as an array, for whoever speaks ``__cuda_array_interface__``."""

    pointer: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    owner: object

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Version 3 of the protocol."""
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.pointer, False),
            "version": 3,
        }

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


class DeviceMemory(Resource):
    """Memory of the GPU; ``handle`` is its address."""

    def __init__(self, handle: int, nbytes: int, release: Callable[[int], None]) -> None:
        super().__init__(handle, release)
        self.nbytes = nbytes

    def view(self, offset: int, shape: tuple[int, ...], dtype: Any) -> DeviceArray:
        """A part of it as an array; ``offset`` in bytes."""
        return DeviceArray(self.handle + offset, shape, np.dtype(dtype), self)


class PinnedMemory(Resource):
    """Host memory that the GPU copies from and to by itself; ``handle`` is its address.

    Args:
        device_pointer: Where the GPU sees it, if it is mapped.
    """

    def __init__(
        self, handle: int, nbytes: int, release: Callable[[int], None], device_pointer: int | None = None
    ) -> None:
        super().__init__(handle, release)
        self.nbytes, self.device_pointer = nbytes, device_pointer

    @property
    def array(self) -> NDArray[np.uint8]:
        """All of it; keeps it alive."""
        raw = (ctypes.c_uint8 * self.nbytes).from_address(self.handle)
        raw._owner = self  # type: ignore[attr-defined]
        array: NDArray[np.uint8] = np.ctypeslib.as_array(raw)
        return array
