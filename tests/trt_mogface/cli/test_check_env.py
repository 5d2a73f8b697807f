"""``trt-mogface check-env``."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from pathlib import Path

import pytest

from tests.support.command import Run, command
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
    if not installed:
        monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    monkeypatch.setattr("trt_mogface.cuda.driver.driver_version", lambda: driver)
    piece = next(piece for piece in pieces() if piece.name == "cuda-bindings")
    assert piece.missing == missing
    assert piece.found == ("" if missing else installed)


def test_every_piece_is_found_or_says_what_is_missing() -> None:
    assert all(bool(piece.found) != bool(piece.missing) for piece in pieces())


def test_nothing_is_folded_where_no_terminal_is(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / ("folder" * 15) / "kernels.so"
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv(VARIABLE, str(path))
    done = run("check-env")
    assert (done.status, done.err) == (0, "")
    assert str(path) in done.out


def test_models_are_not_folded() -> None:
    done = command("models", env={**os.environ, "COLUMNS": "80"})
    assert "ModelScope damo/cv_resnet101_face-detection_cvpr22papermogface, or --weights FILE" in done.out
