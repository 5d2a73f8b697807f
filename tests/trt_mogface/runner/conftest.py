"""Runners without a GPU, and a check that none leaves anything behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fakes import FakeBackend, Gate, echo_network
from trt_mogface.runner import runner as runner_module


@pytest.fixture(autouse=True)
def _no_threads_are_left() -> Iterator[None]:
    before = set(threading.enumerate())  # those of detectors that several tests share
    yield
    left = [each.name for each in threading.enumerate() if each.name.startswith("trt-mogface")]
    kept = [each.name for each in before if each.is_alive()]
    assert sorted(left) == sorted(name for name in kept if name.startswith("trt-mogface"))


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> FakeBackend:
    """What every runner of the test runs on."""
    fake = FakeBackend()
    monkeypatch.setattr(runner_module, "open_backend", lambda *_, **__: fake)
    return fake


@pytest.fixture
def gate(backend: FakeBackend) -> Iterator[Gate]:
    """Where the batches of `backend` wait before their faces are there."""
    gate = Gate()
    backend.at_wait = gate
    yield gate
    gate.open()


@pytest.fixture(scope="session")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return echo_network(tmp_path_factory.mktemp("echo") / "echo.onnx")
