"""Engines on a driver in host memory: the order of TensorRT's calls around captures, and unusable input."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.real_cuda import run
from tests.trt_mogface.cuda.test_real_pycuda import succeed

COMMON = """
    import os
    import sys
    from pathlib import Path

    import cv2
    import numpy as np
    from tests.support.fake_driver import read_log
    from tests.support.fake_tensorrt import engine
    from tests.support.photos import group
    from trt_mogface import Detector
    from trt_mogface.backends.gpu.backend import open_engine
    from trt_mogface.cuda import open_cuda
    from trt_mogface.errors import ArgumentError, EngineError, ImageError
    from trt_mogface.frame import Frame
    from trt_mogface.runner import Runner

    folder, provider = Path(sys.argv[1]), sys.argv[2]
    wide, narrow = cv2.resize(group(), (256, 184)), cv2.resize(group()[100:, 300:], (224, 160))
    with Detector(threads=1) as detect:
        expected = {id(image): detect(image) for image in (wide, narrow)}
    assert sum(map(len, expected.values())) > 4

    def check(found, images):
        assert len(found) == len(images)
        for one, image in zip(found, images):
            wanted = expected[id(image)]
            np.testing.assert_allclose(one.confidence, wanted.confidence, rtol=0, atol=1e-6)
            np.testing.assert_allclose(one.xyxy, wanted.xyxy, rtol=0, atol=1e-3)

    def launches():
        calls = read_log(Path(os.environ["FAKE_CUDA_LOG"])).calls
        return sum(call.name.startswith(("cuMemcpy", "cuGraphLaunch", "fakeCudaLaunch")) for call in calls)

    def refused(kind, part, work):
        before = launches()
        try:
            work()
        except kind as error:
            text = str(error)
            assert part in text and "\\n" not in text, text
            assert launches() == before, "launched"
            print(text)
        else:
            raise AssertionError(f"{part}: accepted")

