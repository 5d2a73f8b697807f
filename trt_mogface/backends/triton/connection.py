"""`Connection`: requests to a Triton server, repeated while it cannot be reached."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from trt_mogface._optional import needs, require
from trt_mogface.backends.triton import served
from trt_mogface.backends.triton.address import Address
from trt_mogface.backends.triton.served import ServedModel
from trt_mogface.errors import ImageError, ModelError, ServerError, first_line
from trt_mogface.reference.decode import Floats

T = TypeVar("T")
Images = NDArray[np.uint8]

PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between attempts to reach a server: of the first pause, and the longest."""

UNAVAILABLE = {"StatusCode.UNAVAILABLE", "503"}
LATE = {"StatusCode.DEADLINE_EXCEEDED", "StatusCode.CANCELLED"}
BAD = {"StatusCode.INVALID_ARGUMENT", "400"}
FULL, FORGOTTEN = "maximum queue size", "Unable to find shared memory region"
"""Words of Triton's messages."""

_numbers = itertools.count()


class Faces(NamedTuple):
    """Faces of one image, best first, in pixels of what was sent.

    Attributes:
        boxes: float32 [n, 4]: x0, y0, x1, y1.
        scores: float32 [n].
        landmarks: float32 [n, points, 2], or None if the model has none.
        dropped, truncated: See `trt_mogface.Detections`.
    """

    boxes: Floats
    scores: Floats
    landmarks: Floats | None
    dropped: int
    truncated: int


