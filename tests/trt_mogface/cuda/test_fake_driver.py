"""The driver that the tests of the real packages run on: it must notice what CUDA would not forgive."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.support.real_cuda import Program, run

PREAMBLE = """
    import ctypes
    import threading

    cuda = ctypes.CDLL("libcuda.so.1")
    Handle, Size = ctypes.c_void_p, ctypes.c_size_t
    SUCCESS, INVALID_VALUE, OUT_OF_MEMORY, INVALID_CONTEXT, INVALID_HANDLE = 0, 1, 2, 201, 400
    ILLEGAL_STATE, NOT_READY, ILLEGAL_ADDRESS, NOT_SUPPORTED = 401, 600, 700, 801
    UNSUPPORTED, INVALIDATED, ISOLATION, IMPLICIT, CAPTURED_EVENT, WRONG_THREAD = 900, 901, 905, 906, 907, 908
    GLOBAL, THREAD_LOCAL, RELAXED = range(3)
    BLOCKING, NON_BLOCKING = 0, 1

    def get(function, *arguments, kind=Handle):
        made = kind()
        error = getattr(cuda, function)(ctypes.byref(made), *arguments)
        assert error == SUCCESS, (function, error)
        return made

    def call(function, *arguments, error=SUCCESS):
        found = getattr(cuda, function)(*arguments)
        assert found == error, f"{function}: {found}, not {error}"

    def pinned(nbytes=1000):
        made = get("cuMemHostAlloc", Size(nbytes), 0)
        return made, (ctypes.c_uint8 * nbytes).from_address(made.value)

    def device(nbytes=1000):
        return get("cuMemAlloc_v2", Size(nbytes))

    def stream(flags=NON_BLOCKING):
        return get("cuStreamCreate", flags)

    def copy_in(target, source, stream, nbytes=1000, error=SUCCESS):
        call("cuMemcpyHtoDAsync_v2", target, source, Size(nbytes), stream, error=error)

    def copy_out(target, source, stream, nbytes=1000, error=SUCCESS):
        call("cuMemcpyDtoHAsync_v2", target, source, Size(nbytes), stream, error=error)

    def in_thread(work):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    call("cuInit", 0)
    contexts = [get("cuDevicePrimaryCtxRetain", number) for number in range(2)]
    call("cuCtxPushCurrent_v2", contexts[0])
