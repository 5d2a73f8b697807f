"""The GPU of this machine, if there is one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """A GPU and its driver.

    Attributes:
        name: E.g. ``Orin``.
        capability: Compute capability, e.g. (8, 7).
        driver: CUDA version the driver supports, e.g. ``13.0``.
    """

    name: str
    capability: tuple[int, int]
    driver: str


def find_gpu(device: int = 0) -> Gpu | None:
    """The GPU of that number; None without a driver, a GPU or the package cuda-bindings."""
    try:
        from cuda.bindings import driver
    except ImportError:
        return None

    def ask(function: object, *arguments: object) -> int:
        status, *values = function(*arguments)  # type: ignore[operator]
        if status != driver.CUresult.CUDA_SUCCESS:
            raise OSError(str(status))
        return values[0] if values else 0

    try:
        ask(driver.cuInit, 0)
        handle = ask(driver.cuDeviceGet, device)
        version = ask(driver.cuDriverGetVersion)
        attribute = driver.CUdevice_attribute
        major, minor = (
            ask(driver.cuDeviceGetAttribute, which, handle)
            for which in (
                attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
                attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
            )
        )
        _, name = driver.cuDeviceGetName(128, handle)
    except (OSError, RuntimeError):  # the bindings raise RuntimeError where libcuda is not there at all
        return None
    text = bytes(name).split(b"\0", 1)[0].decode(errors="replace")
    return Gpu(text, (major, minor), f"{version // 1000}.{version % 1000 // 10}")
