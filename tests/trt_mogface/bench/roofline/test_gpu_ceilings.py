"""The measurements of a GPU with a simulated torch, whose clock advances by the work requested."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.specs import one_line
from trt_mogface.bench.roofline import measure_gpu
from trt_mogface.errors import DeviceError

BANDWIDTH = 1e12
RATES = {"float32": 5e13, "float16": 8e14, "bfloat16": 8e14, "int8": 16e14}
"""Rates of the simulated device."""


class OutOfMemoryError(RuntimeError):
    pass


class Device:
    """A clock in milliseconds, and the largest side of a matrix that fits."""

    def __init__(self, largest: int = 1 << 20) -> None:
        self.now, self.largest = 0.0, largest


class Tensor:
    def __init__(self, device: Device, shape: tuple[int, ...], kind: str) -> None:
        self.device, self.shape, self.kind = device, shape, kind

    def to(self, kind: str) -> Tensor:
        return Tensor(self.device, self.shape, kind)

    def t(self) -> Tensor:
        return self

    def copy_(self, other: Tensor) -> None:
        self.device.now += 1e3 * 2 * other.shape[0] / BANDWIDTH


def simulated(device: Device) -> Any:
    """The part of torch that the module uses."""

    def made(shape: tuple[int, ...], dtype: str, where: str) -> Tensor:
        assert where == "cuda"
        if len(shape) == 2 and shape[0] > device.largest:
            raise OutOfMemoryError("CUDA out of memory")
        return Tensor(device, shape, dtype)

    def randint(low: int, high: int, shape: tuple[int, ...], *, dtype: str, device: str) -> Tensor:
        assert (low, high) == {"uint8": (0, 256), "int8": (-128, 128)}[dtype]
        return made(shape, dtype, device)

    def ones(shape: tuple[int, ...], *, device: str) -> Tensor:
        assert shape == (), "constant data need less power than a network's"
        return made(shape, "float32", device)

    def product(left: Tensor, right: Tensor) -> None:
        assert left.kind == right.kind
        device.now += 1e3 * 2 * left.shape[0] ** 3 / RATES[left.kind]

    def unsupported(*_: Tensor, **__: Any) -> None:
        raise RuntimeError("torch._scaled_mm is only supported on CUDA devices of 8.9 and later\nsee there")

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            self.at = device.now

        def elapsed_time(self, later: Event) -> float:
            return later.at - self.at

    return SimpleNamespace(
        cuda=SimpleNamespace(
            is_available=lambda: True,
            get_device_name=lambda: "NVIDIA Simulated",
            set_device=lambda _: None,
            synchronize=lambda: None,
            Event=Event,
            OutOfMemoryError=OutOfMemoryError,
        ),
        ones=ones,
        randint=randint,
        randn=lambda *shape, device: made(shape, "float32", device),
        empty_like=lambda other: other,
        matmul=product,
        _int_mm=product,
        _scaled_mm=unsupported,
        **{name: name for name in ("float32", "float16", "bfloat16", "int8", "uint8", "float8_e4m3fn")},
    )


@pytest.mark.parametrize("largest", [1 << 20, 4096])
def test_rates_are_operations_by_the_time_of_events(monkeypatch: pytest.MonkeyPatch, largest: int) -> None:
    monkeypatch.setitem(sys.modules, "torch", simulated(Device(largest)))
    found = measure_gpu()
    assert found.machine == "NVIDIA Simulated"
    assert found.bytes_per_s == pytest.approx(BANDWIDTH)
    names = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "int8": "int8"}
    assert found.operations_per_s == pytest.approx({key: RATES[kind] for key, kind in names.items()})


def test_what_the_card_cannot_do_is_left_out_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", simulated(Device()))
    (reason,) = measure_gpu().missing.items()
    assert reason == ("fp8", "torch._scaled_mm is only supported on CUDA devices of 8.9 and later")


def test_a_card_without_memory_has_no_rates_and_nothing_crashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", simulated(Device(largest=100)))
    found = measure_gpu()
    assert not found.operations_per_s
    assert set(found.missing.values()) == {"not enough free memory on the GPU"}


def test_without_a_gpu_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: False))
    monkeypatch.setitem(sys.modules, "torch", fake)
    with pytest.raises(DeviceError, match="was found") as caught:
        measure_gpu()
    one_line(caught.value)


def test_the_functions_of_torch_that_are_used_are_there() -> None:
    torch = pytest.importorskip("torch", reason="compared with torch's own names")
    for name in ("matmul", "_int_mm", "_scaled_mm", "float8_e4m3fn", "empty_like", "randn", "randint"):
        assert hasattr(torch, name)
    for name in ("Event", "OutOfMemoryError", "get_device_name", "set_device", "synchronize"):
        assert hasattr(torch.cuda, name)
