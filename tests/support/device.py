"""Host memory in the place of device memory, for kernels that run on the host."""

from __future__ import annotations

import ctypes
import math
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from trt_mogface.kernels import Candidates, Faces

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Bytes = NDArray[np.uint8]
Scalar = TypeVar("Scalar", bound=np.generic)

ALIGNMENT = 256
"""What cudaMalloc gives."""

UNWRITTEN = -7
"""What arrays of integers are full of at first; arrays of floats are full of NaN."""

GARBAGE_BYTE = 0xA5

_libc = ctypes.CDLL(None)
_libc.posix_memalign.argtypes = (ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t, ctypes.c_size_t)
_libc.free.argtypes = (ctypes.c_void_p,)


def memory(nbytes: int, *, offset: int = 0) -> Bytes:
    """Bytes full of garbage, ``offset`` bytes beyond an aligned address.

    They end where the allocation does, so that AddressSanitizer sees the first byte beyond.
    """
    address = ctypes.c_void_p()
    assert _libc.posix_memalign(ctypes.byref(address), ALIGNMENT, offset + nbytes) == 0
    buffer = (ctypes.c_uint8 * (offset + nbytes)).from_address(address.value or 0)
    weakref.finalize(buffer, _libc.free, address.value)
    made: Bytes = np.frombuffer(memoryview(buffer).cast("B"), np.uint8)[offset:]
    made.fill(GARBAGE_BYTE)
    return made


def filled(shape: tuple[int, ...], dtype: type[Scalar], value: object, *, offset: int = 0) -> NDArray[Scalar]:
    """An array full of one value, ``offset`` bytes beyond an aligned address."""
    if 0 in shape:
        return np.empty(shape, dtype)
    whole = memory(math.prod(shape) * np.dtype(dtype).itemsize, offset=offset)
    made = whole.view(dtype).reshape(shape)
    made.fill(value)
    return made


def floats(*shape: int) -> Floats:
    """Floats to be written."""
    return filled(shape, np.float32, np.nan)


def ints(*shape: int) -> Ints:
    """Integers to be written."""
    return filled(shape, np.int32, UNWRITTEN)


def copied(array: NDArray[Scalar], *, offset: int = 0) -> NDArray[Scalar]:
    """The same values in memory that ends with them."""
    made = filled(array.shape, array.dtype.type, 0, offset=offset)
    made[...] = array
    return made


def is_unwritten(array: NDArray[Any]) -> bool:
    """Whether every element of an array made here is as it was."""
    if array.dtype == np.uint8:
        return bool((array == GARBAGE_BYTE).all())
    return bool((np.isnan(array) if array.dtype.kind == "f" else array == UNWRITTEN).all())


def same_bits(one: Floats, other: Floats) -> bool:
    """Whether floats are equal to the last bit, the sign of zero included."""
    return np.array_equal(
        np.ascontiguousarray(one, np.float32).view(np.uint32),
        np.ascontiguousarray(other, np.float32).view(np.uint32),
    )


@dataclass(frozen=True)
class HostCandidates(Candidates):
    """`Candidates` whose arrays tests can read."""

    counts: Ints
    dropped: Ints
    anchors: Ints
    boxes: Floats
    scores: Floats
    landmarks: Floats | None = None


@dataclass(frozen=True)
class HostFaces(Faces):
    """`Faces` whose arrays tests can read."""

    counts: Ints
    boxes: Floats
    scores: Floats
    landmarks: Floats | None
    dropped: Ints


class Address:
    """An array that says where it lies, in the way of GPU libraries."""

    def __init__(self, of: NDArray[Any], *, address: int | None = None, read_only: bool = False) -> None:
        self._keeps = of
        self.__cuda_array_interface__ = {
            "shape": of.shape,
            "typestr": of.dtype.str,
            "data": (of.ctypes.data if address is None else address, read_only),
            "version": 3,
        }


def candidates(batch: int, top_k: int, points: int = 0) -> HostCandidates:
    """Candidates to be written."""
    return HostCandidates(
        counts=ints(batch),
        dropped=ints(batch),
        anchors=ints(batch, top_k),
        boxes=floats(batch, top_k, 4),
        scores=floats(batch, top_k),
        landmarks=floats(batch, top_k, points, 2) if points else None,
    )


def faces(batch: int, most: int, points: int = 0) -> HostFaces:
    """Faces to be written."""
    return HostFaces(
        counts=ints(batch),
        boxes=floats(batch, most, 4),
        scores=floats(batch, most),
        landmarks=floats(batch, most, points, 2) if points else None,
        dropped=ints(batch),
    )


def arrays(results: HostCandidates | HostFaces) -> list[NDArray[Any]]:
    """The arrays of candidates or faces."""
    return [array for array in vars(results).values() if array is not None]


LAUNCH_VARIABLE = "TRT_MOGFACE_LAUNCH"

LAUNCH_KINDS = ("plain", "dependent")
"""Values of the variable; the first is the default."""


@contextmanager
def launching(kind: str) -> Iterator[None]:
    """Set `LAUNCH_VARIABLE` for the calls of a block of code."""
    before = os.environ.get(LAUNCH_VARIABLE)
    os.environ[LAUNCH_VARIABLE] = kind
    try:
        yield
    finally:
        del os.environ[LAUNCH_VARIABLE]
        if before is not None:
            os.environ[LAUNCH_VARIABLE] = before


def launches(library: Path) -> tuple[int, int]:
    """Return the number of plain launches and of dependent ones that the emulation has run."""
    count = ctypes.CDLL(str(library)).emulationLaunches
    return count(0), count(1)


def become_gpu(library: Path, *, capability: int = 90, driver: int = 13000) -> None:
    """Make the emulation a GPU of a compute capability, times ten, with a version of the driver."""
    ctypes.CDLL(str(library)).emulationDevice(capability, driver)


def reseed(library: Path, seed: int) -> None:
    """Fix the order in which the emulation runs the blocks and threads of the launches that follow."""
    ctypes.CDLL(str(library)).emulationSeed(ctypes.c_uint(seed))
