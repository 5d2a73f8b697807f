"""Interfaces of a backend: `Network`, `Slot` for one batch in flight, and `Backend`, which opens slots."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from trt_mogface.detections import Detections
from trt_mogface.frame import Frame
from trt_mogface.models.manifest import Shape
from trt_mogface.reference.decode import Floats
from trt_mogface.reference.resize import Placement
from trt_mogface.spec import DetectorSpec, Origin, Thresholds

T = TypeVar("T", bound=Any)

OnStage = Callable[[str, float], None]
"""Receives the name of a stage and its milliseconds."""


@dataclass(frozen=True)
class ModelInfo:
    """Facts about an opened model, whatever runs it.

    Attributes:
        name: Name of the model, e.g. ``mogface``.
        landmarks: Number of landmark points of a face; 0 if the model has none.
        thresholds: Effective thresholds: the caller's, else the model's.
        inclusive_boxes: Whether a box from x0 to x1 is x1 - x0 + 1 pixels wide.
        origin: Source and license of the weights.
    """

    name: str
    landmarks: int
    thresholds: Thresholds
    inclusive_boxes: bool
    origin: Origin


class Outputs(NamedTuple):
    """Outputs of a network for a batch; see `trt_mogface.spec`.

    Attributes:
        scores: float32 [N, A].
        deltas: float32 [N, A, 4].
        landmarks: float32 [N, A, 2 * points], or None if the model has none.
    """

    scores: Floats
    deltas: Floats
    landmarks: Floats | None = None


class Network(Protocol):
    """A loaded network: images in, raw outputs out."""

    @property
    def spec(self) -> DetectorSpec:
        """Meaning of the outputs."""

    @property
    def max_shapes(self) -> tuple[Shape, ...]:
        """Largest batch, height and width of each profile; empty without limits."""

    def check_shape(self, shape: Shape) -> None:
        """Refuse an input shape (batch, height, width) that the network does not accept.

        Raises:
            EngineError: If no profile accepts `shape`; the message lists the profiles.
        """

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        """Run the network on uint8 [N, H, W, 3], BGR, in host memory.

        Raises:
            ModelError: If an ONNX network fails or contradicts its spec.
            EngineError: If an engine fails or does not accept the shape.
        """

    def clone(self) -> Network:
        """Return a network that shares the weights but has its own execution state."""

    def close(self) -> None:
        """Free the network; the weights are freed with its last clone.  Closing twice is harmless."""


class Slot(Protocol):
    """One batch in flight.  Calls of `submit` and `wait` alternate, from any thread."""

    def submit(self, frames: Sequence[Frame]) -> None:
        """Start on frames that share a network input size.

        A frame may change once this returns, unless it lies in device memory or in page-locked host memory:
        then it must not change before `wait` returns.

        Raises:
            MogFaceError: If the batch cannot run; the slot is free again.
        """

    def wait(self) -> list[Detections]:
        """Return the detections of the submitted frames, in their order.

        Raises:
            MogFaceError: If the batch failed; the slot is free again.
        """

    def close(self) -> None:
        """Free the slot; closing twice is harmless."""


@runtime_checkable
class AdjustableSlot(Slot, Protocol):
    """A slot whose thresholds may change from batch to batch."""

    def adjust(self, thresholds: Thresholds | None) -> None:
        """Set the thresholds of the next batch; None for those that the model was opened with."""


class Backend(Protocol):
    """An opened model, shared by its slots."""

    info: ModelInfo

    max_batch: int
    """Largest batch of a slot."""

    def check(self, frame: Frame) -> None:
        """Refuse a frame that the slots cannot read.

        Raises:
            ImageError: If the frame lies in memory that the backend does not reach.
            ArgumentError: If its stream is not a CUDA stream that the backend can wait for.
        """

    def place(self, height: int, width: int) -> Placement:
        """Return the position of a `height` x `width` frame in the network input."""

    def slot(self, batch: int, on_stage: OnStage | None = None, *, views: bool = False) -> Slot:
        """Open a slot.

        Args:
            batch: Largest number of frames that the slot takes at once.
            on_stage: Called with the time of each stage of a batch; None measures nothing.
            views: Whether detections may be views of memory that the next batch overwrites.

        Raises:
            EngineError: If the engine does not accept a batch of this size.
            OutOfMemoryError: If the slot does not fit into the GPU's memory.
        """

    def close(self) -> None:
        """Free the model, after its slots; closing twice is harmless."""


class Shared(Generic[T]):
    """A resource with a method ``close``, and the number of its users, which starts at one."""

    def __init__(self, value: T) -> None:
        self.value = value
        self._users, self._lock = 1, threading.Lock()

    def retain(self) -> Shared[T]:
        """Add a user."""
        with self._lock:
            self._users += 1
        return self

    def release(self) -> None:
        """Remove a user; the last one closes the resource."""
        with self._lock:
            self._users -= 1
            last = self._users == 0
        if last:
            self.value.close()
