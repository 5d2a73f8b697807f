"""Which backend a model gets, and what engines are refused for, on a machine without a GPU too."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.command import runner
from tests.support.manifests import GOOD
from tests.support.specs import one_line
from trt_mogface import Detector, Runner
from trt_mogface._onnxruntime import onnxruntime
from trt_mogface.backends.cpu import CpuBackend
from trt_mogface.backends.registry import open_backend
from trt_mogface.errors import (
    ArgumentError,
    EngineError,
    KernelError,
    MissingExtraError,
    ModelError,
    MogFaceError,
)
from trt_mogface.kernels.library import VARIABLE
from trt_mogface.machine.gpu import Gpu
from trt_mogface.models.cards import DEFAULT
from trt_mogface.models.manifest import Manifest, is_engine, manifest_path

trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")

PLAN = b"not a plan that TensorRT knows"


def engine(folder: Path, **changes: object) -> Path:
    """An engine of TensorRT-RTX by its manifest; its plan is not one."""
    path = folder / "small.engine"
    path.write_bytes(PLAN)
    fitting = {
        "flavor": "tensorrt-rtx",
        "tensorrt": trt.__version__,
        "compute_capabilities": (),
        "plan_bytes": len(PLAN),
        "plan_sha256": hashlib.sha256(PLAN).hexdigest(),
    }
    manifest: Manifest = dataclasses.replace(GOOD, **{**fitting, **changes})
    manifest_path(path).write_text(manifest.to_json())
    return path


def refusal(path: Path) -> str:
    with pytest.raises(MogFaceError) as error:
        open_backend(path)
    return one_line(error.value)


@pytest.fixture
def a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of a GPU is answered; there may be none."""
    monkeypatch.setattr(
        "trt_mogface.backends.gpu.engine.find_gpu", lambda _: Gpu("NVIDIA RTX 4090", (8, 9), "13.0")
    )


def test_a_model_runs_on_the_cpu() -> None:
    backend = open_backend(DEFAULT)
    assert isinstance(backend, CpuBackend)
    assert open_backend(backend) is backend
    backend.close()


@pytest.mark.parametrize(
    "model", [None, 3, 1.5, True, b"model.onnx", [], {}, object(), np.zeros(3), "", "a\0b"]
)
def test_what_cannot_be_a_model_is_refused_in_a_line(model: Any) -> None:
    for kind in (Detector, Runner):
        with pytest.raises(ModelError) as error:
            kind(model)
        assert "must be a name" in one_line(error.value)


@pytest.mark.parametrize("device", [0, 1, True, -1, 1.0, "0", [0], "cpu"])
def test_a_gpu_for_a_model_on_the_cpu_is_refused(device: Any) -> None:
    """Its number, 0 too, and what is not a number of a GPU."""
    with pytest.raises(ArgumentError) as error:
        Detector(device=device)
    assert error.value.argument == "device"
    expected = "omit it" if type(device) is int and device >= 0 else "must be the number of a GPU"
    assert expected in one_line(error.value)


@pytest.mark.parametrize("kind", [Detector, Runner])
def test_a_provider_that_is_missing_is_refused_with_those_that_are_there(kind: Any) -> None:
    available = ", ".join(onnxruntime().get_available_providers())
    with pytest.raises(ArgumentError) as error:
        kind(providers=["NoSuchExecutionProvider"])
    message = one_line(error.value)
    assert message.startswith("providers NoSuchExecutionProvider: ")
    assert f"(choose from {available})" in message


def test_a_provider_that_leaves_everything_to_the_cpu_is_refused(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """That of Azure, which is part of the package for CPUs, runs only operators of its own."""
    azure, cpu = "AzureExecutionProvider", "CPUExecutionProvider"
    if azure not in onnxruntime().get_available_providers():
        pytest.skip(f"this ONNX Runtime has no {azure}")
    with pytest.raises(ArgumentError) as error:
        Detector(providers=[azure])
    assert f"providers {azure}: cannot run any part of this model" in one_line(error.value)
    with Detector(providers=[azure, cpu]) as detect, Detector() as plain:
        image = np.full((64, 64, 3), 99, np.uint8)
        assert len(detect(image)) == len(plain(image))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a.engine", "a.plan", "a.trt"])
def test_engines_are_known_by_their_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(PLAN)
    assert is_engine(tmp_path / name)
    assert "manifest" in refusal(tmp_path / name)


def test_an_engine_without_a_gpu_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trt_mogface.backends.gpu.engine.find_gpu", lambda _: None)
    assert "needs an NVIDIA GPU" in refusal(engine(tmp_path))


@pytest.mark.usefixtures("a_gpu")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tensorrt": "1.0.0"}, "built with"),
        ({"compute_capabilities": ("12.0",), "gpu": "an RTX 5090"}, "8.9"),
        ({"plan_bytes": 5}, "not the engine"),
        ({"plan_bytes": 5000}, "truncated"),
        ({"plan_sha256": "0" * 64}, "contents differ"),
        ({"end_to_end": True}, "--end-to-end"),
    ],
)
def test_what_does_not_fit_is_refused_before_cuda_sees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], said: str
) -> None:
    monkeypatch.setattr(
        "trt_mogface.backends.gpu.backend.open_cuda", lambda *_: pytest.fail("CUDA was called")
    )
    assert said in refusal(engine(tmp_path, **changes))


def test_an_engine_of_a_tensorrt_that_is_not_installed_is_refused(tmp_path: Path) -> None:
    with pytest.raises((MissingExtraError, EngineError)):
        open_backend(engine(tmp_path, flavor="tensorrt"))


@pytest.mark.usefixtures("a_gpu")
def test_missing_kernels_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/nowhere/kernels.so")
    with pytest.raises(KernelError, match="no such file"):
        open_backend(engine(tmp_path))


@pytest.mark.parametrize("option", [{"threads": 2}, {"min_face": 16.0}, {"weights": "w.pt"}])
def test_options_of_other_models_are_refused(tmp_path: Path, option: dict[str, object]) -> None:
    with pytest.raises(ArgumentError, match="an engine; omit it"):
        open_backend(engine(tmp_path), **option)  # type: ignore[arg-type]


def test_the_command_line_says_it_in_one_line(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = engine(tmp_path, tensorrt="1.0.0")
    assert str(path) in runner(capfd, monkeypatch)("detect", path, "--model", path).message


@pytest.mark.parametrize(
    "model", ["tritonn://host/model", "https://example.org/a.onnx", "s3://bucket/a.engine"]
)
def test_an_unknown_scheme_is_one_line(model: str) -> None:
    with pytest.raises(ModelError, match="unknown scheme") as error:
        open_backend(model)
    assert model in one_line(error.value)


def test_an_engine_that_is_missing_is_refused_as_one(tmp_path: Path) -> None:
    assert "manifest" in refusal(tmp_path / "nope.engine")


def test_an_unknown_provider_is_named() -> None:
    from trt_mogface.cuda import open_cuda

    with pytest.raises(ArgumentError, match="cuda-python, pycuda"):
        open_cuda(0, "opencl")


def test_a_clone_of_a_detector_on_the_cpu_outlives_it() -> None:
    picture = np.zeros((48, 64, 3), np.uint8)
    detect = Detector()
    twin = detect.clone()
    detect.close()
    assert len(twin(picture)) == 0
    twin.close()
    with pytest.raises(MogFaceError, match="closed"):
        twin.clone()
