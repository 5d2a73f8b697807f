"""`Slot`: what takes a batch of pictures from host memory to faces, on whatever runs the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from trt_mogface.detections import Detections
from trt_mogface.reference.resize import Placement


class Placed(NamedTuple):
    """A picture, uint8 [h, w, 3] in BGR, and its place in the network's input.

    On a GPU it may be an array of the device instead of numpy's, filled by the work of a stream (its handle).
    """

    image: Any
    placement: Placement
    stream: int | None = None


class Slot(Protocol):
    """Room for one batch in flight.  `begin` and `end` alternate, from whatever threads."""

    def begin(self, pictures: Sequence[Placed]) -> None:
        """Take pictures that share a network input size and start on them; they may change when this returns.

        Raises:
            MogFaceError: They cannot be run; the slot is free again.
        """

    def end(self) -> list[Detections]:
        """Wait for the faces of the pictures begun last, in their order; the slot is free again.

        Raises:
            MogFaceError: The network failed; the slot is free again.
        """

    def close(self) -> None:
        """Free what it holds; closing twice is harmless."""
