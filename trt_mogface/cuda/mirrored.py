"""Memory that host and device both have: two pieces and copies, or, on an integrated GPU, one."""

from __future__ import annotations

from contextlib import ExitStack

from trt_mogface.cuda.interface import Cuda
from trt_mogface.cuda.resources import DeviceMemory, PinnedMemory


def mirrored(cuda: Cuda, nbytes: int) -> tuple[PinnedMemory, DeviceMemory | None, int]:
    """Host memory, device memory where that is another, and the address at which the device sees it.

    Raises:
        OutOfMemoryError: No room; nothing is kept.
    """
    with ExitStack() as made:
        host = cuda.pin(nbytes, mapped=cuda.device.is_integrated)
        made.callback(host.close)
        device = cuda.allocate(nbytes) if host.device_pointer is None else None
        made.pop_all()
        address = host.device_pointer if host.device_pointer is not None else host.handle
        return host, device, address if device is None else device.handle
