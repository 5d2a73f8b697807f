"""``trt-mogface check-env``."""

from __future__ import annotations

import importlib.metadata

import pytest

from tests.support.command import Run
from trt_mogface.kernels.library import VARIABLE
from trt_mogface.machine.environment import pieces


def test_it_prints_every_piece(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    done = run("check-env")
    assert done.status == 0
    for piece in pieces():
        assert piece.name in done.out


def test_versions_are_those_installed() -> None:
    found = {piece.name: piece for piece in pieces()}
    assert found["onnxruntime"].found == importlib.metadata.version("onnxruntime")
    assert not found["onnxruntime"].missing


def test_what_is_missing_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/nowhere/kernels.so")
    kernels = next(piece for piece in pieces() if piece.name == "CUDA kernels")
    assert not kernels.found
    assert "/nowhere/kernels.so" in kernels.missing


@pytest.mark.parametrize(
    ("installed", "driver", "missing"),
    [
        (
            "13.5.0",
            (12, 6),
            "13.5.0 needs a driver for CUDA 13, this one is for 12.6; pip install 'trt-mogface[cuda12]'",
        ),
        ("13.5.0", (13, 0), ""),
        ("12.9.10", (13, 0), ""),
        ("13.5.0", None, ""),
        ("", (12, 6), "pip install 'trt-mogface[cuda12]'"),
        ("", (13, 2), "pip install 'trt-mogface[cuda13]'"),
        ("", None, "pip install 'trt-mogface[cuda13]'"),
    ],
)
def test_bindings_that_do_not_fit_the_driver_count_as_missing(
    monkeypatch: pytest.MonkeyPatch, installed: str, driver: tuple[int, int] | None, missing: str
) -> None:
    def version(name: str) -> str:
        if not installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed

    monkeypatch.setattr(importlib.metadata, "version", version)
    for module in ("trt_mogface.cuda.driver", "trt_mogface.machine.environment"):
        monkeypatch.setattr(f"{module}.driver_version", lambda: driver)
    piece = next(piece for piece in pieces() if piece.name == "cuda-bindings")
    assert piece.missing == missing
    assert piece.found == ("" if missing else installed)


def test_every_piece_is_found_or_says_what_is_missing() -> None:
    assert all(bool(piece.found) != bool(piece.missing) for piece in pieces())
