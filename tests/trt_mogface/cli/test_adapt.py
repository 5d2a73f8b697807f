"""``trt-mogface adapt``: what it writes, and what it refuses in one line without writing anything."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from tests.support.command import Run
from tests.support.manifests import GOOD, PLAN
from trt_mogface.backends.onnxruntime import read_spec
from trt_mogface.models.cards import DEFAULT, embedded_file
from trt_mogface.models.manifest import manifest_path

FAMILY = "retinaface"


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """The default model as its authors publish it."""
    path = tmp_path / "FaceDetector.onnx"
    path.write_bytes(pytest.importorskip("retinaface.weights").WEIGHTS)
    return path


def test_an_adapted_file_finds_the_faces_of_the_default_model(
    run: Run, theirs: Path, photo: Path, tmp_path: Path
) -> None:
    made = tmp_path / "made.onnx"
    done = run("adapt", theirs, "--as", FAMILY, "-o", made, "--origin", "a page", "--license", "MIT")
    assert done.status == 0
    assert str(made) in done.err
    spec = read_spec(made)
    assert (spec.name, spec.origin.source, spec.origin.license) == (FAMILY, "a page", "MIT")
    assert len(spec.origin.weights_sha256) == 64
    found = [
        run("detect", photo, "--model", each, "--scales", "native", "--json", "-").out
        for each in (made, DEFAULT)
    ]
    assert found[0].count("box") == found[1].count("box") > 0
    assert run("inspect", made).status == 0


def test_the_result_has_the_name_of_the_file_in_a_folder(run: Run, theirs: Path, tmp_path: Path) -> None:
    assert run("adapt", theirs, "--as", DEFAULT, "-o", f"{tmp_path}/new/").status == 0
    spec = read_spec(tmp_path / "new" / theirs.name)
    assert spec.name == DEFAULT
    assert spec.origin.source == theirs.name
    assert spec.origin.license.startswith("unknown")


def refused(run: Run, file: Path, name: str = FAMILY) -> str:
    """Return the line that `adapt` prints instead of writing a file."""
    before = sorted(file.parent.rglob("*"))
    message = run("adapt", file, "--as", name, "-o", f"{file.parent}/new/").message
    assert sorted(file.parent.rglob("*")) == before
    return message


def test_an_unknown_name_lists_the_known_ones(run: Run, theirs: Path) -> None:
    message = refused(run, theirs, "yolo")
    assert message.startswith("--as yolo: must be one of ")
    assert {"scrfd", "ulfd", "ulfd-rfb", DEFAULT} <= set(message.replace(",", "").split())


def test_an_input_is_not_overwritten(run: Run, theirs: Path) -> None:
    content = theirs.read_bytes()
    assert "is one of the inputs" in run("adapt", theirs, "--as", FAMILY, "-o", theirs).message
    assert theirs.read_bytes() == content


def test_other_kinds_of_files_are_named(run: Run, tmp_path: Path) -> None:
    assert "cannot be read" in refused(run, tmp_path / "missing.onnx")
    contract_file = tmp_path / "m.onnx"
    contract_file.write_bytes(embedded_file(DEFAULT).read_bytes())
    assert f"already a contract file ({DEFAULT})" in refused(run, contract_file)
    engine = tmp_path / "m.engine"
    engine.write_bytes(PLAN)
    manifest_path(engine).write_text(GOOD.to_json())
    assert "an engine, not an ONNX file" in refused(run, engine)
    for name, content in (("m.pth", b"anything"), ("m.bin", b"PK\x03\x04"), ("m", b"\x80\x02}")):
        (tmp_path / name).write_bytes(content)
        assert "a checkpoint, not an ONNX file; use `trt-mogface export" in refused(run, tmp_path / name)
    (tmp_path / "text.onnx").write_text("not a model")
    assert "not a valid ONNX file" in refused(run, tmp_path / "text.onnx")


def test_weights_in_other_files_are_refused(run: Run, theirs: Path) -> None:
    model = onnx.load(str(theirs))
    onnx.save(model, str(theirs), save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert "weights in other files" in refused(run, theirs)


def test_a_network_of_no_family_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "classifier.onnx"
    weight = helper.make_tensor("w", TensorProto.FLOAT, [8, 3, 3, 3], [0.1] * 216)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"]), helper.make_node("GlobalAveragePool", ["y"], ["z"])],
        "classifier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 8, 1, 1])],
        [weight],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    assert "of no known family" in refused(run, path)
