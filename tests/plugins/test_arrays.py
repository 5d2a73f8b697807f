"""Arrays and streams of other libraries, by the protocols they speak."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.device import Address
from tests.support.specs import one_line
from trt_mogface.errors import ArgumentError
from trt_mogface.kernels import Kernels
from trt_mogface.kernels.arrays import array, stream_handle

ON_HOST, ON_CUDA, PINNED, VULKAN, ROCM, MANAGED = 1, 2, 3, 7, 10, 13


class OnDevice:
    """An array of DLPack only; its memory is the host's, whatever it says."""

    def __init__(self, of: NDArray[Any], kind: int = ON_CUDA, number: int = 0) -> None:
        self._of, self._device = of, (kind, number)
        self.streams: list[object] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._device

    def __dlpack__(self, *, stream: object = None) -> object:
        self.streams.append(stream)
        return self._of.__dlpack__()


class Unwilling(OnDevice):
    """An array that raises when it is to be shared."""

    def __init__(self, error: Exception) -> None:
        super().__init__(np.zeros(1))
        self._error = error

    def __dlpack__(self, *, stream: object = None) -> object:
        raise self._error


def refused(source: object, **options: bool) -> str:
    with pytest.raises(ArgumentError) as caught:
        array(source, "it", **options)
    return one_line(caught.value)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.int64, np.float16, np.float32, np.bool_])
def test_both_protocols_say_the_same(dtype: type[np.generic]) -> None:
    values = np.zeros((3, 4, 5), dtype)
    one = array(values, "it", host=True)
    other = array(Address(values), "it", host=True)
    assert one.pointer == other.pointer == values.ctypes.data
    assert one.shape == other.shape == (3, 4, 5)
    assert one.pitch == other.pitch == values.strides[0]
    assert one.dtype == other.dtype == dtype
    assert one.nbytes == other.nbytes == values.nbytes


@pytest.mark.parametrize("first", [0, 1, 2])
def test_both_protocols_say_the_same_of_a_part(first: int) -> None:
    part = np.zeros((9, 4), np.int32)[first:]
    assert array(part, "it", host=True).pointer == part.ctypes.data
    assert array(Address(part), "it", host=True).pointer == part.ctypes.data


@pytest.mark.parametrize("pitched", [False, True])
def test_strides_of_an_interface_are_looked_at(pitched: bool) -> None:
    wide = np.zeros((6, 10), np.float32)
    source = Address(wide)
    source.__cuda_array_interface__ |= {"shape": (6, 4), "strides": (40, 4)}
    if pitched:
        assert array(source, "it", host=True, pitched=True).pitch == 40
    else:
        assert refused(source, host=True).startswith("it: must be contiguous")
    source.__cuda_array_interface__ |= {"strides": (40, 8)}
    assert refused(source, host=True, pitched=pitched).startswith("it: must be contiguous")
    source.__cuda_array_interface__ |= {"shape": (6, 10), "strides": None}
    assert array(source, "it", host=True).pitch == 40


def test_strides_of_single_elements_do_not_matter() -> None:
    source = Address(np.zeros((1, 5, 1), np.float32))
    source.__cuda_array_interface__ |= {"strides": (999, 4, 777)}
    assert array(source, "it", host=True).pitch == 20
    assert array(source, "it", host=True, pitched=True).pitch == 20


def test_an_array_without_elements_may_lie_nowhere() -> None:
    assert array(Address(np.zeros((0, 4)), address=0), "it", host=True).nbytes == 0
    assert array(np.zeros((0, 4)), "it", host=True).shape == (0, 4)


def test_a_scalar_is_an_array_of_no_dimensions() -> None:
    assert array(np.zeros(()), "it", host=True).shape == ()


def test_memory_is_held_as_long_as_the_array() -> None:
    values = np.zeros(7)
    gone = weakref.ref(values)
    taken = array(values, "it", host=True)
    del values
    gc.collect()
    assert gone() is not None
    del taken
    gc.collect()
    assert gone() is None


def test_host_memory_is_refused_where_kernels_run_on_a_gpu() -> None:
    assert refused(np.zeros(3)) == (
        "it: ndarray in host memory, out of a kernel's reach; copy it to the GPU first"
    )
    assert "host memory" in refused(OnDevice(np.zeros(3), ON_HOST))


