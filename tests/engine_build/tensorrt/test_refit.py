"""``refit`` with a made-up TensorRT, since a real one needs a GPU."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine_build.tensorrt.refit import refit
from tests.support.manifests import GOOD, ORIN, PLAN
from tests.support.onnx_files import answers, constant_network
from tests.support.specs import one_line
from trt_mogface.errors import EngineError, ModelError
from trt_mogface.machine.tensorrt import Flavor
from trt_mogface.models.manifest import load_manifest, manifest_path
from trt_mogface.models.precision import Precision


def made_up(refitted: bytes | None, *, needs_host_code: bool) -> SimpleNamespace:
    class Engine:
        refittable = True

        def create_serialization_config(self) -> Any:
            return SimpleNamespace(clear_flag=lambda _: None)

        def serialize_with_config(self, _: Any) -> bytes | None:
            return refitted

    class Runtime:
        engine_host_code_allowed = False

        def __init__(self, logger: Any) -> None:
            del logger

        def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
            assert plan == PLAN
            return Engine() if self.engine_host_code_allowed == needs_host_code else None

    refitter = SimpleNamespace(get_missing_weights=list, refit_cuda_engine=lambda: True)
    return SimpleNamespace(
        ILogger=type("ILogger", (), {"Severity": SimpleNamespace(ERROR=1)}),
        Runtime=Runtime,
        Refitter=lambda *_: refitter,
        OnnxParserRefitter=lambda *_: SimpleNamespace(refit_from_bytes=lambda _: True),
        SerializationFlag=SimpleNamespace(EXCLUDE_WEIGHTS=0),
    )


def refitted(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    plan: bytes | None,
    *,
    version_compatible: bool,
    precision: Precision = "fp32",
) -> Path:
    engine, model = folder / "old.engine", folder / "model.onnx"
    manifest = dataclasses.replace(GOOD, precision=precision, version_compatible=version_compatible)
    engine.write_bytes(PLAN)
    manifest_path(engine).write_text(manifest.to_json())
    constant_network(model, answers(4))
    flavor = Flavor("tensorrt", GOOD.tensorrt, made_up(plan, needs_host_code=version_compatible))
    monkeypatch.setattr("engine_build.tensorrt.refit.find_tensorrt", lambda _: flavor)
    monkeypatch.setattr("engine_build.tensorrt.refit.find_gpu", lambda: ORIN)
    return refit(engine, model, folder / "new.engine")


@pytest.mark.parametrize("version_compatible", [False, True])
def test_the_new_plan_is_written_with_its_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version_compatible: bool
) -> None:
    made = refitted(tmp_path, monkeypatch, b"new plan", version_compatible=version_compatible)
    assert made.read_bytes() == b"new plan"
    assert load_manifest(made).plan_sha256 == hashlib.sha256(b"new plan").hexdigest()


def test_an_engine_that_cannot_be_serialized_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EngineError, match="could not serialize the engine") as caught:
        refitted(tmp_path, monkeypatch, None, version_compatible=False)
    one_line(caught.value)
    assert not (tmp_path / "new.engine").exists()


def test_weights_of_another_precision_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError) as caught:
        refitted(tmp_path, monkeypatch, b"new plan", version_compatible=False, precision="int8")
    assert one_line(caught.value) == (
        f"{tmp_path / 'model.onnx'}: computes in fp32, {tmp_path / 'old.engine'} in int8; "
        "write it with build --precision int8 -o FILE.onnx"
    )
