"""MTCNN's networks against the published ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.published_mtcnn import published, trained, write_npy
from trt_mogface.backends.onnxruntime import session
from trt_mogface.models.cascade import network_file
from trt_mogface.models.files import model_path

torch = pytest.importorskip("torch", reason="the published networks need torch")

from engine_build.models.mtcnn.weights import read  # noqa: E402


@pytest.fixture(scope="module")
def files() -> Mapping[str, Path]:
    return trained()


@pytest.fixture(scope="module")
def folder(files: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_npy(files, tmp_path_factory.mktemp("npy"))


@pytest.mark.parametrize(
    ("stage", "name", "shape"),
    [
        ("pnet", "PNet", (2, 12, 12)),
        ("pnet", "PNet", (2, 13, 46)),
        ("pnet", "PNet", (1, 99, 131)),
        ("rnet", "RNet", (2, 24, 24)),
        ("onet", "ONet", (3, 48, 48)),
    ],
)
def test_networks(
    folder: Path,
    stage: str,
    name: str,
    shape: tuple[int, int, int],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    images = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    network = getattr(published("get_nets"), name)(str(folder / f"{stage}.npy")).eval()
    planes = (images[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) - 127.5) / 128
    with torch.no_grad():
        *others, offsets, scores = (each.numpy() for each in network(torch.from_numpy(planes)))
    opened = session(str(network_file(model_path("mtcnn", weights=folder), stage)), 1)
    ours: Any = opened.run(None, {"images": images})
    for value, expected in zip(ours, (scores[:, 1], offsets, *others), strict=True):
        np.testing.assert_allclose(value, expected, rtol=0, atol=1e-5)


def test_both_layouts_are_the_same_weights(files: Mapping[str, Path], folder: Path) -> None:
    for stage, path in files.items():
        ours, theirs = read(path, stage), read(folder / f"{stage}.npy", stage)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
