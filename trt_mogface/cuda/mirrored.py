"""`mirrored`: memory that host and device share, or a piece on each side."""

from __future__ import annotations

from contextlib import ExitStack

from trt_mogface.cuda.interface import Cuda
from trt_mogface.cuda.resources import DeviceMemory, PinnedMemory


def mirrored(cuda: Cuda, nbytes: int) -> tuple[PinnedMemory, DeviceMemory | None, int]:
    """Allocate host memory and its counterpart on the device.

    Returns:
        Host memory; device memory, or None on an integrated GPU, which reads the host's; device address.

    Raises:
        OutOfMemoryError: If either does not fit; nothing stays allocated.
    """
    with ExitStack() as made:
        host = cuda.pin(nbytes, mapped=cuda.device.is_integrated)
        made.callback(host.close)
        device = cuda.allocate(nbytes) if host.device_pointer is None else None
        made.pop_all()
        address = host.device_pointer if host.device_pointer is not None else host.handle
        return host, device, address if device is None else device.handle
