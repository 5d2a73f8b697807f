"""Images that carry a number, and models that find it: a fake backend, and an ONNX network."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray

from tests.support.specs import small_spec
from trt_mogface.backends.base import OnStage
from trt_mogface.backends.options import SlotOptions
from trt_mogface.detections import Detections
from trt_mogface.frame import Frame
from trt_mogface.runner import Runner
from trt_mogface.spec import METADATA_KEY

WAIT = 30.0
"""Seconds after which what should have happened long ago has not."""

STEP = 2.0**-18
"""Between the scores of two numbers; a float32 holds them exactly."""

Picture = NDArray[np.uint8]
Hook = Callable[[list[int]], None]
P = ParamSpec("P")
T = TypeVar("T")


def picture(number: int, height: int = 8, width: int = 8) -> Picture:
    """A picture that carries a number, up to 131070, as its color."""
    image = np.empty((height, width, 3), np.uint8)
    image[:] = number & 255, number >> 8 & 255, number >> 16
    return image


def pictures(numbers: Iterable[int]) -> Iterable[Picture]:
    return map(picture, numbers)


def number_in(image: Picture) -> int:
    blue, green, red = map(int, image[0, 0])
    return blue + (green << 8) + (red << 16)


def number_of(faces: Detections) -> int:
    """The number of the picture that has these faces."""
    (score,) = faces.confidence
    return round((float(score) - 0.5) / STEP) - 1


def numbers_of(found: Iterable[Detections]) -> list[int]:
    return [number_of(faces) for faces in found]


def stream(runner: Runner, numbers: Iterable[int]) -> list[int]:
    """The numbers that come out where these go in."""
    return numbers_of(runner.map(pictures(numbers)))


def result(future: Future[Detections]) -> int:
    return number_of(future.result(timeout=WAIT))


def error_of(future: Future[Any]) -> BaseException:
    """What a future failed with."""
    error = future.exception(timeout=WAIT)
    assert error is not None
    return error


def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    """Work in a thread that cannot keep the tests from ending."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 -- it goes to the future
            future.set_exception(error)

    threading.Thread(target=run, name="of-a-test", daemon=True).start()
    return future


def do_nothing(numbers: list[int]) -> None:
    """Do nothing when a batch of these numbers is submitted or waited for."""


class Gate:
    """Where batches wait to be let through, one by one or all."""

    def __init__(self) -> None:
        self._permits, self._open = threading.Semaphore(0), False

    def __call__(self, numbers: list[int]) -> None:
        if not self._open and not self._permits.acquire(timeout=WAIT):
            raise TimeoutError(f"nobody let {numbers} through")

    def let_one_through(self) -> None:
        self._permits.release()

    def open(self) -> None:
        self._open = True
        self._permits.release(1000)


class FakeSlot:
    """A slot that asserts its protocol."""

    def __init__(self, backend: FakeBackend) -> None:
        self._backend = backend
        self._frames: Sequence[Frame] | None = None
        self.closes = 0

    def submit(self, frames: Sequence[Frame]) -> None:
        assert self.closes == 0
        assert self._frames is None, "submitted twice"
        assert 0 < len(frames) <= self._backend.max_batch
        assert len({self._backend.place(*frame.size).canvas for frame in frames}) == 1
        numbers = [number_in(frame.planes[0]) for frame in frames]
        self._backend.submitted.put(numbers)
        self._backend.at_submit(numbers)
        self._frames = frames

    def wait(self) -> list[Detections]:
        assert self._frames is not None, "not submitted"
        frames, self._frames = self._frames, None
        self._backend.at_wait([number_in(frame.planes[0]) for frame in frames])
        return [self._answer(frame.planes[0]) for frame in frames]

    def close(self) -> None:
        assert self._backend.closes == 0, "the backend was closed before its slot"
        self.closes += 1

    @staticmethod
    def _answer(image: Picture) -> Detections:
        score = 0.5 + (number_in(image) + 1) * STEP
        height, width = image.shape[:2]
        return Detections(np.zeros((1, 4), np.float32), np.array([score], np.float32), None, (height, width))


class FakeBackend:
    """A backend whose network finds the numbers of its images.

    Attributes:
        submitted: Numbers of each submitted batch.
        at_submit, at_wait: Called with the numbers of a batch; may wait, or raise.
        slots: Slots that were opened.
        closes: Number of calls of `close`.
    """

    def __init__(self) -> None:
        spec = small_spec()
        options = SlotOptions(spec, spec.thresholds, pad=False)
        self.info, self.place = options.info, options.place
        self.max_batch = 1000
        self.submitted: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
        self.at_submit: Hook = do_nothing
        self.at_wait: Hook = do_nothing
        self.slots: list[FakeSlot] = []
        self.closes = 0

    def check(self, frame: Frame) -> None:
        assert frame.on_host

    def slot(
        self,
        batch: int,
        on_stage: OnStage | None = None,
        *,
        views: bool = False,  # noqa: ARG002 -- its results are nobody else's
    ) -> FakeSlot:
        self.max_batch = batch
        if on_stage is not None:
            on_stage("slot", 0.25)
        self.slots.append(FakeSlot(self))
        return self.slots[-1]

    def close(self) -> None:
        self.closes += 1

    def next_submitted(self) -> list[int]:
        """Return the numbers of the next batch."""
        return self.submitted.get(timeout=WAIT)

    def all_submitted(self) -> list[list[int]]:
        """Return the numbers of all batches since."""
        return [self.submitted.get() for _ in range(self.submitted.qsize())]


ECHO = """<ir_version: 9, opset_import: ["" : 17]>
echo (uint8[n, h, w, 3] images) => (float[n, a] scores, float[n, a, 4] deltas)
<
    int64[2] origin = {0, 0}, int64[2] corner = {1, 1}, int64[2] across = {1, 2}, int64[2] flat = {-1, 3},
    int64[1] zero = {0}, int64[1] one = {1}, int64[1] three = {3}, int64[1] four = {4},
    int64 seven = {7}, int64 eight = {8}, int64 fifteen = {15}, int64 sixteen = {16}, int64[1] two = {2},
    float[3, 1] digits = {1.0, 256.0, 65536.0}, float step = {0.000003814697265625}, float half = {0.5},
    float whole = {1.0}
>
{
    pixel = Slice(images, origin, corner, across)
    bytes = Cast<to = 1>(pixel)
    row = Reshape(bytes, flat)
    number = MatMul(row, digits)
    counted = Add(number, whole)
    scaled = Mul(counted, step)
    score = Add(scaled, half)
    shape = Shape(images)
    count = Slice(shape, zero, one)
    sides = Slice(shape, one, three)
    rounded8 = Add(sides, seven)
    grid8 = Div(rounded8, eight)
    cells8 = ReduceProd<axes = [0], keepdims = 1>(grid8)
    rounded16 = Add(sides, fifteen)
    grid16 = Div(rounded16, sixteen)
    cells16 = ReduceProd<axes = [0], keepdims = 1>(grid16)
    cells = Add(cells8, cells16)
    anchors = Mul(cells, two)
    others = Sub(anchors, one)
    none_shape = Concat<axis = 0>(count, others)
    none = ConstantOfShape(none_shape)
    scores = Concat<axis = 1>(score, none)
    deltas_shape = Concat<axis = 0>(count, anchors, four)
    deltas = ConstantOfShape(deltas_shape)
}"""


def echo_network(path: Path) -> Path:
    """A contract file of `small_spec` that finds one face in a picture, and its number in the score."""
    model = onnx.parser.parse_model(ECHO)
    onnx.helper.set_model_props(model, {METADATA_KEY: small_spec().to_json()})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
    return path
