"""The real PyCUDA on a driver in host memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.real_cuda import Program, run

NOTHING_LEFT = dict.fromkeys(("device memory", "pinned memory", "streams", "events", "graphs"), 0)

DETECTIONS = """
    import sys
    import numpy as np
    from tests.support.on_driver import SIZE, backend
    from tests.support.photos import group
    from trt_mogface import Detector
    from trt_mogface.cuda import open_cuda
    from trt_mogface.runner import Runner

    photo = group()
    images = [photo, photo[100:, 300:]] * 6
    with Detector(size=SIZE, threads=1) as detect:
        expected = detect(images)
    assert sum(map(len, expected)) > 4
    with Runner(backend(open_cuda(0, sys.argv[1])), batch=2, slots=2) as runner:
        for found, wanted in zip(runner.map(images), expected):
            np.testing.assert_allclose(found.confidence, wanted.confidence, rtol=0, atol=1e-6)
            np.testing.assert_allclose(found.xyxy, wanted.xyxy, rtol=0, atol=1e-3)
    print("done")
"""
"""The whole way, in the threads of a runner."""


def succeed(program: Program) -> None:
    """Assert that a program ended well and left nothing behind."""
    assert program.status == 0, program.err
    assert program.out.endswith("done\n")
    assert "PyCUDA" not in program.err
    assert not program.log.problems
    assert program.log.live == NOTHING_LEFT


def test_a_runner_finds_what_the_cpu_finds_and_the_program_ends(tmp_path: Path) -> None:
    program = run("pycuda", DETECTIONS, tmp_path, "pycuda")
    succeed(program)
    assert program.err == "", "no graphs are nothing to warn of"


def test_threads_end_that_have_used_a_device(tmp_path: Path) -> None:
    source = """
        import threading
        from trt_mogface.cuda import open_cuda

        cuda = open_cuda(0, "pycuda")

        def work():
            with cuda.current():
                memory, stream = cuda.allocate(1000), cuda.stream()
                cuda.synchronize(stream)
            memory.close()
            stream.close()

        for _ in range(3):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        print("done")
    """
    succeed(run("pycuda", source, tmp_path))


@pytest.mark.parametrize("current", [None, 0, 1])
def test_the_requested_device_is_used_whatever_is_current(tmp_path: Path, current: int | None) -> None:
    source = f"""
        import pycuda.driver as driver
        from trt_mogface.cuda import open_cuda

        driver.init()
        context = None if {current} is None else driver.Device({current}).make_context()
        cuda = open_cuda(1, "pycuda")
        assert cuda.device.name == "Host GPU 1", cuda.device
        assert cuda.device.capability == (7, 5), cuda.device
        with cuda.current():
            cuda.allocate(1000).close()
        if context is not None:
            assert driver.Context.get_current() == context
            assert context.get_device() == driver.Device({current})
            context.pop()
        print("done")
    """
    program = run("pycuda", source, tmp_path, capability="9.0,7.5")
    succeed(program)
    (allocation,) = [call for call in program.log.calls if call.name == "cuMemAlloc_v2"]
    assert allocation.device == 1
    assert program.log.count("cuDevicePrimaryCtxRetain") == (current != 1), "its own context, where it fits"


def test_resources_are_freed_in_threads_without_a_context_and_by_the_garbage_collector(
    tmp_path: Path,
) -> None:
    source = """
        import threading
        import pycuda.driver as driver
        from trt_mogface.cuda import open_cuda

        cuda = open_cuda(1, "pycuda")
        with cuda.current():
            made = [cuda.allocate(1000), cuda.pin(1000), cuda.stream(), cuda.event()]
            lost = [cuda.allocate(1000), cuda.pin(1000), cuda.stream(), cuda.event()]

        def free():
            for resource in made:
                resource.close()
            lost.clear()

        thread = threading.Thread(target=free)
        thread.start()
        thread.join()
        context = driver.Device(0).make_context()
        with cuda.current():
            made = [cuda.allocate(1000), cuda.stream()]
        for resource in made:
            resource.close()
        assert context.get_device() == driver.Device(0)
        context.pop()
        print("done")
    """
    succeed(run("pycuda", source, tmp_path))


def test_a_gpu_is_found_without_cuda_bindings(tmp_path: Path) -> None:
    source = """
        import sys

        sys.modules["cuda"] = None
        from trt_mogface.machine.gpu import find_gpu

        assert find_gpu(2) is None
        print(find_gpu(1))
        print("done")
    """
    program = run("pycuda", source, tmp_path, version=12060, capability="9.0,8.7")
    succeed(program)
    assert program.out.startswith("Gpu(name='Host GPU 1', capability=(8, 7), driver='12.6')")


def test_a_missing_driver_is_an_error_of_one_line(tmp_path: Path) -> None:
    source = """
        from trt_mogface.cuda import open_cuda
        from trt_mogface.errors import CudaError
        from trt_mogface.machine.gpu import find_gpu

        assert find_gpu() is None
        try:
            open_cuda(0, "pycuda")
        except CudaError as error:
            print(error)
    """
    program = run("pycuda", source, tmp_path, driver=False)
    assert program.status == 0, program.err
    assert "no NVIDIA driver" in program.out
    assert program.out.count("\n") == 1
