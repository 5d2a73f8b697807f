"""TensorRT-RTX builds an engine of every detector by name, without a GPU: `make family`."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import pytest

from benchmarks._lib.weights import weights_of
from engine_build.models.registry import recipes
from tests.support.command import Run
from tests.support.photos import Photo
from trt_mogface.models.manifest import load_manifest

pytestmark = pytest.mark.skipif(
    not os.environ.get("MOGFACE_TEST_FAMILY"), reason="takes minutes: make family"
)
pytest.importorskip("torch", reason="the networks need torch")
pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")

IMAGES = 8
SMALL = ("--calib-size", "320x320", "--max-loss", "100", "--tensorrt", "tensorrt-rtx")


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory, group: Photo) -> Path:
    """Eight crops of a photo, 320x320."""
    folder = tmp_path_factory.mktemp("calibration")
    for index in range(IMAGES):
        x, y = 320 * (index % 4), 320 * (index // 4)
        cv2.imwrite(str(folder / f"{index}.png"), group[y : y + 320, x : x + 320])
    return folder


@pytest.mark.parametrize("name", recipes())
def test_engines_are_built(
    name: str, test_data: Path, run: Run, calibration: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = weights_of(name, test_data, tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    precisions = ("fp16",) if name.startswith("mogface") else ("fp16", "int8")
    own = ("--weights", weights) if weights else ()
    calibrate = ("--calib", calibration) if "int8" in precisions else ()
    folder = f"{tmp_path}/out/"
    result = run("build", name, *own, "--precision", ",".join(precisions), *calibrate, *SMALL, "-o", folder)
    assert result.status == 0, result.err
    engines = sorted(Path(folder).glob("*.engine"))
    assert len(engines) == len(precisions)
    for precision, engine in zip(precisions, engines):
        manifest = load_manifest(engine)
        assert manifest.precision == precision
        assert manifest.spec.name == name
