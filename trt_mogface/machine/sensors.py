"""Power, clocks and memory, sampled while something is measured."""

from __future__ import annotations

import resource
import statistics
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from trt_mogface.machine.gpu import find_gpu

INTERVAL = 0.2
"""Seconds between samples: NVML's values change no faster, and reading them disturbs the measured work."""

Sample = dict[str, float]
"""Power in W, clocks in MHz, memory in MB, use of GPU and decoder in percent, by name; see `Readings`."""


@dataclass(frozen=True)
class Readings:
    """Readings over a measurement; None for values that this machine does not report.

    Attributes:
        power_w: Mean power.
        sm_clock_mhz, memory_clock_mhz: Median clocks.
        gpu_memory_mb: Largest memory in use by all processes on the GPU.
        process_memory_mb: Largest resident memory of this process since its start.
    """

    power_w: float | None = None
    sm_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    gpu_memory_mb: float | None = None
    process_memory_mb: float | None = None

    @staticmethod
    def of(samples: list[Sample], process_memory_mb: float | None) -> Readings:
        """Combine samples, each of which may lack values."""

        def over(name: str, combine: Callable[[list[float]], float]) -> float | None:
            values = [sample[name] for sample in samples if name in sample]
            return combine(values) if values else None

        return Readings(
            power_w=over("power_w", statistics.fmean),
            sm_clock_mhz=over("sm_clock_mhz", statistics.median),
            memory_clock_mhz=over("memory_clock_mhz", statistics.median),
            gpu_memory_mb=over("gpu_memory_mb", max),
            process_memory_mb=process_memory_mb,
        )


class Sensors:
    """Context that samples with ``read`` while its block runs; its `readings` are set at the end.

    With None for ``read``, only this process's memory is read.
    """

    def __init__(self, read: Callable[[], Sample] | None) -> None:
        self._read, self._samples = read, list[Sample]()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="sensors", daemon=True)
        self.readings = Readings()

    def __enter__(self) -> Sensors:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.readings = Readings.of(self._samples, process_memory_mb())

    def _sample(self) -> None:
        while self._read is not None and not self._over.wait(INTERVAL):
            self._samples.append(self._read())


def process_memory_mb() -> float:
    """Return the largest resident memory of this process since its start; the system counts it in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def gpu_reader(device: int) -> Callable[[], Sample] | None:
    """Return a function that samples a GPU by NVML; None without one, or without the package nvidia-ml-py.

    Values that NVML does not report are left out; Jetson's reports fewer than others.
    """
    found = _nvml(device)
    if found is None:
        return None
    nvml, handle = found
    readers: dict[str, Callable[[], float]] = {
        "power_w": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1e3,
        "sm_clock_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
        "memory_clock_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
        "gpu_memory_mb": lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used / 1e6,
        "gpu_percent": lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu,
        "decoder_percent": lambda: nvml.nvmlDeviceGetDecoderUtilization(handle)[0],
    }
    return lambda: _available(nvml.NVMLError, readers)


def gpu_facts(device: int) -> dict[str, Any]:
    """Return the driver's version and a GPU's highest clocks in MHz, as far as NVML reports them."""
    found = _nvml(device)
    if found is None:
        return {}
    nvml, handle = found
    readers: dict[str, Callable[[], Any]] = {
        "driver_version": nvml.nvmlSystemGetDriverVersion,
        "max_sm_clock_mhz": lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM),
        "max_memory_clock_mhz": lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_MEM),
    }
    return _available(nvml.NVMLError, readers)


def _available(refusal: type[Exception], readers: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    values = {}
    for name, read in readers.items():
        with suppress(refusal):  # not supported here: left out, not 0
            values[name] = read()
    return values


def _nvml(device: int) -> tuple[Any, Any] | None:
    """Return NVML and its handle of CUDA's device: NVML counts all GPUs, CUDA the visible ones."""
    if find_gpu(device) is None:
        return None
    try:
        import pynvml
        from cuda.bindings import driver
    except ImportError:
        return None
    status, address = driver.cuDeviceGetPCIBusId(32, device)
    if status != driver.CUresult.CUDA_SUCCESS:
        return None
    try:
        pynvml.nvmlInit()
        return pynvml, pynvml.nvmlDeviceGetHandleByPciBusId(bytes(address).split(b"\0", 1)[0])
    except pynvml.NVMLError:
        return None