class Connection:
    """A connection to a server, for one thread, which opens with the first request.

    Images go through shared memory if the server runs on this machine and reaches it.

    Args:
        address: Address of the model.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        package = "grpc" if address.protocol == "grpc" else "http"
        self._library = require(f"tritonclient.{package}", extra="triton")
        with needs("triton"):
            from tritonclient.utils import InferenceServerException
        self._refusal = InferenceServerException
        self._client: Any = None
        self._region: _Region | None = None
        self._shares_memory = address.is_local

    def facts(self) -> tuple[ServedModel, int]:
        """Return the facts about the served model, and its largest batch.

        Raises:
            ModelError: If the server has no model of this package by that name and version.
            ServerError: If it cannot be reached.
        """
        config = self._repeated(self._config)
        text = self.address.text
        parameters = {name: value.get("string_value", "") for name, value in config["parameters"].items()}
        versions = [
            int(name.rpartition(".")[2]) for name in parameters if name.startswith(served.parameter(0)[:-1])
        ]
        version = self.address.version or str(max(versions, default=0))
        facts = parameters.get(served.parameter(int(version)))
        if facts is None:
            raise ModelError(
                f"{text}: not a model of trt-mogface, or no version of it; write it with `trt-mogface triton`"
            )
        return ServedModel.from_json(facts), max(1, int(config.get("max_batch_size", 0)))

    def detect(self, images: Images) -> list[Faces]:
        """Return the faces of each image.

        Args:
            images: uint8 [N, H, W, 3], BGR.

        Raises:
            ImageError: If the server refuses the images.
            ModelError: If the server's model fails, or has other tensors than its facts say.
            ServerError: If the server cannot be reached, is busy, or is too slow.
        """
        return self._repeated(lambda seconds: self._detect(images, seconds))

    def close(self) -> None:
        """Close the connection, and free the shared memory; closing twice is harmless."""
        if self._region is not None and self._client is not None:
            with suppress(Exception):  # the server may be gone
                self._client.unregister_system_shared_memory(self._region.name)
        self._forget_region()
        self._disconnect()

    def _repeated(self, request: Callable[[float], T]) -> T:
        """Repeat a request with the seconds that are left until the server answers."""
        end, pause = time.monotonic() + self.address.timeout, PAUSE
        while True:
            try:
                return request(max(0.001, end - time.monotonic()))
            except self._refusal as error:
                reason, can_repeat = self._explained(error)
            except TimeoutError as error:  # of HTTP
                raise ServerError(self._late()) from error
            except OSError as error:  # of HTTP
                reason, can_repeat = f"cannot be reached ({first_line(error)})", True
            left = end - time.monotonic()
            if not can_repeat or left <= pause:
                raise ServerError(f"{self.address.text}: {reason}; start the server, or correct the address")
            self._disconnect()
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _explained(self, error: Any) -> tuple[str, bool]:
        """Return why a request failed, and whether it can be repeated.

        Raises:
            MogFaceError: If the reason is the images, the model, a full queue or the deadline.
        """
        status, message = str(error.status()), " ".join(str(error.message()).split())
        text = self.address.text
        if FULL in message:
            raise ServerError(
                f"{text}: the server is busy, and its queue full; send fewer images at a time"
            ) from error
        if status in LATE or "timeout" in message.lower() or "timed out" in message.lower():
            raise ServerError(self._late()) from error
        if FORGOTTEN in message:  # the server was started again
            self._forget_region()
            return message, True
        if status in UNAVAILABLE:
            return f"cannot be reached ({message[:200]})", True
        if "unknown model" in message or status in ("StatusCode.NOT_FOUND", "404"):
            raise ModelError(f"{text}: the server has no such model ({message[:200]})") from error
        if status in BAD:
            raise ImageError(f"image: refused by {text} ({message[:300]})") from error
        raise ModelError(f"{text}: the model failed ({message[:300]})") from error

    def _late(self) -> str:
        address = self.address
        return f"{address.text}: no answer within {address.timeout:g} s; allow more with ?timeout=SECONDS"

    def _connected(self) -> Any:
        if self._client is None:
            given: dict[str, Any] = {}
            if self.address.protocol == "http":
                given = {"connection_timeout": self.address.timeout, "network_timeout": self.address.timeout}
            self._client = self._library.InferenceServerClient(self.address.host, **given)
        return self._client

    def _config(self, seconds: float) -> dict[str, Any]:
        client, address = self._connected(), self.address
        if address.protocol == "http":
            config: dict[str, Any] = client.get_model_config(address.model, address.version)
            return config
        found = client.get_model_config(address.model, address.version, as_json=True, client_timeout=seconds)
        return dict(found["config"])

    def _detect(self, images: Images, seconds: float) -> list[Faces]:
        client, address = self._connected(), self.address
        given = self._library.InferInput(served.IMAGES, list(images.shape), "UINT8")
        self._fill(given, images)
        limit = {"client_timeout": seconds} if address.protocol == "grpc" else {}
        answer = client.infer(address.model, [given], address.version, timeout=round(1e6 * seconds), **limit)
        arrays = {
            name: answer.as_numpy(name)
            for name in (
                served.COUNTS,
                served.BOXES,
                served.SCORES,
                served.LANDMARKS,
                served.DROPPED,
                served.TRUNCATED,
            )
        }
        try:
            return [_faces(arrays, row) for row in range(len(images))]
        except (TypeError, IndexError, ValueError) as error:
            problem = "other tensors than its configuration says; write its repository again"
            raise ModelError(f"{address.text}: the model answers with {problem}") from error

    def _fill(self, given: Any, images: Images) -> None:
        """Put images into a request: a name of shared memory, or the bytes."""
        if self._shares_memory:
            try:
                if self._region is None or self._region.size < images.nbytes:
                    self._forget_region()
                    self._region = _Region(images.nbytes)
                self._region.register(self._client)
                self._region.write(images)
                given.set_shared_memory(self._region.name, images.nbytes)
                return
            except self._refusal as error:
                if str(error.status()) in UNAVAILABLE:
                    raise
                self._shares_memory = False  # such as that of a container
                self._forget_region()
        given.set_data_from_numpy(images)

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if self._region is not None:
            self._region.registered = False
        if client is not None:
            with suppress(Exception):
                client.close()

    def _forget_region(self) -> None:
        region, self._region = self._region, None
        if region is not None:
            region.close()


class _Region:
    """Memory that is shared with the server."""

    def __init__(self, size: int) -> None:
        with needs("triton"):
            from tritonclient.utils import shared_memory
        self._library = shared_memory
        self.name, self.size, self.registered = f"trt-mogface-{os.getpid()}-{next(_numbers)}", size, False
        self._handle = shared_memory.create_shared_memory_region(self.name, self.name, size)

    def register(self, client: Any) -> None:
        """Make the region known to the server."""
        if not self.registered:
            with suppress(Exception):  # known already, from a connection before this one
                client.unregister_system_shared_memory(self.name)
            client.register_system_shared_memory(self.name, f"/{self.name}", self.size)
            self.registered = True

    def write(self, images: Images) -> None:
        """Copy images to the beginning of the region."""
        self._library.set_shared_memory_region(self._handle, [images])

    def close(self) -> None:
        """Free the region."""
        self._library.destroy_shared_memory_region(self._handle)


def _faces(arrays: dict[str, Any], row: int) -> Faces:
    def number(name: str) -> int:
        values = arrays[name]
        return 0 if values is None else int(values.reshape(-1)[row])

    count, points = number(served.COUNTS), arrays[served.LANDMARKS]
    boxes, scores = arrays[served.BOXES][row, :count], arrays[served.SCORES][row, :count]
    if boxes.shape != (count, 4) or scores.shape != (count,):
        raise ValueError("other shapes")
    landmarks = None if points is None else points[row, :count]
    return Faces(boxes, scores, landmarks, number(served.DROPPED), number(served.TRUNCATED))
