"""The installed TensorRT, and the messages without one that fits."""

from __future__ import annotations

import gc
import importlib.util
import sys
import threading
from enum import IntEnum
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tests.support.specs import one_line
from trt_mogface.errors import EngineError, MissingExtraError
from trt_mogface.machine.tensorrt import (
    MODULES,
    FlavorName,
    find_tensorrt,
    flavor_name,
    make_logger,
    without_collection,
)

FLAVORS: list[FlavorName] = ["tensorrt", "tensorrt-rtx"]


def without(monkeypatch: pytest.MonkeyPatch, *names: FlavorName) -> None:
    """As if these were not installed: an import of None fails."""
    for name in names:
        monkeypatch.setitem(sys.modules, MODULES[name], None)


def installed(monkeypatch: pytest.MonkeyPatch, name: FlavorName, version: str) -> ModuleType:
    """A module that has a version and nothing else."""
    module = ModuleType(MODULES[name])
    vars(module)["__version__"] = version
    monkeypatch.setitem(sys.modules, MODULES[name], module)
    return module


def test_the_installed_one_is_found() -> None:
    module = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    found = find_tensorrt("tensorrt-rtx")
    assert (found.name, found.version, found.module) == ("tensorrt-rtx", module.__version__, module)
    assert found.is_rtx
    if importlib.util.find_spec("tensorrt") is None:
        assert find_tensorrt() == found


def test_of_two_the_full_one_is_taken_unless_the_other_is_requested(monkeypatch: pytest.MonkeyPatch) -> None:
    full = installed(monkeypatch, "tensorrt", "10.3.0")
    rtx = installed(monkeypatch, "tensorrt-rtx", "1.2.0.54")
    assert find_tensorrt().module is full
    assert not find_tensorrt().is_rtx
    assert find_tensorrt("tensorrt").module is full
    assert find_tensorrt("tensorrt-rtx").module is rtx
    without(monkeypatch, "tensorrt")
    assert find_tensorrt().module is rtx


def missing(name: FlavorName | None = None) -> str:
    with pytest.raises(MissingExtraError) as error:
        find_tensorrt(name)
    return one_line(error.value)


@pytest.mark.parametrize("name", FLAVORS)
def test_one_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, name: FlavorName) -> None:
    (other,) = (each for each in FLAVORS if each != name)
    installed(monkeypatch, other, {"tensorrt": "10.3.0", "tensorrt-rtx": "1.2.0"}[other])
    without(monkeypatch, name)
    monkeypatch.setattr(Path, "exists", lambda _: False)
    message = missing(name)
    assert message.startswith(f"{name} is not installed")
    packages = {"tensorrt": "trt-mogface[tensorrt]", "tensorrt-rtx": "trt-mogface[rtx]"}
    assert f"pip install '{packages[name]}'" in message
    assert packages[other] not in message


def test_without_any_the_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, *FLAVORS)
    monkeypatch.setattr(Path, "exists", lambda _: False)
    message = missing()
    assert message.startswith("TensorRT is not installed")
    assert "pip install 'trt-mogface[rtx]'" in message
    assert "pip install 'trt-mogface[tensorrt]'" in message


def test_on_jetson_jetpack_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, *FLAVORS)
    monkeypatch.setattr(Path, "exists", lambda path: str(path) == "/etc/nv_tegra_release")
    message = missing()
    assert "sudo apt install python3-libnvinfer" in message
    assert "--system-site-packages" in message
    assert "pip install" not in message


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("tensorrt", "10.3.0"),
        ("tensorrt", "10.3"),
        ("tensorrt", "10.14.1.48"),  # 14 comes after 3
        ("tensorrt", "11.99.0"),
        ("tensorrt-rtx", "1.0.0"),
        ("tensorrt-rtx", "1.7.1.116"),
    ],
)
def test_known_releases_are_taken(monkeypatch: pytest.MonkeyPatch, name: FlavorName, version: str) -> None:
    installed(monkeypatch, name, version)
    assert find_tensorrt(name).version == version


@pytest.mark.parametrize(
    ("name", "version", "known"),
    [
        ("tensorrt", "10.2.9", "10.3 to 11.x"),
        ("tensorrt", "8.6.1", "10.3 to 11.x"),
        ("tensorrt", "9.99.0", "10.3 to 11.x"),
        ("tensorrt", "12.0.0", "10.3 to 11.x"),
        ("tensorrt-rtx", "0.9.0", "1.0 to 1.x"),
        ("tensorrt-rtx", "2.0.0.1", "1.0 to 1.x"),
    ],
)
def test_other_releases_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: FlavorName, version: str, known: str
) -> None:
    installed(monkeypatch, name, version)
    with pytest.raises(EngineError) as error:
        find_tensorrt(name)
    message = one_line(error.value)
    assert f"{name} {version} is installed" in message
    assert known in message


def test_names_of_flavors() -> None:
    assert [flavor_name(name) for name in FLAVORS] == FLAVORS


@pytest.mark.parametrize("text", ["", "TensorRT", "tensorrt_rtx", "tensorrt ", "rtx", "tensorrt\nrtx"])
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(EngineError) as error:
        flavor_name(text)
    message = one_line(error.value)
    assert "choose from tensorrt, tensorrt-rtx" in message


class Severity(IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2


class FakeLogger:
    Severity = Severity


def test_the_logger_keeps_the_last_error_in_one_line() -> None:
    trt, seen = SimpleNamespace(ILogger=FakeLogger), list[tuple[str, str]]()
    logger = make_logger(trt, lambda severity, message: seen.append((severity, message)))
    assert logger.last_error == "no reason given"
    logger.log(Severity.ERROR, "a layer\n  failed")
    logger.log(Severity.WARNING, "slow")
    assert logger.last_error == "a layer failed"
    assert seen == [("error", "a layer\n  failed"), ("warning", "slow")]
    silent = make_logger(trt)
    silent.log(Severity.INTERNAL_ERROR, "x" * 999)
    assert silent.last_error == "x" * 300


def test_collection_is_suspended_until_the_last_of_several_threads_ends() -> None:
    assert gc.isenabled()
    entered, leave = threading.Event(), threading.Event()

    def work() -> None:
        with without_collection():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=work)
    with without_collection():
        thread.start()
        assert entered.wait(10)
        assert not gc.isenabled()
    assert not gc.isenabled()
    leave.set()
    thread.join()
    assert gc.isenabled()


def test_collection_that_the_user_has_disabled_stays_so() -> None:
    gc.disable()
    try:
        with without_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