"""

SANITIZERS = ("none", "address", "thread")


def program(folder: Path, source: str, sanitizer: str = "none", **settings: Any) -> Program:
    whole = textwrap.dedent(PREAMBLE) + textwrap.dedent(source)
    return run(None, whole, folder, sanitizer=sanitizer, **settings)


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_work_is_done_when_the_host_waits_and_not_before(tmp_path: Path, sanitizer: str) -> None:
    source = """
        (there, values), (back, found), memory, queue = pinned(), pinned(), device(), stream()
        event, begin = get("cuEventCreate", 2), get("cuEventCreate", 0)
        values[:] = bytes(i % 251 for i in range(1000))
        copy_in(memory, there, queue)
        copy_out(back, memory, queue)
        call("cuEventRecord", event, queue)
        assert bytes(found) == b"\\xa5" * 1000, "work was done too early"
        values[0] = 77  # too early as well: the copy reads it later
        call("cuEventQuery", event, error=NOT_READY)
        call("cuEventSynchronize", event)
        assert bytes(found) == bytes(values)
        call("cuEventElapsedTime", ctypes.byref(ctypes.c_float()), begin, event, error=INVALID_HANDLE)

        other, last = stream(), get("cuEventCreate", 0)  # a stream that waits for another
        values[:] = bytes(1000)
        copy_in(memory, there, queue)
        call("cuEventRecord", event, queue)
        call("cuStreamWaitEvent", other, event, 0)
        copy_out(back, memory, other)
        call("cuEventRecord", last, other)
        call("cuStreamSynchronize", other)
        assert not any(found)
        call("cuEventRecord", begin, other)
        call("cuEventSynchronize", begin)
        passed = ctypes.c_float()
        call("cuEventElapsedTime", ctypes.byref(passed), last, begin)
        assert passed.value >= 0

        blocking = stream(BLOCKING)  # the default stream waits for it
        values[:] = b"\\x05" * 1000
        copy_in(memory, there, blocking)
        call("cuMemcpyDtoH_v2", back, memory, Size(1000))
        assert found[999] == 5

        values[:] = b"\\x06" * 1000  # threads wait for the same stream at once
        for _ in range(50):
            copy_in(memory, there, queue)
            copy_out(back, memory, queue)
        def wait():
            call("cuCtxSetCurrent", contexts[0])
            call("cuStreamSynchronize", queue)

        threads = [threading.Thread(target=wait) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found[0] == 6
        print("done")
    """
    done = program(tmp_path, source, sanitizer)
    assert (done.status, done.out, done.log.problems) == (0, "done\n", ()), done.err


@pytest.mark.parametrize("sanitizer", SANITIZERS[:2])
def test_misuse_of_memory_is_found(tmp_path: Path, sanitizer: str) -> None:
    source = """
        (there, _), memory, queue = pinned(), device(), stream()
        copy_in(memory, there, queue, 1001, error=INVALID_VALUE)
        copy_in(Handle(memory.value + 500), there, queue, 501, error=INVALID_VALUE)
        copy_in(Handle(4096), there, queue, error=INVALID_VALUE)
        call("cuMemFree_v2", there, error=INVALID_VALUE)
        call("cuMemAlloc_v2", ctypes.byref(Handle()), Size(1 << 40), error=OUT_OF_MEMORY)
        gone = device()
        call("cuMemFree_v2", gone)
        call("cuMemFree_v2", gone, error=INVALID_VALUE)
        copy_in(gone, there, queue, error=INVALID_VALUE)
        copy_in(memory, there, queue)
        call("cuMemFreeHost", there)
        call("cuStreamSynchronize", queue, error=ILLEGAL_ADDRESS)
        call("cuMemAlloc_v2", ctypes.byref(Handle()), Size(1), error=ILLEGAL_ADDRESS)
        print("done")
    """
    done = program(tmp_path, source, sanitizer)
    assert (done.status, done.out) == (0, "done\n"), done.err
    assert len(done.log.problems) == 6
    assert "which was freed since" in done.log.problems[-1]


def test_the_host_cannot_touch_device_memory_nor_kernels_what_was_freed(tmp_path: Path) -> None:
    source = "ctypes.memset(device(), 0, 1)"
    assert program(tmp_path, source).status == -11
    source = """
        gone = device()
        Callback = ctypes.CFUNCTYPE(None, Handle)
        run = Callback(lambda address: ctypes.memset(address, 0, 1000) and None)
        call("fakeCudaLaunch", None, run, gone, None)
        call("cuCtxSynchronize")  # it may be touched by work of a stream
        call("fakeCudaLaunch", None, run, gone, None)
        call("cuMemFree_v2", gone)
        print("launched", flush=True)
        call("cuCtxSynchronize")
    """
    done = program(tmp_path, source)
    assert (done.status, done.out) == (-11, "launched\n")


@pytest.mark.parametrize("sanitizer", SANITIZERS[:2])
def test_a_graph_repeats_what_was_captured_and_notices_memory_that_is_gone(
    tmp_path: Path, sanitizer: str
) -> None:
    source = """
        (there, values), (back, found), memory, queue = pinned(), pinned(), device(), stream()
        event = get("cuEventCreate", 2)
        call("cuStreamBeginCapture_v2", queue, THREAD_LOCAL)
        copy_in(memory, there, queue)
        copy_out(back, memory, queue)
        call("cuEventRecordWithFlags", event, queue, 1)
        graph = Handle()
        call("cuStreamEndCapture", queue, ctypes.byref(graph))
        ready = get("cuGraphInstantiateWithFlags", graph, ctypes.c_ulonglong(0))
        call("cuGraphDestroy", graph)
        for value in (1, 2):
            values[:] = bytes([value]) * 1000
            call("cuGraphLaunch", ready, queue)
            assert found[0] != value
            call("cuEventSynchronize", event)
            assert found[0] == value
        other = stream()
        call("cuStreamBeginCapture_v2", other, THREAD_LOCAL)
        call("cuGraphLaunch", ready, other, error=UNSUPPORTED)
        call("cuStreamEndCapture", other, ctypes.byref(graph), error=INVALIDATED)
        call("cuMemFreeHost", there)
        there, values = pinned()  # at the same address or not: it is another allocation
        call("cuGraphLaunch", ready, queue)
        call("cuStreamSynchronize", queue, error=ILLEGAL_ADDRESS)
        print("done")
    """
    done = program(tmp_path, source, sanitizer)
    assert (done.status, done.out) == (0, "done\n"), done.err
    (problem,) = done.log.problems
    assert "freed since" in problem


def test_addresses_of_freed_device_memory_are_used_again_where_that_is_set(tmp_path: Path) -> None:
    source = """
        (there, _), queue = pinned(5000), stream()
        memory, graph = device(4096), Handle()
        call("cuStreamBeginCapture_v2", queue, THREAD_LOCAL)
        copy_in(memory, there, queue)
        call("cuStreamEndCapture", queue, ctypes.byref(graph))
        ready = get("cuGraphInstantiateWithFlags", graph, ctypes.c_ulonglong(0))
        call("cuMemFree_v2", memory)
        larger = device(8192)
        assert larger.value == memory.value
        copy_in(larger, there, queue, 5000)
        call("cuStreamSynchronize", queue)
        call("cuGraphLaunch", ready, queue)  # it was captured with what was there before
        call("cuStreamSynchronize", queue, error=ILLEGAL_ADDRESS)
        print("done")
    """
    done = program(tmp_path, source, reuse=1)
    assert (done.status, done.out) == (0, "done\n"), done.err


def test_unsafe_calls_break_a_capture(tmp_path: Path) -> None:
    source = """
        memory, queue, other, event, graph = device(), stream(), stream(), get("cuEventCreate", 2), Handle()

        def captured(function, *arguments, error=UNSUPPORTED, mode=THREAD_LOCAL, end=INVALIDATED, on=queue):
            call("cuStreamBeginCapture_v2", on, mode)
            call(function, *arguments, error=error)
            call("cuStreamEndCapture", on, ctypes.byref(graph), error=end)

        made = ctypes.byref(Handle())
        captured("cuMemAlloc_v2", made, Size(1000))
        captured("cuMemHostAlloc", made, Size(1000), 0)
        captured("cuMemFree_v2", memory)
        captured("cuStreamSynchronize", queue)
        captured("cuStreamSynchronize", other)
        captured("cuEventSynchronize", event)
        captured("cuCtxSynchronize")
        captured("cuStreamWaitEvent", queue, event, 0, error=ISOLATION)
        captured("cuMemAlloc_v2", made, Size(1000), error=SUCCESS, mode=RELAXED, end=SUCCESS)
        captured("cuMemsetD8Async", memory, 0, Size(1000), None, error=SUCCESS, end=SUCCESS)
        captured("cuMemsetD8Async", memory, 0, Size(1000), None, error=IMPLICIT, on=stream(BLOCKING))

        call("cuStreamBeginCapture_v2", None, THREAD_LOCAL, error=UNSUPPORTED)
        call("cuStreamEndCapture", queue, ctypes.byref(graph), error=ILLEGAL_STATE)
        call("cuStreamBeginCapture_v2", queue, THREAD_LOCAL)
        call("cuStreamBeginCapture_v2", queue, THREAD_LOCAL, error=ILLEGAL_STATE)
        call("cuEventRecord", event, queue)
        call("cuEventSynchronize", event, error=CAPTURED_EVENT)
        in_thread(lambda: [call("cuCtxSetCurrent", contexts[0]), call("cuMemAlloc_v2", made, Size(1))])
        relaxed = ctypes.c_int(RELAXED)
        call("cuThreadExchangeStreamCaptureMode", ctypes.byref(relaxed))
        call("cuMemFree_v2", device())
        call("cuThreadExchangeStreamCaptureMode", ctypes.byref(relaxed))
        assert relaxed.value == RELAXED
        call("cuStreamEndCapture", queue, ctypes.byref(graph))
        call("cuStreamBeginCapture_v2", queue, GLOBAL)
        in_thread(
            lambda: [
                call("cuCtxSetCurrent", contexts[0]),
                call("cuMemAlloc_v2", made, Size(1), error=UNSUPPORTED),
                call("cuStreamEndCapture", queue, ctypes.byref(graph), error=WRONG_THREAD),
            ]
        )
        call("cuStreamEndCapture", queue, ctypes.byref(graph), error=INVALIDATED)
        print("done")
    """
    done = program(tmp_path, source)
    assert (done.status, done.out) == (0, "done\n"), done.err


def test_contexts_belong_to_threads_and_devices(tmp_path: Path) -> None:
    source = """
        queue, event = stream(), get("cuEventCreate", 0)
        in_thread(lambda: call("cuMemAlloc_v2", ctypes.byref(Handle()), Size(1), error=INVALID_CONTEXT))
        call("cuCtxPushCurrent_v2", contexts[1])
        assert get("cuCtxGetDevice", kind=ctypes.c_int).value == 1
        call("cuEventRecord", event, stream(), error=INVALID_HANDLE)
        call("fakeCudaLaunch", queue, None, None, None, error=INVALID_HANDLE)
        device(3000)
        free = ctypes.c_size_t()
        call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(Size()))
        assert free.value == (1 << 20) - 3000
        call("cuCtxPopCurrent_v2", ctypes.byref(Handle()))
        call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(Size()))
        assert free.value == 1 << 20
        own = get("cuCtxCreate_v2", 0, 1)
        call("cuCtxDestroy_v2", own)
        assert get("cuCtxGetCurrent").value == contexts[0].value
        call("cuCtxDestroy_v2", contexts[0], error=INVALID_CONTEXT)
        call("cuDevicePrimaryCtxRelease_v2", 0)
        call("cuStreamSynchronize", queue, error=709)
        print("done")
    """
    done = program(tmp_path, source, memory=1 << 20)
    assert (done.status, done.out) == (0, "done\n"), done.err


def test_functions_are_looked_up_by_name_and_version(tmp_path: Path) -> None:
    source = """
        def lookup(name, version):
            found, status = Handle(), ctypes.c_int()
            out = ctypes.byref(found), version, ctypes.c_uint64(0), ctypes.byref(status)
            call("cuGetProcAddress_v2", name, *out)
            return found.value, status.value

        address = lambda name: ctypes.cast(getattr(cuda, name), Handle).value
        assert lookup(b"cuMemAlloc", 3020) == (address("cuMemAlloc_v2"), 0)
        assert lookup(b"cuGraphInstantiate", 12000) == (address("cuGraphInstantiateWithFlags"), 0)
        assert lookup(b"cuMemAllocAsync", 11020) == (address("cuMemAllocAsync"), 0)
        assert lookup(b"cuMemAlloc", 13000) == (None, 1)
        assert lookup(b"cuNoSuchFunction", 3020) == (None, 1)
        call("cuMemAllocAsync", None, Size(1), None, error=NOT_SUPPORTED)
        call("cuMemAlloc_v2", None, Size(1), error=OUT_OF_MEMORY)
        print("done")
    """
    done = program(tmp_path, source, version=12060, fail="cuMemAlloc_v2=2")
    assert (done.status, done.out) == (0, "done\n"), done.err
    assert done.log.failed == {("cuMemAllocAsync", 801): 1, ("cuMemAlloc_v2", 2): 1}
