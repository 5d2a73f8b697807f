"""`ServiceOptions`: limits of the HTTP service."""

from __future__ import annotations

from dataclasses import dataclass

from trt_mogface.errors import ArgumentError
from trt_mogface.frame import MAX_PIXELS
from trt_mogface.machine.cpu import available_cores


@dataclass(frozen=True)
class ServiceOptions:
    """Limits of the HTTP service.

    Attributes:
        max_bytes: Largest body of a request, in bytes.
        max_pixels: Largest number of pixels of an image.
        queue: Largest number of images in the service, whether they wait or run.
        timeout: Seconds from the whole body to the answer, and until a body must make progress.
        per_client: Largest number of images of one client in the service.
        drain: Seconds after a signal in which accepted requests are answered.
        threads: Threads that decode images; None for one per core.
        keys: API keys, one of which a request must have; empty for none.

    Raises:
        ArgumentError: If a limit is not positive, or `max_pixels` is more than an image may have.
    """

    max_bytes: int = 20_000_000
    max_pixels: int = 50_000_000
    queue: int = 256
    timeout: float = 5.0
    per_client: int = 32
    drain: float = 30.0
    threads: int | None = None
    keys: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels", "queue", "timeout", "per_client", "drain", "threads"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ArgumentError(name, "must be positive", value)
        if self.max_pixels > MAX_PIXELS:
            raise ArgumentError("max_pixels", f"must be at most {MAX_PIXELS}", self.max_pixels)

    @property
    def held_bytes(self) -> int:
        """Largest number of bytes of all bodies that are held at a time."""
        return 16 * self.max_bytes

    @property
    def decoders(self) -> int:
        """Number of threads that decode images."""
        return self.threads or available_cores()
