"""`CpuSlot`: slots run side by side, and each of them one batch at a time."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.fakes import WAIT, in_thread, number_in, picture
from tests.support.specs import one_line, small_spec
from trt_mogface.backends.base import Network, Outputs
from trt_mogface.backends.cpu import CpuSlot
from trt_mogface.backends.options import SlotOptions
from trt_mogface.errors import ImageError, ModelError, RunnerError
from trt_mogface.frame import Frame
from trt_mogface.models.manifest import Shape

SPEC = small_spec()


class Waiting(Network):
    """A network that finds nothing, calls `inside` in the middle of a run, and then notes what it sees."""

    spec, max_shapes = SPEC, ()

    def __init__(self, inside: Callable[[], object]) -> None:
        self.inside, self.seen, self.closes = inside, list[int](), 0

    def check_shape(self, shape: Shape) -> None:
        pass

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        self.inside()
        self.seen.append(number_in(images[0]))
        shapes = SPEC.output_shapes(*images.shape[:3])
        return Outputs(*(np.zeros(shapes[name], np.float32) for name in ("scores", "deltas")))

    def clone(self) -> Waiting:
        return self

    def close(self) -> None:
        self.closes += 1


@pytest.fixture
def opened() -> Iterator[Callable[[Waiting], CpuSlot]]:
    """Open slots, which are closed after the test."""
    with ExitStack() as stack:
        yield lambda network: stack.enter_context(
            closing(CpuSlot(network, SlotOptions.resolve(SPEC, {"pad": False})))
        )


def frame(number: int) -> Frame:
    return Frame.of(picture(number))


def slot_threads() -> int:
    return sum(each.name == "trt-mogface-slot" for each in threading.enumerate())


def test_networks_of_two_slots_run_at_the_same_time(opened: Callable[[Waiting], CpuSlot]) -> None:
    both = threading.Barrier(2)
    slots = [opened(Waiting(lambda: both.wait(WAIT))) for _ in range(2)]
    for slot in slots:
        slot.submit([frame(1)])
    assert [len(slot.wait()[0]) for slot in slots] == [0, 0]


def test_submit_starts_the_network(opened: Callable[[Waiting], CpuSlot]) -> None:
    started = threading.Event()
    slot = opened(Waiting(started.set))
    slot.submit([frame(1)])
    assert started.wait(WAIT)
    slot.wait()


def test_a_batch_whose_wait_was_interrupted_keeps_its_images(opened: Callable[[Waiting], CpuSlot]) -> None:
    go = threading.Event()
    network = Waiting(lambda: go.wait(WAIT))
    slot = opened(network)
    slot.submit([frame(1)])  # the same shape, and so the same buffer
    second = in_thread(slot.submit, [frame(2)])
    time.sleep(0.05)
    assert not second.done()
    go.set()
    second.result(WAIT)
    slot.wait()
    assert network.seen == [1, 2]


def test_a_slot_whose_network_failed_is_free_again(opened: Callable[[Waiting], CpuSlot]) -> None:
    network = Waiting(lambda: None)
    slot = opened(network)

    def fail() -> None:
        raise ModelError("small.onnx: the network failed: no reason")

    network.inside = fail
    slot.submit([frame(1)])
    with pytest.raises(ModelError) as error:
        slot.wait()
    assert "no reason" in one_line(error.value)
    network.inside = lambda: None
    slot.submit([frame(2)])
    assert len(slot.wait()) == 1


@pytest.mark.parametrize("where", ["network", "buffer"])
def test_an_image_too_large_for_the_memory_is_refused_and_the_next_one_runs(
    opened: Callable[[Waiting], CpuSlot], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    network = Waiting(lambda: None)
    slot = opened(network)

    def fail(*_: object) -> None:
        raise MemoryError

    def run(image: Frame) -> int:
        slot.submit([image])
        return len(slot.wait())

    images = [frame(1), frame(2)]
    with monkeypatch.context() as lacking:
        if where == "network":
            lacking.setattr(network, "inside", fail)
        else:
            lacking.setattr(np, "empty", fail)
        with pytest.raises(ImageError) as error:
            run(images[0])
    assert "image: too large for the memory; scale it down" in one_line(error.value)
    assert run(images[1]) == 1


def test_closing_finishes_the_run_and_frees_the_network_once() -> None:
    go, before = threading.Event(), slot_threads()
    network = Waiting(lambda: go.wait(WAIT))
    slot = CpuSlot(network, SlotOptions.resolve(SPEC, {"pad": False}))
    slot.submit([frame(7)])
    ending = in_thread(slot.close)
    time.sleep(0.05)
    assert network.closes == 0
    go.set()
    ending.result(WAIT)
    assert (network.seen, slot_threads()) == ([7], before)
    slot.close()
    with pytest.raises(RunnerError, match="the slot is closed"):
        slot.submit([frame(8)])


def test_the_thread_of_a_forgotten_slot_ends() -> None:
    before = slot_threads()
    slot = CpuSlot(Waiting(lambda: None), SlotOptions.resolve(SPEC, {"pad": False}))
    slot.submit([frame(1)])
    slot.wait()
    assert slot_threads() == before + 1
    del slot
    gc.collect()
    assert slot_threads() == before


AFTER_MAIN = """
import threading
import numpy as np
from trt_mogface import Detector

detect, main = Detector(), threading.main_thread()

def work():
    main.join()
    print(len(detect(np.zeros((64, 64, 3), np.uint8))))

threading.Thread(target=work).start()
"""

IN_A_RUN = """
import contextlib, threading
import numpy as np
from trt_mogface import Detector
from trt_mogface.errors import RunnerError

detect, image = Detector(), np.zeros((640, 640, 3), np.uint8)

def work():
    with contextlib.suppress(RunnerError):
        while True:
            detect(image)

for _ in range(2):
    threading.Thread(target=work, daemon=True).start()
detect(image)
print(0)
"""


AT_EXIT = """
import atexit
import numpy as np
from trt_mogface import Detector
from trt_mogface.errors import RunnerError

def late():
    try:
        detect(np.zeros((64, 64, 3), np.uint8))
    except RunnerError:
        print(0)

atexit.register(late)  # runs last
detect = Detector()
"""


@pytest.mark.parametrize("script", [AFTER_MAIN, IN_A_RUN, AT_EXIT])
def test_python_ends_whoever_detects(script: str) -> None:
    """A thread works on after the main one; daemon threads are in a run; one image comes late."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=WAIT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
