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


def test_every_piece_is_found_or_says_what_is_missing() -> None:
    assert all(bool(piece.found) != bool(piece.missing) for piece in pieces())