@pytest.mark.parametrize("kind", [VULKAN, ROCM])
def test_memory_of_other_devices_is_refused(kind: int) -> None:
    for host in (False, True):
        assert refused(OnDevice(np.zeros(3), kind), host=host) == (
            "it: OnDevice in foreign memory, out of a kernel's reach; copy it to the GPU first"
        )


@pytest.mark.parametrize("kind", [ON_CUDA, PINNED, MANAGED])
def test_memory_that_a_gpu_reaches_is_taken(kind: int) -> None:
    values = np.zeros((2, 3), np.float32)
    taken = array(OnDevice(values, kind, 5), "it")
    assert (taken.pointer, taken.device) == (values.ctypes.data, 5)
    assert "foreign memory" in refused(OnDevice(values, kind), host=True)


@pytest.mark.parametrize(("stream", "asked"), [(0, 1), (1, 1), (2, 2), (0x7F001234, 0x7F001234)])
def test_dlpack_gets_the_stream(stream: int, asked: int) -> None:
    source = OnDevice(np.zeros(3))
    array(source, "it", stream=stream)
    assert source.streams == [asked]  # DLPack calls the default stream 1


@pytest.mark.parametrize("error", [BufferError, RuntimeError, TypeError, ValueError])
def test_an_array_that_cannot_be_shared_says_why(error: type[Exception]) -> None:
    assert refused(Unwilling(error("requires grad\nand more"))) == "it: cannot be shared (requires grad)"
    assert refused(Unwilling(error())) == f"it: cannot be shared ({error.__name__})"


@pytest.mark.parametrize("source", [None, "text", 7, 1.5, [1.0], (), {}, b"bytes", object(), np.zeros])
def test_what_speaks_no_protocol_is_refused(source: object) -> None:
    for host in (False, True):
        message = refused(source, host=host)
        assert message == (
            f"it: not a device array but {type(source).__name__}; pass one with __cuda_array_interface__ or "
            "__dlpack__ (torch, CuPy, PyCUDA, Numba)"
        )


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_elements_that_no_kernel_knows_are_refused(dtype: type[np.generic]) -> None:
    assert refused(np.zeros(3, dtype), host=True) == "it: unknown DLPack element type 5"


def test_torch_on_the_host_is_host_memory() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.zeros(3, 4)
    assert refused(tensor).startswith("it: Tensor in host memory")
    assert array(tensor, "it", host=True).pointer == tensor.data_ptr()
    assert refused(tensor.t(), host=True).startswith("it: must be contiguous")
    assert refused(torch.zeros(3, dtype=torch.bfloat16), host=True) == ("it: unknown DLPack element type 4")
    assert refused(torch.zeros(3, requires_grad=True), host=True).startswith("it: cannot be shared")


class Named:
    """A stream that gives its handle under one name."""

    def __init__(self, name: str, value: object) -> None:
        setattr(self, name, value)


class Protocol:
    """A stream of cuda-core."""

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, 77


@pytest.mark.parametrize(
    ("stream", "handle"),
    [
        (None, 0),
        (0, 0),
        (1, 1),
        (2**63, 2**63),
        (Protocol(), 77),
        (Named("__cuda_stream__", (0, 78)), 78),
        (Named("cuda_stream", 79), 79),
        (Named("ptr", 80), 80),
        (Named("handle", 81), 81),
        (Named("handle", np.uint64(82)), 82),
    ],
)
def test_streams_of_all_libraries_have_a_handle(stream: object, handle: int, kernels: Kernels) -> None:
    assert stream_handle(stream) == handle
    images = np.zeros((1, 1, 1, 3), np.uint8)
    with pytest.raises(ArgumentError, match=r"^frames: expected shape"):  # the stream before it was taken
        kernels.letterbox(np.zeros((1, 1), np.uint8), images, stream=stream)


@pytest.mark.parametrize("stream", ["text", b"", 1.0, -1, True, False, object(), [0], {}])
def test_what_is_no_stream_is_refused(stream: object) -> None:
    with pytest.raises(ArgumentError) as caught:
        stream_handle(stream)
    assert one_line(caught.value) == (
        f"stream: not a CUDA stream but {type(stream).__name__}; pass a handle, or a stream of "
        "cuda-core, torch, CuPy or PyCUDA"
    )
