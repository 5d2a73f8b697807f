"""An engine that ends in faces, where its plugin library is missing or of another TensorRT."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine_build.build import EngineBuild
from engine_build.lowering import Lowering, LoweringOptions
from engine_build.tensorrt.builder import BuilderOptions
from engine_build.tensorrt.profiles import parse_profiles
from tests.support.specs import MOGFACE, one_line
from trt_mogface.errors import EngineError, KernelError
from trt_mogface.kernels.library import PLUGIN_VARIABLE
from trt_mogface.machine.tensorrt import Flavor
from trt_mogface.models.cards import DEFAULT, embedded_file


@pytest.fixture
def building(monkeypatch: pytest.MonkeyPatch) -> EngineBuild:
    """A build by a made-up TensorRT 10, whose registry finds no plugin in any library."""
    registry = SimpleNamespace(get_creator=lambda *_: None, load_library=lambda _: None)
    module: Any = SimpleNamespace(
        __name__="tensorrt", __version__="10.3.0", get_plugin_registry=lambda: registry
    )
    monkeypatch.setattr(Lowering, "at", lambda *_: pytest.fail("the model was lowered"))
    options = LoweringOptions(embedded_file(DEFAULT), end_to_end=MOGFACE.thresholds)
    profiles = BuilderOptions(parse_profiles(["1x320x320"]))
    return EngineBuild(Lowering(options), profiles, Flavor("tensorrt", "10.3.0", module))


def test_a_missing_library_is_named_before_any_work(
    building: EngineBuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PLUGIN_VARIABLE, "/nowhere/libplugin.so")
    with pytest.raises(KernelError, match="no such file") as error:
        building.engine("int8", tmp_path)
    assert one_line(error.value)
    assert not list(tmp_path.iterdir())


def test_a_library_of_another_tensorrt_is_named_before_any_work(
    building: EngineBuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "libplugin.so"
    library.write_bytes(b"")
    monkeypatch.setenv(PLUGIN_VARIABLE, str(library))
    with pytest.raises(EngineError, match="finds no plugin MogFaceDetect") as error:
        building.engine("int8", tmp_path / "faces.engine")
    assert one_line(error.value)
