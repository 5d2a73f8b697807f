"""The CUDA layer on a GPU, by every library that provides it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from trt_mogface.cuda import Cuda, open_cuda
from trt_mogface.errors import CudaError, MissingExtraError, OutOfMemoryError

pytestmark = pytest.mark.gpu

NBYTES = 1 << 20


@pytest.fixture(scope="module", params=["cuda-python", "pycuda"])
def cuda(request: pytest.FixtureRequest) -> Cuda:
    try:
        opened = open_cuda(0, request.param)
    except MissingExtraError as error:
        pytest.skip(str(error))
    except CudaError as error:
        pytest.skip(f"no NVIDIA GPU: {error}")
    return opened


@pytest.fixture(autouse=True)
def current(cuda: Cuda) -> Iterator[None]:
    with cuda.current():
        yield


def test_bytes_come_back_as_they_went(cuda: Cuda) -> None:
    stream, event = cuda.stream(), cuda.event()
    there, device, back = cuda.pin(NBYTES), cuda.allocate(NBYTES), cuda.pin(NBYTES)
    there.array[:] = np.random.default_rng(0).integers(0, 256, NBYTES, np.uint8)
    back.array[:] = 0
    cuda.copy_in(device, there, NBYTES, stream)
    cuda.copy_out(back, device, NBYTES, stream)
    cuda.record(event, stream)
    cuda.wait(event)
    np.testing.assert_array_equal(there.array, back.array)
    for resource in (there, device, back, event, stream):
        resource.close()
        resource.close()
        assert resource.closed


def test_mapped_memory_has_an_address_on_the_device(cuda: Cuda) -> None:
    memory = cuda.pin(NBYTES, mapped=True)
    assert memory.device_pointer
    memory.close()


def test_page_locked_memory_of_a_caller_is_known_and_copied(cuda: Cuda) -> None:
    memory, back, device = cuda.pin(NBYTES), cuda.pin(NBYTES), cuda.allocate(NBYTES)
    array = memory.array[4096:8192].reshape(64, 64)
    address = cuda.device_address(memory.array)
    assert address is not None
    assert cuda.device_address(array) == address + 4096
    assert cuda.device_address(np.zeros(4096, np.uint8)) is None
    stream = cuda.stream()
    array[:] = 5
    cuda.copy_array(device.handle + 256, array, stream)
    cuda.copy_out(back, device, NBYTES, stream)
    cuda.synchronize(stream)
    assert (back.array[256 : 256 + array.nbytes] == 5).all()
    for resource in (memory, back, device, stream):
        resource.close()


def test_a_graph_does_its_work_again_at_every_launch(cuda: Cuda) -> None:
    stream = cuda.stream()
    there, device, back = cuda.pin(NBYTES), cuda.allocate(NBYTES), cuda.pin(NBYTES)
    try:
        cuda.begin_capture(stream)
    except CudaError as error:
        pytest.skip(str(error))
    cuda.copy_in(device, there, NBYTES, stream)
    cuda.copy_out(back, device, NBYTES, stream)
    graph = cuda.end_capture(stream)
    for value in (1, 2, 3):
        there.array[:] = value
        cuda.launch(graph, stream)
        cuda.synchronize(stream)
        assert (back.array == value).all()
    for resource in (graph, there, device, back, stream):
        resource.close()


def test_events_tell_the_time_between_them(cuda: Cuda) -> None:
    stream, begin, end = cuda.stream(), cuda.event(timed=True), cuda.event(timed=True)
    there, device = cuda.pin(64 * NBYTES), cuda.allocate(64 * NBYTES)
    cuda.record(begin, stream)
    cuda.copy_in(device, there, there.nbytes, stream)
    cuda.record(end, stream)
    cuda.wait(end)
    assert 0.1 < cuda.elapsed(begin, end) < 1000
    for resource in (begin, end, there, device, stream):
        resource.close()


def test_a_stream_waits_for_another(cuda: Cuda) -> None:
    one, other = cuda.stream(), cuda.stream()
    there, device, back = cuda.pin(64 * NBYTES), cuda.allocate(64 * NBYTES), cuda.pin(64 * NBYTES)
    there.array[:] = 7
    cuda.copy_in(device, there, there.nbytes, one)
    cuda.wait_stream(other, one.handle)
    cuda.copy_out(back, device, there.nbytes, other)
    cuda.synchronize(other)
    assert (back.array == 7).all()
    for resource in (one, other, there, device, back):
        resource.close()


def test_memory_that_is_closed_is_free_again(cuda: Cuda) -> None:
    cuda.allocate(NBYTES).close()
    before = cuda.free_memory()
    for _ in range(20):
        cuda.allocate(256 * NBYTES).close()
    assert cuda.free_memory() == before


def test_too_much_memory_is_one_line(cuda: Cuda) -> None:
    with pytest.raises(OutOfMemoryError, match=r"requested .* MB, .* MB free"):
        cuda.allocate(2 * cuda.device.memory)
    cuda.allocate(NBYTES).close()  # and nothing is lost


def test_other_threads_may_use_it(cuda: Cuda) -> None:
    failures: list[Exception] = []

    def work() -> None:
        try:
            with cuda.current():
                stream, memory = cuda.stream(), cuda.allocate(NBYTES)
                cuda.synchronize(stream)
            memory.close()
            stream.close()
        except CudaError as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
