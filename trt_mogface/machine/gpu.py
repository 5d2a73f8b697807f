"""GPU of this machine, if there is one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """A GPU and its driver.

    Attributes:
        name: Name of the GPU, e.g. ``Orin``.
        capability: Compute capability, e.g. (8, 7).
        driver: CUDA version that the driver supports, e.g. ``13.0``.
    """

    name: str
    capability: tuple[int, int]
    driver: str


def find_gpu(device: int = 0) -> Gpu | None:
    """Return the GPU with a number; None without a driver, a GPU or the package cuda-bindings."""
    try:
        from cuda.bindings import driver
    except ImportError:
        return None

    def call(function: object, *arguments: object) -> int:
        status, *values = function(*arguments)  # type: ignore[operator]
        if status != driver.CUresult.CUDA_SUCCESS:
            raise OSError(str(status))
        return values[0] if values else 0

    try:
        call(driver.cuInit, 0)
        handle = call(driver.cuDeviceGet, device)
        version = call(driver.cuDriverGetVersion)
        attribute = driver.CUdevice_attribute
        major, minor = (
            call(driver.cuDeviceGetAttribute, which, handle)
            for which in (
                attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
                attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
            )
        )
        _, name = driver.cuDeviceGetName(128, handle)
    except (OSError, RuntimeError):  # the bindings raise RuntimeError without libcuda
        return None
    text = bytes(name).split(b"\0", 1)[0].decode(errors="replace")
    return Gpu(text, (major, minor), f"{version // 1000}.{version % 1000 // 10}")
