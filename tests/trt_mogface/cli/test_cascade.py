"""A cascade on the command line: every verb takes its name or its folder, or says in one line why not."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.command import Run
from tests.support.photos import Photo

torch = pytest.importorskip("torch", reason="the networks come out of torch")

from engine_build.models.mtcnn.weights import NETWORKS  # noqa: E402
from tests.support.published_mtcnn import trained  # noqa: E402
from trt_mogface.machine.gpu import find_gpu  # noqa: E402
from trt_mogface.models.cascade_engine import load_cascade_engine  # noqa: E402


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A folder of random weights."""
    folder = tmp_path / "weights"
    folder.mkdir()
    torch.manual_seed(0)
    for stage, network in NETWORKS.items():
        state = {name: value.numpy() for name, value in network().state_dict().items()}
        np.save(folder / f"{stage}.npy", state, allow_pickle=True)  # type: ignore[arg-type]
    return folder


@pytest.fixture
def folder(run: Run, weights: Path, tmp_path: Path) -> Path:
    target = tmp_path / "out" / "mtcnn"
    assert run("export", "--model", "mtcnn", "--weights", weights, "--output", target).status == 0
    return target


def test_a_folder_is_a_model(run: Run, folder: Path, weights: Path, photo: Path, tmp_path: Path) -> None:
    assert sorted(file.name for file in folder.iterdir()) == [
        "cascade.json",
        "onet.onnx",
        "pnet.onnx",
        "rnet.onnx",
    ]
    assert "mtcnn, a cascade of pnet.onnx" in run("inspect", folder).out
    by_name = run("detect", photo, "--model", "mtcnn", "--weights", weights, "--conf", "0.1", "--json", "-")
    by_folder = run("detect", photo, "--model", folder, "--conf", "0.1", "--json", "-")
    assert by_name.status == by_folder.status == 0
    assert json.loads(by_name.out) == json.loads(by_folder.out)
    assert run("compare", folder, folder, photo).status == 0
    result = run(
        "bench", "--model", folder, "--duration", "0.1", "--size", "64x64", "--json", tmp_path / "b.json"
    )
    assert result.status == 0
    assert [row["mode"] for row in json.loads((tmp_path / "b.json").read_text())["rows"]] == ["memory"]


def test_export_keeps_other_files_and_inputs(run: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert "is one of the inputs itself" in run("export", "--model", folder, "--output", folder).message
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "other").write_text("")
    assert run("export", "--model", folder, "--output", copy).status == 0
    assert (copy / "pnet.onnx").read_bytes() == before["pnet.onnx"]
    assert (copy / "other").exists()
    file = tmp_path / "file"
    file.write_text("mine")
    assert "file" in run("export", "--model", folder, "--output", file).message
    assert file.read_text() == "mine"


