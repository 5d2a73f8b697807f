"""``trt-mogface build --end-to-end``, as far as it goes without TensorRT itself."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from tests.support.command import Run
from tests.support.emulated import shared_library
from trt_mogface.errors import EngineError, KernelError
from trt_mogface.kernels.library import PLUGIN_VARIABLE, find_plugin
from trt_mogface.models.cards import DEFAULT

pytest.importorskip("onnx", reason="builds need onnx")


def test_it_writes_an_onnx_file_that_ends_in_faces(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "faces.onnx"
    options = ("--end-to-end", "--conf", "0.25", "--iou", "0.5", "--max-det", "30")
    done = run("build", DEFAULT, "--precision", "fp16", *options, "-o", path)
    assert done.status == 0, done.err
    model = onnx.load(path)
    assert [value.name for value in model.graph.output] == [
        "num_detections",
        "boxes",
        "scores",
        "landmarks",
    ]
    said = {a.name: onnx.helper.get_attribute_value(a) for a in model.graph.node[-1].attribute}
    assert (said["score_threshold"], said["iou_threshold"], said["max_detections"]) == (0.25, 0.5, 30)


def test_tensorrt_rtx_is_refused_before_any_work(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    done = run("build", DEFAULT, "--end-to-end", "--tensorrt", "tensorrt-rtx", "-o", tmp_path)
    assert "runs no plugins" in done.message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["--conf", "--iou", "--max-det"])
def test_thresholds_without_it_are_refused(run: Run, tmp_path: Path, option: str) -> None:
    done = run("build", DEFAULT, option, "1", "-o", tmp_path)
    assert "--end-to-end" in done.message


@pytest.mark.parametrize(("option", "value"), [("--conf", "1.5"), ("--iou", "-0.1"), ("--max-det", "0")])
def test_impossible_thresholds_are_refused(run: Run, tmp_path: Path, option: str, value: str) -> None:
    done = run("build", DEFAULT, "--end-to-end", option, value, "-o", tmp_path / "faces.onnx")
    assert "must" in done.message
    assert not list(tmp_path.iterdir())


def test_a_library_without_the_plugin_is_named() -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    from engine_build.tensorrt.builder import load_plugin

    # TensorRT-RTX runs no plugins but has the same registry.
    with pytest.raises(EngineError, match="finds no plugin MogFaceDetect"):
        load_plugin(trt, shared_library())


def test_a_missing_plugin_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLUGIN_VARIABLE, "/nowhere/libplugin.so")
    with pytest.raises(KernelError, match="no such file"):
        find_plugin()
