"""The manifest of a cascade's engines: read strictly, compared with the plans, before CUDA or TensorRT."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.cascade_engines import PLANS, engines, write_engines
from tests.support.specs import one_line
from trt_mogface import Detector
from trt_mogface._files import sha256_of
from trt_mogface._json import sealed
from trt_mogface.errors import ArgumentError, EngineError
from trt_mogface.machine.tensorrt import Flavor
from trt_mogface.models.cascade_engine import check_plans, load_cascade_engine, plan_file
from trt_mogface.models.files import digest_of, precision_of
from trt_mogface.models.manifest import CASCADE_MANIFEST, is_engine


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_engines(tmp_path)


def test_it_reads_what_it_wrote(folder: Path) -> None:
    assert load_cascade_engine(folder) == engines()
    check_plans(folder, engines())
    assert is_engine(folder)
    assert precision_of(folder) == "fp16"
    assert digest_of(folder) == sha256_of(folder / CASCADE_MANIFEST)


def test_plans_of_another_build_are_refused(folder: Path) -> None:
    path = plan_file(folder, "rnet")
    for data, said in (
        (b"", "truncated"),
        (PLANS["rnet"] + b"x", "not the engine"),
        (b"XXXX", "contents differ"),
    ):
        path.write_bytes(data)
        with pytest.raises(EngineError, match=said) as error:
            check_plans(folder, engines())
        assert "rebuild with: trt-mogface build mtcnn" in one_line(error.value)
    path.unlink()
    with pytest.raises(EngineError, match="cannot be read"):
        check_plans(folder, engines())


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"format": True},
        {"name": "../x"},
        {"networks": {}},
        {"precision": "fp4"},
        {"profile": [[2, 1, 1], [1, 64, 64], [1, 64, 64]]},
        {"thresholds": {}},
        {"seconds": -1},
        {"more": 1},
        {"inputs_sha256": "no digest"},
    ],
)
def test_other_contents_are_refused(folder: Path, change: dict[str, Any]) -> None:
    path = folder / CASCADE_MANIFEST
    fields = json.loads(path.read_text())
    fields.pop("sha256", None)
    path.write_text(json.dumps(sealed({**fields, **change})))
    with pytest.raises(EngineError, match="not the manifest of a cascade's engines") as error:
        load_cascade_engine(folder)
    assert "build the engines again" in one_line(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "\x00", "[" * 100_000, '{"format": 1}'])
def test_other_files_are_refused(folder: Path, text: str) -> None:
    (folder / CASCADE_MANIFEST).write_text(text)
    with pytest.raises(EngineError, match="not the manifest") as error:
        load_cascade_engine(folder)
    one_line(error.value)


def test_a_changed_manifest_is_refused(folder: Path) -> None:
    path = folder / CASCADE_MANIFEST
    path.write_text(path.read_text().replace("0.9", "0.1"))
    with pytest.raises(EngineError, match="changed after it was written"):
        load_cascade_engine(folder)


def test_another_tensorrt_is_refused(folder: Path) -> None:
    with pytest.raises(EngineError, match="built for tensorrt-rtx, but this is tensorrt; rebuild it with"):
        engines().check_runs_on(Flavor("tensorrt", "10.3.0", None), None, folder)
    other = dataclasses.replace(engines(), tensorrt="1.2.0")
    with pytest.raises(EngineError, match=r"built with tensorrt-rtx 1\.2\.0"):
        other.check_runs_on(Flavor("tensorrt-rtx", "1.7.1", None), None, folder)


def test_shapes_outside_of_the_profile_are_refused(folder: Path) -> None:
    plan = engines().plan("pnet")
    assert plan.check_shape((1, 40, 40), folder) == 0
    with pytest.raises(EngineError, match="input shape 1x400x40"):
        plan.check_shape((1, 400, 40), folder)
    assert plan.plan_sha256 == hashlib.sha256(PLANS["pnet"]).hexdigest()


@pytest.mark.parametrize("option", ["weights", "min_face", "threads", "providers"])
def test_options_of_the_cpu_are_refused(folder: Path, option: str) -> None:
    value: Any = {"weights": folder, "providers": ["CPUExecutionProvider"]}.get(option, 4)
    with pytest.raises(ArgumentError, match="an engine; omit it"):
        Detector(folder, **{option: value})