"""

PROVIDER = "cuda-python"


@pytest.mark.parametrize("flavor", ["tensorrt", "tensorrt-rtx"])
@pytest.mark.parametrize("profiles", [1, 2])
def test_nothing_that_tensorrt_forbids_happens_in_a_capture(
    tmp_path: Path, flavor: str, profiles: int
) -> None:
    """Batches of 4, 2, 4, 2 and two sizes, in a slot and in a runner; `fake_tensorrt` has the rules."""
    source = f"""
    whole = [((1, 32, 32), (4, 192, 256))]
    split = [((1, 32, 32), (2, 192, 256)), ((3, 32, 32), (4, 192, 256))]
    path = engine(folder, *(whole if {profiles} == 1 else split), flavor="{flavor}")
    opened = open_engine(path, 0, {{"provider": provider}})
    slot = opened.slot(4)
    for _ in range(4):
        for image in (wide, narrow):
            for count in (4, 2, 4, 2):
                slot.submit([Frame.of(image)] * count)
                check(slot.wait(), [image] * count)
    assert len(slot._graphs) == len(slot._runs) == 4
    slot.close()
    opened.close()
    images = ([wide] * 4 + [narrow] * 4 + [wide] * 2 + [narrow] * 2) * 6
    with Runner(path, batch=4, slots=2, max_delay_ms=50, provider=provider) as runner:
        check([each.result() for each in [runner.submit(image) for image in images]], images)
    print("done")
    """
    program = run(PROVIDER, COMMON + source, tmp_path, str(tmp_path), PROVIDER)
    succeed(program)
    assert program.err == ""
    assert not program.log.failed
    assert program.log.count("cuGraphLaunch") > 24


def test_graphs_that_go_take_their_contexts_with_them(tmp_path: Path) -> None:
    source = """
    from trt_mogface.backends.gpu import graph_slot

    graph_slot.MAX_GRAPHS = 2
    opened = open_engine(engine(folder, ((1, 32, 32), (4, 192, 256))), 0, {})
    slot = opened.slot(4)
    for count in (1, 2, 3, 4) * 4:
        slot.submit([Frame.of(wide)] * count)
        check(slot.wait(), [wide] * count)
        assert len(slot._runs) <= 2
    slot.close()
    opened.close()
    print("done")
    """
    program = run(PROVIDER, COMMON + source, tmp_path, str(tmp_path), PROVIDER)
    succeed(program)
    assert not program.log.failed


def test_an_engine_that_says_so_is_not_captured(tmp_path: Path) -> None:
    source = """
    path = engine(folder, ((1, 32, 32), (4, 192, 256)), flavor="tensorrt-rtx", capturable=False)
    with Detector(path) as detect:
        for _ in range(4):
            check([detect(wide)], [wide])
    print("done")
    """
    program = run(PROVIDER, COMMON + source, tmp_path, str(tmp_path), PROVIDER)
    succeed(program)
    assert program.err.count("CUDA graphs are off") == 1
    assert program.log.count("cuStreamBeginCapture_v2") == 0


def test_a_graph_does_not_read_freed_memory_where_addresses_come_back(tmp_path: Path) -> None:
    """A graph holds the host's address too; the device's can be the same after the buffer has grown."""
    source = """
    path = engine(folder, ((1, 32, 32), (4, 192, 256)))
    large = np.repeat(np.repeat(wide, 4, axis=0), 4, axis=1)
    with Detector(path, size=(256, 192), provider=provider) as detect:
        first = detect(wide)
        for _ in range(3):
            detect(wide)
        address = detect._slot._input.address
        detect(large)
        assert detect._slot._input.address == address, "the allocator of the tests has changed"
        for _ in range(4):
            found = detect(wide)
            assert (found.xyxy == first.xyxy).all()
    print("done")
    """
    program = run(PROVIDER, COMMON + source, tmp_path, str(tmp_path), PROVIDER, reuse=1)
    succeed(program)
    assert program.log.count("cuGraphLaunch") >= 4


@pytest.mark.parametrize("package", ["cuda-python", "pycuda"])
def test_unusable_input_is_refused_before_anything_is_launched_and_the_runner_goes_on(
    tmp_path: Path, package: str
) -> None:
    source = """
    path = engine(folder, ((1, 192, 256), (1, 192, 256)))
    with Runner(path, provider=provider) as runner:
        refused(EngineError, "1x896x1280", lambda: runner.submit(group()).result())
        check([runner.submit(wide).result()], [wide])
    with Detector(path, provider=provider) as detect:
        refused(EngineError, "1x896x1280", lambda: detect(group()))
        check([detect(wide)], [wide])

    path = engine(folder, ((1, 32, 32), (4, 192, 256)))
    refused(EngineError, "at most 4", lambda: Runner(path, batch=5, provider=provider))
    opened = open_engine(path, 0, {"provider": provider})
    slot = opened.slot(2)
    refused(EngineError, "the slot has memory for 2x192x256", lambda: slot.submit([Frame.of(wide)] * 3))
    slot.submit([Frame.of(wide)] * 2)
    check(slot.wait(), [wide] * 2)
    slot.close()
    opened.close()

    both = lambda: Runner(path, device=(0, 1), provider=provider)
    refused(EngineError, "Host GPU 1 of compute capability 7.5; rebuild it with:", both)

    class On:
        def __init__(self, memory, shape):
            self.memory = memory
            data = (memory.handle, False)
            self.__cuda_array_interface__ = {"shape": shape, "typestr": "|u1", "data": data, "version": 3}

    cuda, other = open_cuda(0, provider), open_cuda(1, provider)
    with cuda.current():
        stream, here, host = cuda.stream(), cuda.allocate(wide.nbytes), cuda.pin(wide.nbytes)
        host.array[:] = wide.ravel()
        cuda.copy_in(here, host, wide.nbytes, stream)
    with other.current():
        foreign, there = other.stream(), other.allocate(wide.nbytes)
    on_other, on_this = On(there, wide.shape), On(here, wide.shape)
    expected[id(on_this)] = expected[id(wide)]
    with Runner(path, provider=provider) as runner, Detector(path, provider=provider) as detect:
        for find in (lambda *a, **k: runner.submit(*a, **k).result(), detect):
            refused(ImageError, "memory of GPU 1, but GPU 0", lambda: find(on_other))
            refused(ArgumentError, "of GPU 1, but", lambda: find(wide, stream=foreign))
            refused(ArgumentError, "stream 2: the per-thread", lambda: find(on_this, stream=2))
            check([find(on_this, stream=stream)], [on_this])
            check([find(wide)], [wide])
    for resource in (stream, here, host, foreign, there):
        resource.close()
    print("done")
    """
    program = run(package, COMMON + source, tmp_path, str(tmp_path), package, capability="9.0,7.5")
    succeed(program)
    assert program.err == ""


def test_a_runner_of_two_gpus_refuses_arrays_of_either(tmp_path: Path) -> None:
    """Any of its GPUs may take a frame."""
    source = """
    path = engine(folder, ((1, 32, 32), (4, 192, 256)))
    with Runner(path, device=(0, 1), batch=2, provider=provider) as runner:
        for number in (0, 1):
            cuda = open_cuda(number, provider)
            with cuda.current():
                memory = cuda.allocate(wide.nbytes)
            array = type("On", (), {"__cuda_array_interface__": {
                "shape": wide.shape, "typestr": "|u1", "data": (memory.handle, False), "version": 3}})()
            refused(ImageError, f"memory of GPU {number}", lambda: runner.submit(array).result())
            memory.close()
        check([each.result() for each in [runner.submit(wide) for _ in range(20)]], [wide] * 20)
    print("done")
    """
    program = run(PROVIDER, COMMON + source, tmp_path, str(tmp_path), PROVIDER)
    succeed(program)
    assert {call.device for call in program.log.calls if call.name == "fakeCudaLaunch"} == {0, 1}
