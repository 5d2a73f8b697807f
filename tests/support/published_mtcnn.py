"""The published MTCNN and its weights, or a skipped test where one of them is missing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("torch", reason="the published networks need torch")

from benchmarks.peers import published_mtcnn
from benchmarks.peers.published_mtcnn import detect, write_npy
from engine_build.models.mtcnn import weight_files
from tests.support.published import downloads

__all__ = ["detect", "published", "trained", "write_npy"]


def trained() -> Mapping[str, Path]:
    """Return the trained weights of ``facenet-pytorch`` by network."""
    with downloads():
        return weight_files(None)


def published(module: str) -> ModuleType:
    """Import a module of the published code, such as ``detector``."""
    try:
        return published_mtcnn.published(module)
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
