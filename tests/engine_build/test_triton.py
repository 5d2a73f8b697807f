"""Model repositories, whose files Triton's own messages read."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from engine_build.triton import TritonOptions, write_model
from tests.support.manifests import GOOD, PLAN, WIDE
from tests.support.specs import one_line
from trt_mogface import Detector
from trt_mogface.backends.triton.served import ServedModel, parameter
from trt_mogface.errors import ArgumentError, EngineError, ModelError, OutputError
from trt_mogface.models.cards import DEFAULT
from trt_mogface.models.manifest import Manifest, manifest_path

pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed")


def config_of(folder: Path) -> Any:
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    return text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in place of the plugin, which nothing here loads."""
    path = tmp_path / "plugin.so"
    path.write_bytes(b"a library")
    monkeypatch.setenv("TRT_MOGFACE_PLUGIN", str(path))
    return path


def engine(folder: Path, manifest: Manifest) -> Path:
    path = folder / "given.engine"
    path.write_bytes(PLAN)
    manifest_path(path).write_text(manifest.to_json())
    return path


ENDING_IN_FACES = dataclasses.replace(GOOD, end_to_end=True, profiles=(WIDE,))


def test_a_model_has_a_configuration(tmp_path: Path) -> None:
    options = TritonOptions(batch=4, max_delay_ms=1.5, instances=2, queue=9, cache=True, warmup=(64, 48))
    written = write_model(tmp_path / "new" / "models", DEFAULT, options)
    assert (written.folder, written.version) == (tmp_path / "new" / "models" / DEFAULT, 1)
    config = config_of(written.folder)
    assert (config.name, config.backend, config.max_batch_size) == (DEFAULT, "python", 4)
    assert config.dynamic_batching.max_queue_delay_microseconds == 1500
    policy = config.dynamic_batching.default_queue_policy
    assert (policy.max_queue_size, policy.timeout_action) == (9, 0)  # 0 rejects
    (group,) = config.instance_group
    assert (group.count, group.kind) == (2, group.KIND_CPU)
    assert config.response_cache.enable
    (warmup,) = config.model_warmup
    assert list(warmup.inputs["images"].dims) == [48, 64, 3]
    assert config.version_policy.HasField("all")
    (images,) = config.input
    assert (images.name, list(images.dims), images.allow_ragged_batch) == ("images", [-1, -1, 3], True)
    outputs = {each.name: list(each.dims) for each in config.output}
    assert outputs["boxes"] == [-1, 4]
    assert outputs["landmarks"] == [-1, 5, 2]
    assert (written.folder / "1" / "model.py").is_file()
    with Detector(written.folder / "1" / "model.onnx") as detect:
        assert ServedModel.from_json(config.parameters[parameter(1)].string_value).info == detect.info


def test_a_version_is_added_beside_the_others(tmp_path: Path) -> None:
    first = write_model(tmp_path, DEFAULT, TritonOptions(name="faces"))
    kept = (first.folder / "1" / "model.onnx").read_bytes()
    second = write_model(tmp_path, DEFAULT, TritonOptions(name="faces", queue=7))
    assert (second.folder, second.version) == (first.folder, 2)
    assert (first.folder / "1" / "model.onnx").read_bytes() == kept
    config = config_of(first.folder)
    assert config.dynamic_batching.default_queue_policy.max_queue_size == 7
    assert {parameter(1), parameter(2)} <= set(config.parameters)
    assert write_model(tmp_path, DEFAULT, TritonOptions(name="faces", version=9)).version == 9


