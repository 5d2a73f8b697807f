"""The network only: by ONNX Runtime, and on a device emulated in host memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.fakes import echo_network
from tests.support.host_cuda import HostCuda, HostNetwork
from tests.support.onnx_files import answers, constant_network
from tests.support.specs import one_line, small_spec
from trt_mogface.backends.onnxruntime import OnnxNetwork
from trt_mogface.bench.measurement import MeasureOptions
from trt_mogface.bench.network import IN_FLIGHT, EngineTimer, on_cpu
from trt_mogface.errors import CudaError, ModelError, OutOfMemoryError

BRIEF = MeasureOptions(0.05, warm_up=0.01, iterations=10)
SHAPE = (2, 16, 24)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return echo_network(tmp_path / "echo.onnx")


def on_host(path: Path, cuda: HostCuda) -> HostNetwork:
    return HostNetwork(OnnxNetwork(path, threads=1), cuda, SHAPE)


def test_on_the_cpu_at_least_as_many_runs_and_as_long_as_requested(network: Path) -> None:
    measured = on_cpu(network, SHAPE, 1, BRIEF)
    assert measured.count >= 10
    assert measured.seconds >= 0.05
    assert measured.images_per_s == pytest.approx(2 * measured.count / measured.seconds)


def test_a_model_that_fails_says_so_in_one_line(tmp_path: Path) -> None:
    path = constant_network(tmp_path / "a.onnx", answers(1), spec=small_spec().to_json())
    with pytest.raises(ModelError) as failure:
        on_cpu(path, SHAPE, 1, BRIEF)
    assert "scores" in one_line(failure.value)


class Counting(HostCuda):
    """Counts the runs that are enqueued and not yet waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.open = self.most = 0

    def wait(self, event: Any) -> None:
        super().wait(event)
        self.open -= 1

    def _call(self, name: str, *, waits: bool = False) -> None:
        super()._call(name, waits=waits)
        if name == "network":
            self.open += 1
            self.most = max(self.most, self.open)


def test_on_a_device_runs_overlap_as_far_as_allowed_and_each_has_its_time(network: Path) -> None:
    cuda = Counting()
    with EngineTimer(cuda, on_host(network, cuda), small_spec(), SHAPE) as device:
        measured = device.measure(BRIEF)
        times, seconds = device.repeat(0.0, 7)
    assert (cuda.most, cuda.open) == (IN_FLIGHT, 0)
    assert measured.count >= 10
    assert len(times) == 7
    assert 0 < min(times) <= max(times) <= seconds * 1e3
    assert not cuda.live


def test_a_half_allocated_timer_is_freed(network: Path) -> None:
    cuda = HostCuda(memory=SHAPE[0] * SHAPE[1] * SHAPE[2] * 3 + 64)
    with pytest.raises(OutOfMemoryError):
        EngineTimer(cuda, on_host(network, cuda), small_spec(), SHAPE)
    assert not cuda.live


def test_an_error_of_the_device_comes_through_and_leaves_nothing(network: Path) -> None:
    cuda = HostCuda()
    cuda.failing["network"] = CudaError("launch: CUDA_ERROR_ILLEGAL_ADDRESS")
    with (
        pytest.raises(CudaError, match="ILLEGAL"),
        EngineTimer(cuda, on_host(network, cuda), small_spec(), SHAPE) as device,
    ):
        device.measure(BRIEF)
    assert not cuda.live


def test_the_input_is_noise(network: Path) -> None:
    """Zeros or ones need less power than images do, and a GPU clocks higher with them."""
    cuda = HostCuda()
    with EngineTimer(cuda, on_host(network, cuda), small_spec(), SHAPE) as device:
        device.run()
        pixels = device._images.native[: device._images.nbytes]
        assert len(np.unique(pixels)) > 200
        assert not cuda.pinned