def test_eval(run: Run, annotated_photos: Path, tmp_path: Path) -> None:
    folder, texts = tmp_path / "trained", tmp_path / "texts"
    folder.mkdir()
    for stage, path in trained().items():
        (folder / f"{stage}.pt").write_bytes(path.read_bytes())
    given = ["eval", "wider", "--gt", annotated_photos / "annotations.json", "--model", "mtcnn"]
    given += ["--weights", folder, "--images", annotated_photos / "images"]

    def scores(*more: object) -> list[float]:
        assert run(*given, "--save", texts, *more).status == 0
        lines = [line for path in texts.rglob("*.txt") for line in path.read_text().splitlines()[2:]]
        return [float(line.split()[4]) for line in lines]

    confident = scores("--conf", "0.9")
    assert min(confident) > 0.9
    assert scores("--conf", "0.9", "--resume") == confident
    assert "of another run" in run(*given, "--save", texts, "--resume").message
    assert len(scores()) > len(confident)
    assert "a cascade of networks" in run(*given, "--precision", "fp16").message


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("build", "mtcnn", "-o", "made.engine"), "becomes a folder; use made/"),
        (("build", "mtcnn", "-o", "made.onnx"), "becomes a folder; use made/"),
        (("build", "mtcnn", "--precision", "fp8", "-o", "made/"), "compute in fp32, fp16, int8"),
        (("build", "mtcnn", "--precision", "int8", "-o", "made/"), "int8 needs calibration"),
        (("build", "mtcnn", "--precision", "fp16,bf16"), "compute in fp32, fp16, int8"),
        (
            ("build", "mtcnn", "--precision", "fp32,fp16", "-o", "made/"),
            "cannot hold 2 precisions",
        ),
        (("build", "mtcnn", "--end-to-end", "-o", "made/"), "cannot end in faces"),
        (("build", "mtcnn", "--conf", "0.5", "-o", "made/"), "cannot end in faces"),
        (("build", "mtcnn", "--min-face", "40", "-o", "made/"), "--min-face 40"),
        (
            ("build", "mtcnn", "--precision", "int8", "--keep-fp16", "auto", "-o", "made/"),
            "omit other options",
        ),
        (("build", "mtcnn", "--max-loss", "1", "-o", "made/"), "omit other options"),
        (("build", "mtcnn", "--shapes", "1x12x12", "-o", "made/"), "images of 13 pixels and more"),
        (
            ("build", "mtcnn", "--shapes", "1x64x64", "--shapes", "2x64x64", "-o", "made/"),
            "one range of sizes",
        ),
        (("build", "mtcnn", "--refit", "-o", "made/"), "--refit"),
        (("export", "--model", "mtcnn", "--min-face", "40", "-o", "made"), "--min-face 40"),
        (("detect", "photo.jpg", "--model", "mtcnn", "--weights", "photo.jpg"), "not a folder"),
        (("detect", "photo.jpg", "--model", "mtcnn", "--weights", "."), "no file for pnet"),
        (("detect", "photo.jpg", "--model", "mtcnn", "--scales", "2"), "--scales 2"),
        (("bench", "--model", "mtcnn", "--mode", "network"), "a cascade of networks"),
    ],
)
def test_refusals(
    run: Run,
    weights: Path,
    photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = () if "--weights" in arguments else ("--weights", weights)
    assert said in run(*arguments, *given).message
    assert sorted(tmp_path.iterdir()) == [photo, weights]


def test_build(run: Run, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    engines = tmp_path / "engines"
    given: list[object] = ["build", folder, "-o", engines, "--tensorrt", "tensorrt-rtx"]
    given += ["--shapes", "1x64x64:1x96x128:2x120x160"]
    found = run(*given)
    assert found.status == 0, found.message
    assert "of FP32's on noise" in found.out
    names = ["cascade.engine.json", "onet.engine", "pnet.engine", "rnet.engine"]
    assert sorted(path.name for path in engines.iterdir()) == names
    manifest = load_cascade_engine(engines)
    profiles = {stage: str(network.profile) for stage, network in manifest.networks.items()}
    assert profiles == {"pnet": "1x13x13:1x58x77:2x72x96", "rnet": "1024x24x24", "onet": "256x48x48"}
    assert all(network.multiply_adds == {"fp16": 1.0} for network in manifest.networks.values())
    before = [path.read_bytes() for path in sorted(engines.iterdir())]
    assert "unchanged" in run(*given).out
    assert [path.read_bytes() for path in sorted(engines.iterdir())] == before
    said = run("inspect", engines).out
    assert "mtcnn, a cascade of pnet.engine" in said
    assert "layers of onet" in said
    if find_gpu(0) is None:
        assert "needs an NVIDIA GPU" in run("bench", "--model", engines, "--size", "128x96").message
    (engines / "rnet.engine").write_bytes(b"other")
    assert "rnet.engine: truncated" in run("inspect", engines).message
    assert "unchanged" not in run(*given).out
    assert run("inspect", engines).status == 0


def test_options_that_engines_do_not_take(run: Run, tmp_path: Path) -> None:
    (tmp_path / "cascade.engine.json").write_text("{}")
    assert "not the manifest of a cascade's engines" in run("inspect", tmp_path).message
    for option in (("--threads", "2"), ("--weights", tmp_path), ("--min-face", "30")):
        message = run("detect", "photo.jpg", "--model", tmp_path, *option).message
        assert option[0] in message


def test_build_int8(run: Run, portrait: Photo, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    trained_weights, photos, engines = (tmp_path / name for name in ("trained", "photos", "engines"))
    for made in (trained_weights, photos):
        made.mkdir()
    for stage, path in trained().items():
        (trained_weights / f"{stage}.pt").write_bytes(path.read_bytes())
    small = portrait[:240, 100:340]
    for number, image in enumerate((small, small[:, ::-1], small[::2, ::2], small[::2, ::-2])):
        cv2.imwrite(str(photos / f"{number}.png"), np.ascontiguousarray(image))
    given = ["build", "mtcnn", "--weights", trained_weights, "--precision", "int8", "--calib", photos]
    given += ["-o", engines, "--shapes", "1x96x128", "--tensorrt", "tensorrt-rtx"]
    found = run(*given)
    assert found.status == 0, found.message
    manifest = load_cascade_engine(engines)
    assert manifest.accuracy.startswith("4 of 4 faces of FP32 found")
    assert all(network.multiply_adds == {"int8": 1.0} for network in manifest.networks.values())
    (photos / "3.png").unlink()
    assert "3 images to calibrate on" in run(*given).message
    assert load_cascade_engine(engines) == manifest
