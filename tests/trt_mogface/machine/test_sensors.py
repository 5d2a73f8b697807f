"""Samples, and values that this machine does not report."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

import pytest

from trt_mogface.machine import sensors
from trt_mogface.machine.facts import machine
from trt_mogface.machine.gpu import find_gpu
from trt_mogface.machine.sensors import Readings, Sensors, gpu_facts, gpu_reader, process_memory_mb


def test_samples_are_combined_as_each_asks_for() -> None:
    samples = [
        {"power_w": 100.0, "sm_clock_mhz": 1000.0, "gpu_memory_mb": 5.0},
        {"power_w": 200.0, "sm_clock_mhz": 1900.0, "gpu_memory_mb": 9.0},
        {"power_w": 600.0, "sm_clock_mhz": 1980.0, "gpu_memory_mb": 7.0},
    ]
    assert Readings.of(samples, 12.0) == Readings(300.0, 1900.0, None, 9.0, 12.0)


def test_nothing_read_is_none_and_not_zero() -> None:
    with Sensors(None) as read:
        pass
    values = vars(read.readings)
    assert values.pop("process_memory_mb") > 1.0
    assert set(values.values()) == {None}


def test_samples_come_from_a_thread_that_ends_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors, "INTERVAL", 0.001)
    with Sensors(lambda: {"power_w": 50.0}) as read:
        assert "sensors" in {thread.name for thread in threading.enumerate()}
        time.sleep(0.1)
    assert read.readings.power_w == 50.0
    assert "sensors" not in {thread.name for thread in threading.enumerate()}


def test_questions_that_a_gpu_does_not_answer_are_left_out() -> None:
    def refuses() -> float:
        raise LookupError("NVML_ERROR_NOT_SUPPORTED")

    assert sensors._available(LookupError, {"power_w": refuses, "gpu_memory_mb": lambda: 4.0}) == {
        "gpu_memory_mb": 4.0
    }


def test_peak_memory_is_what_the_kernel_says() -> None:
    status = Path("/proc/self/status").read_text()
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    assert process_memory_mb() == pytest.approx(int(peak) * 1024 / 1e6, rel=0.05)


@pytest.mark.skipif(find_gpu() is not None, reason="there is a GPU")
def test_without_a_gpu_there_is_nothing_to_read() -> None:
    assert gpu_reader(0) is None
    assert gpu_facts(0) == {}
    assert "gpu" not in machine()


def test_the_machine_names_only_packages_that_are_installed() -> None:
    about = machine()
    assert about["versions"]["trt-mogface"]
    assert None not in about["versions"].values()
    assert about["cpu"]
