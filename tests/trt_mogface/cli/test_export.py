"""``trt-mogface export`` and ``detect --model mogface``: from a checkpoint to faces, and what goes wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

from engine_build.models.registry import recipes
from tests.support.mogface import Pair
from trt_mogface.cli.app import main


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["trt-mogface", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert isinstance(stop.value.code, int)
    return stop.value.code


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert "Traceback" not in text
    return text


@pytest.mark.slow
def test_exports_mogface_and_detects_with_it(
    mogface: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    output, image = tmp_path / "m.onnx", tmp_path / "gray.png"
    image.write_bytes(gray_png())
    weights = ("--weights", str(mogface.checkpoint))
    assert run(monkeypatch, "export", "--model", "mogface", *weights, "--output", str(output)) == 0
    assert output.stat().st_size <= 250e6
    assert run(monkeypatch, "inspect", str(output)) == 0
    assert "mogface" in capsys.readouterr().out
    assert run(monkeypatch, "detect", str(image), "--model", str(output), "--json", "-") == 0
    from_file = json.loads(capsys.readouterr().out)
    for _ in range(2):  # the second time from the cache
        assert run(monkeypatch, "detect", str(image), "--model", "mogface", *weights, "--json", "-") == 0
        assert_same_faces(json.loads(capsys.readouterr().out), from_file)
    assert len(list((tmp_path / "cache" / "trt-mogface").iterdir())) == 2  # for TensorRT, and for CPUs


def assert_same_faces(ours: Any, expected: Any) -> None:
    """The cached file computes its convolutions another way: equal up to rounding."""
    assert len(ours[0]["faces"]) == len(expected[0]["faces"])
    for face, other in zip(ours[0]["faces"], expected[0]["faces"]):
        np.testing.assert_allclose(face["box"], other["box"], rtol=0, atol=0.01)


def gray_png() -> bytes:
    return bytes(cv2.imencode(".png", np.full((40, 50), 90, np.uint8))[1])


def test_exports_the_default_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    output = tmp_path / "default.onnx"
    assert run(monkeypatch, "export", "--output", str(output), "--min-face", "60") == 0
    onnx.checker.check_model(str(output), full_check=True)


def test_float_planes_find_the_same_faces(
    photo_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planes = tmp_path / "planes.onnx"
    assert run(monkeypatch, "export", "--input", "float-nchw", "-o", str(planes)) == 0
    (given,) = onnx.load(str(planes)).graph.input
    assert given.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    found = []
    for model in ("retinaface-mnet025", str(planes)):
        assert run(monkeypatch, "detect", str(photo_folder), "--model", model, "--json", "-") == 0
        found.append(json.loads(capsys.readouterr().out)[0]["faces"])
    assert len(found[0]) == 6
    for face, other in zip(*found, strict=True):
        np.testing.assert_allclose(face["box"], other["box"], rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("verb", "problem"),
    [
        (
            ("export", "--input", "float"),
            "--input float: unknown layout (choose from uint8-nhwc, float-nchw)",
        ),
        (
            ("export", "--model", "mtcnn", "--input", "float-nchw"),
            "mtcnn is a cascade, whose networks read crops",
        ),
        (("build", "PLANES"), "reads float planes already; build from the model that reads bytes"),
    ],
)
def test_float_planes_that_cannot_be_made_are_refused(
    verb: tuple[str, ...],
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    planes = tmp_path / "planes.onnx"
    assert run(monkeypatch, "export", "--input", "float-nchw", "-o", str(planes)) == 0
    capsys.readouterr()
    arguments = [str(planes) if word == "PLANES" else word for word in verb]
    assert run(monkeypatch, *arguments, "-o", f"{tmp_path}/new/") == 2
    assert problem in one_line(capsys)
    assert not (tmp_path / "new").exists()


def test_a_folder_is_created_for_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run(monkeypatch, "export", "--output", f"{tmp_path}/new/") == 0
    onnx.checker.check_model(str(tmp_path / "new" / "retinaface-mnet025.onnx"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--model", "nonsense"), "unknown model 'nonsense'"),
        (("--weights", "x.pt"), "--weights x.pt: "),
        (("--min-face", "9999"), "sees faces up to"),
    ],
)
def test_bad_requests_leave_nothing(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    expected: str,
) -> None:
    assert run(monkeypatch, "export", *arguments, "--output", str(tmp_path / "out.onnx")) == 2
    assert expected in one_line(capsys)
    assert not list(tmp_path.iterdir())


def test_an_unwritable_output_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "export", "--output", str(tmp_path / "nowhere" / "x.onnx")) == 2
    assert "cannot be written" in one_line(capsys)


def test_missing_weights_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch", reason="checkpoints are read with torch")
    for verb in (("export", "--output", "x.onnx"), ("detect", "x.png")):
        assert run(monkeypatch, *verb, "--model", "mogface", "--weights", "nowhere.pt") == 2
        assert "nowhere.pt: no such file" in one_line(capsys)


def test_a_checkpoint_of_another_network_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = pytest.importorskip("torch", reason="checkpoints are read with torch")
    recipe = recipes()["ulfd-slim"]
    assert recipe.network is not None
    torch.save(recipe.network().state_dict(), tmp_path / "other.pth")
    weights = str(tmp_path / "other.pth")
    output = str(tmp_path / "x.onnx")
    assert run(monkeypatch, "export", "--model", "mogface", "--weights", weights, "--output", output) == 2
    assert "not the weights of mogface, but of ulfd-slim; keys" in one_line(capsys)
    assert not Path(output).exists()
