"""The real cuda-bindings on a driver in host memory, and without a driver."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.real_cuda import BINDINGS, run
from tests.trt_mogface.cuda.test_real_pycuda import DETECTIONS, succeed

REAL = "cuda-python"


def test_a_runner_finds_what_the_cpu_finds_by_graphs(tmp_path: Path) -> None:
    program = run(REAL, DETECTIONS, tmp_path, REAL)
    succeed(program)
    assert program.log.count("cuGraphLaunch") >= 1
    assert not program.log.failed


def test_the_current_device_of_the_caller_stays_and_no_other_is_initialized(tmp_path: Path) -> None:
    source = """
        import threading
        from cuda.bindings import runtime
        from trt_mogface.cuda import open_cuda

        cuda = open_cuda(1, "cuda-python")
        with cuda.current():
            made = [cuda.allocate(1000), cuda.pin(1000), cuda.stream(), cuda.event()]
        thread = threading.Thread(target=lambda: [resource.close() for resource in made])
        thread.start()
        thread.join()
        assert cuda.device.name == "Host GPU 1", cuda.device
        from cuda.bindings import driver

        assert int(driver.cuCtxGetCurrent()[1]) == 0
        print("one device")
        runtime.cudaSetDevice(0)
        with cuda.current():
            memory = cuda.allocate(1000)
            assert runtime.cudaGetDevice()[1] == 1
        memory.close()
        assert runtime.cudaGetDevice()[1] == 0
        print("done")
    """
    program = run(REAL, source, tmp_path)
    succeed(program)
    retained = [call.detail for call in program.log.calls if call.name == "cuDevicePrimaryCtxRetain"]
    assert [detail[:8] for detail in retained if "device 0" in detail] == ["device 0"], "only for the caller"
    assert retained[-1].startswith("device 0")


def test_a_garbage_collection_does_not_break_a_capture(tmp_path: Path) -> None:
    source = """
        import gc
        from trt_mogface.cuda import open_cuda

        cuda = open_cuda(0, "cuda-python")
        with cuda.current():
            stream, source, target = cuda.stream(), cuda.pin(1000), cuda.allocate(1000)

            def work():
                cuda.copy_in(target, source, 1000, stream)
                lost = [cuda_resources.pop() for _ in range(len(cuda_resources))]
                lost.append(lost)
                del lost
                gc.collect()
                cuda.copy_in(target, source, 1000, stream)

            cuda_resources = [cuda.allocate(1000), cuda.pin(1000), cuda.stream(), cuda.event()]
            graph = cuda.capture(stream, work)
            cuda.launch(graph, stream)
            cuda.synchronize(stream)
            for resource in (graph, stream, source, target):
                resource.close()
        print("done")
    """
    program = run(REAL, source, tmp_path)
    succeed(program)
    assert not program.log.failed


def test_a_capture_ends_with_any_exception_and_the_slot_goes_on(tmp_path: Path) -> None:
    source = """
        from tests.support.host_cuda import HostNetwork
        from tests.support.on_driver import backend
        from tests.support.photos import group
        from trt_mogface.cuda import open_cuda
        from trt_mogface.frame import Frame

        class Fails(HostNetwork):
            runs = 0

            def clone(self):
                return self

            def close(self):
                pass

            def enqueue(self, *arguments):
                self.runs += 1
                if self.runs == 3:  # after two plain runs
                    raise ValueError("while it is captured")
                super().enqueue(*arguments)

        opened = backend(open_cuda(0, "cuda-python"), Fails)
        slot, frames = opened.slot(1), [Frame.of(group())]
        slot.submit(frames)
        (expected,) = slot.wait()
        try:
            slot.submit(frames)
        except ValueError as error:
            assert "captured" in str(error)
        else:
            raise AssertionError("nothing was captured")
        for _ in range(3):
            slot.submit(frames)
            (found,) = slot.wait()
            assert (found.xyxy == expected.xyxy).all()
        slot.close()
        opened.close()
        print("done")
    """
    program = run(REAL, source, tmp_path)
    succeed(program)
    assert program.log.count("cuGraphLaunch") == 2


def test_a_network_that_cannot_be_captured_is_launched_step_by_step(tmp_path: Path) -> None:
    source = """
        from tests.support.host_cuda import HostNetwork
        from tests.support.on_driver import backend
        from tests.support.photos import group
        from trt_mogface.cuda import open_cuda
        from trt_mogface.frame import Frame

        cuda = open_cuda(0, "cuda-python")
        own = cuda.current().__enter__() or cuda.stream()
        inner = cuda.capture(own, lambda: None)

        class Replayed(HostNetwork):
            capturable = False

            def clone(self):
                return self

            def close(self):
                pass

            def enqueue(self, shape, images, outputs, scratch, stream):
                cuda.launch(inner, stream)  # which fails while the stream is captured
                super().enqueue(shape, images, outputs, scratch, stream)

        opened = backend(cuda, Replayed)
        slot, frames = opened.slot(1), [Frame.of(group())]
        for _ in range(3):
            slot.submit(frames)
            slot.wait()
        slot.close()
        opened.close()
        inner.close()
        own.close()
        print("done")
    """
    program = run(REAL, source, tmp_path)
    succeed(program)
    assert program.log.count("cuStreamBeginCapture_v2") == 1
    assert program.err == ""


@pytest.mark.parametrize("bindings", BINDINGS)
def test_a_missing_driver_is_an_error_of_one_line(tmp_path: Path, bindings: str) -> None:
    source = """
        from trt_mogface.cuda import open_cuda
        from trt_mogface.errors import CudaError

        try:
            open_cuda(0, "cuda-python")
        except CudaError as error:
            print(error)
    """
    program = run(bindings, source, tmp_path, driver=False)
    assert program.status == 0, program.err
    assert "no NVIDIA driver" in program.out
    assert program.out.count("\n") == 1


@pytest.mark.parametrize("bindings", BINDINGS[1:])
def test_every_call_converts_its_arguments(tmp_path: Path, bindings: str) -> None:
    """Without a driver the runtime answers with error 35, after it has converted what it was given."""
    source = """
        import ctypes
        import sys
        import numpy as np
        from trt_mogface.cuda import DeviceMemory, Event, Graph, PinnedMemory, Stream
        from trt_mogface.cuda.cuda_python import CudaPython
        from trt_mogface.cuda.interface import Cuda, Device
        from trt_mogface.errors import CudaError

        from cuda.bindings import driver, runtime

        cuda = object.__new__(CudaPython)
        Cuda.__init__(cuda)
        cuda._runtime, cuda._driver, cuda._context = runtime, driver, driver.CUcontext(0)
        cuda.device = Device(0, "", (9, 0), False, 0)
        array = np.zeros(8, np.uint8)
        free = lambda handle: None
        stream, event, graph = Stream(4096, free), Event(4096, free), Graph(4096, free)
        device, pinned = DeviceMemory(4096, 8, free), PinnedMemory(array.ctypes.data, 8, free)
        calls = {
            "allocate": (8,),
            "pin": (8,),
            "stream": (),
            "event": (),
            "free_memory": (),
            "copy_in": (device, pinned, 8, stream),
            "copy_array": (4096, array, stream),
            "copy_out": (pinned, device, 8, stream),
            "record": (event, stream),
            "wait_stream": (stream, 4096),
            "wait": (event,),
            "synchronize": (stream,),
            "elapsed": (event, event),
            "begin_capture": (stream,),
            "end_capture": (stream,),
            "launch": (graph, stream),
        }
        public = {name for name in Cuda.__abstractmethods__} - {"current", "device_address"}
        assert public == set(calls), public ^ set(calls)
        for name, arguments in calls.items():
            try:
                getattr(cuda, name)(*arguments)
            except CudaError as error:
                assert "cudaErrorInsufficientDriver" in str(error), (name, error)
            else:
                raise AssertionError(name)
        assert cuda.device_address(array) is None
        relaxed = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeRelaxed
        for function, argument in (
            (runtime.cudaEventRecord, (4096, 4096)),
            (runtime.cudaEventRecordWithFlags, (4096, 4096, runtime.cudaEventRecordExternal)),
            (runtime.cudaStreamWaitEvent, (4096, 4096, 0)),
            (runtime.cudaHostGetDevicePointer, (4096, 0)),
            (runtime.cudaGraphInstantiate, (runtime.cudaGraph_t(4096), 0)),
            (runtime.cudaGraphDestroy, (runtime.cudaGraph_t(4096),)),
            (runtime.cudaFree, (4096,)),
            (runtime.cudaFreeHost, (4096,)),
            (runtime.cudaStreamDestroy, (4096,)),
            (runtime.cudaEventDestroy, (4096,)),
            (runtime.cudaGraphExecDestroy, (4096,)),
            (runtime.cudaThreadExchangeStreamCaptureMode, (relaxed,)),
        ):
            (status, *_) = function(*argument)
            assert int(status) == 35, (function, status)
        print("done")
    """
    program = run(bindings, source, tmp_path, driver=False)
    assert program.status == 0, program.err
    assert program.out == "done\n"


@pytest.mark.parametrize("package", ["cuda-python", "pycuda"])
def test_a_forked_process_is_refused_and_frees_nothing(tmp_path: Path, package: str) -> None:
    source = """
        import gc
        import os
        import sys
        from trt_mogface.cuda import open_cuda
        from trt_mogface.errors import CudaError

        cuda = open_cuda(0, sys.argv[1])
        with cuda.current():
            made = [cuda.allocate(1000), cuda.pin(1000), cuda.stream(), cuda.event()]
        child = os.fork()
        if child == 0:
            try:
                with cuda.current():
                    pass
            except CudaError as error:
                made.clear()
                gc.collect()
                os._exit(7 if "forked" in str(error) else 8)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        for resource in made:
            resource.close()
        print("done")
    """
    succeed(run(package, source, tmp_path, package))
