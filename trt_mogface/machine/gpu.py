"""GPU of this machine, if there is one."""

from __future__ import annotations

from dataclasses import dataclass

from trt_mogface.cuda.driver import driver_version, find_device


@dataclass(frozen=True)
class Gpu:
    """A GPU, e.g. ``Orin``, its compute capability, and the CUDA version that its driver supports."""

    name: str
    capability: tuple[int, int]
    driver: str


def find_gpu(device: int = 0) -> Gpu | None:
    """Return the GPU with a number; None without a driver or such a GPU."""
    version, found = driver_version(), find_device(device)
    return None if version is None or found is None else Gpu(*found, ".".join(map(str, version)))