def test_an_engine_that_ends_in_faces_is_a_plan(tmp_path: Path, plugin: Path) -> None:
    written = write_model(tmp_path / "models", str(engine(tmp_path, ENDING_IN_FACES)), TritonOptions())
    config = config_of(written.folder)
    assert (config.platform, config.max_batch_size) == ("tensorrt_plan", 8)
    most = GOOD.spec.thresholds.most_faces
    assert {each.name: list(each.dims) for each in config.output} == {
        "num_detections": [1],
        "boxes": [most, 4],
        "scores": [most],
    }
    assert config.output[0].HasField("reshape")
    assert (written.folder / "1" / "model.plan").read_bytes() == PLAN
    beside = written.folder / "1" / "libtrt_mogface_plugin.so"
    assert beside.read_bytes() == plugin.read_bytes()
    assert written.option == f"--backend-config=tensorrt,plugins={beside}"
    assert written.option in (written.folder / "README.md").read_text()
    facts = ServedModel.from_json(config.parameters[parameter(1)].string_value)
    assert (facts.form, facts.spec) == ("network input", GOOD.spec)


def test_another_engine_is_run_by_the_package(tmp_path: Path) -> None:
    written = write_model(tmp_path / "models", str(engine(tmp_path, GOOD)), TritonOptions(batch=2))
    config = config_of(written.folder)
    assert (config.backend, config.instance_group[0].kind) == ("python", config.instance_group[0].KIND_GPU)
    names = {each.name for each in (written.folder / "1").iterdir()}
    assert names == {"model.engine", "model.engine.json", "model.py"}


def test_options_of_the_detector_are_kept(tmp_path: Path) -> None:
    written = write_model(
        tmp_path, DEFAULT, TritonOptions(detector={"conf": 0.5, "size": (320, 240), "pad": True})
    )
    values = config_of(written.folder).parameters
    assert json.loads(values["trt_mogface.options"].string_value) == {"conf": 0.5, "size": [320, 240]}
    facts = ServedModel.from_json(values[parameter(1)].string_value)
    assert facts.info.thresholds.score_threshold == 0.5


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (TritonOptions(name="faces", version=1), "1: the version exists; choose another one with version"),
        (
            TritonOptions(name="faces", detector={"conf": 0.2}),
            "faces: has another model, with other tensors or",
        ),
        (
            TritonOptions(name="theirs"),
            "theirs: not a model of trt-mogface (No such file or directory); choose",
        ),
        (TritonOptions(name="others"), "others: not a model of trt-mogface; choose another name"),
        (TritonOptions(name="damaged"), "damaged: not a model of trt-mogface ("),
    ],
)
def test_a_repository_with_other_models_is_left_alone(
    tmp_path: Path, options: TritonOptions, problem: str
) -> None:
    write_model(tmp_path, DEFAULT, TritonOptions(name="faces"))
    for name, text in {"theirs": None, "others": 'name: "others"', "damaged": "{"}.items():
        (tmp_path / name / "1").mkdir(parents=True)
        if text is not None:
            (tmp_path / name / "config.pbtxt").write_text(text)
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    with pytest.raises(OutputError) as error:
        write_model(tmp_path, DEFAULT, options)
    assert problem in one_line(error.value)
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    ("changes", "options", "problem"),
    [
        ({"flavor": "tensorrt-rtx"}, TritonOptions(), "built with tensorrt-rtx, which Triton lacks"),
        ({}, TritonOptions(batch=9), "takes up to 8 images"),
        ({}, TritonOptions(detector={"conf": 0.5}), "ends in faces, with its own thresholds"),
    ],
)
@pytest.mark.usefixtures("plugin")
def test_engines_that_triton_cannot_run_are_refused(
    tmp_path: Path, changes: dict[str, Any], options: TritonOptions, problem: str
) -> None:
    model = engine(tmp_path, dataclasses.replace(ENDING_IN_FACES, **changes))
    with pytest.raises((ArgumentError, EngineError)) as error:
        write_model(tmp_path / "models", str(model), options)
    assert problem in one_line(error.value)
    assert not (tmp_path / "models").exists()


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_bytes(b"text")
    with pytest.raises(ModelError):
        write_model(tmp_path / "models", str(tmp_path / "no.onnx"), TritonOptions())
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    "values",
    [{"name": "a/b"}, {"name": ""}, {"batch": 0}, {"version": 0}, {"queue": 1 << 31}, {"max_delay_ms": -1}],
)
def test_impossible_options_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError) as error:
        TritonOptions(**values)
    assert next(iter(values)) in one_line(error.value)
