"""Messages are one printable line, whatever a damaged file or a library puts into them."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import warnings
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper
from PIL import Image
from rich.console import Console

from engine_build.onnx import contract
from tests.support.command import Run, command, runner
from tests.support.networks import residual_file
from trt_mogface._printable import printable
from trt_mogface.cli import output
from trt_mogface.errors import ArgumentError, EvaluationError, ImageError, ModelError, MogFaceError
from trt_mogface.evaluation.predictions import read_predictions
from trt_mogface.evaluation.wider_face import Annotated
from trt_mogface.images import read_image

RED = "\x1b[31mred"


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(capfd, monkeypatch)


@pytest.mark.parametrize("unsafe", ["\0", "\x1b", "\r", "\n", "\x7f", "\x85", "\u2028", "\u2029", "\ud800"])
def test_unsafe_characters_become_escapes(unsafe: str) -> None:
    text = printable(f"a{unsafe}b")
    assert text.isprintable()
    assert text.encode("ascii").decode("unicode_escape", "surrogatepass") == f"a{unsafe}b"


def test_other_characters_stay() -> None:
    assert printable("Zürich/写真 😀.jpg") == "Zürich/写真 😀.jpg"


@pytest.mark.parametrize("error", [ImageError(f"a{RED}"), ArgumentError("conf", "must be 0..1", RED)])
def test_errors_are_printable(error: MogFaceError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert str(error).isprintable()
    assert str(again) == str(error)


def test_overlong_messages_keep_both_ends() -> None:
    text = str(ModelError(f"file: {'x' * 1_000_000}; export it again"))
    assert len(text) < 1500
    assert text.startswith("file: xxx")
    assert text.endswith("xxx; export it again")


def test_a_count_with_control_characters(tmp_path: Path) -> None:
    (tmp_path / "event").mkdir()
    (tmp_path / "event" / "name.txt").write_text(f"name\n{RED}\n")
    with pytest.raises(EvaluationError) as found:
        read_predictions(tmp_path, [Annotated("event", "name", None, {})])  # type: ignore[arg-type]
    assert str(found.value).isprintable()


def test_lines_for_the_terminal_are_printable() -> None:
    console = Console(file=io.StringIO(), force_terminal=False)
    output.say(f"one {RED}\ntwo", console)
    assert console.file.getvalue() == "one \\x1b[31mred\ntwo\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize("verb", ["detect", "build"])
def test_names_in_networks_do_not_command_a_terminal(
    verb: str, run: Run, photo_folder: Path, tmp_path: Path
) -> None:
    path = residual_file(tmp_path / "network.onnx")
    model = onnx.load(str(path))
    model.graph.node[3].input[0] = RED
    onnx.save(model, str(path))
    arguments = {
        "detect": (photo_folder / "portrait.jpg", "--model", path),
        "build": (path, "-o", tmp_path / "made.onnx"),
    }[verb]
    message = run(verb, *arguments).message
    assert message.isprintable()
    assert "\\x1b[31mred" in message


def test_more_weights_than_their_dimensions_say(run: Run, tmp_path: Path) -> None:
    path = residual_file(tmp_path / "network.onnx")
    model = onnx.load(str(path))
    (tensor,) = (each for each in model.graph.initializer if each.name == "wa")
    tensor.raw_data += bytes(4)
    onnx.save(model, str(path))
    with pytest.raises(ModelError, match="not a valid ONNX file"):
        contract.load(path)
    assert "not a valid ONNX file" in run("build", path, "-o", tmp_path / "made.onnx").message


def test_onnx_runtime_prints_nothing_about_impossible_sizes(
    run: Run, photo_folder: Path, tmp_path: Path
) -> None:
    path = residual_file(tmp_path / "network.onnx")
    model = onnx.load(str(path))
    (tensor,) = (each for each in model.graph.initializer if each.name == "rows")
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), "rows"))
    tensor.dims[0] = 2**62
    onnx.save(model, str(path))
    assert "cannot be loaded" in run("detect", photo_folder / "portrait.jpg", "--model", path).message


def test_pillow_does_not_warn_of_damaged_tags(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    Image.new("RGB", (13, 9)).save(path, compression="tiff_lzw")
    data = path.read_bytes()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for at in range(len(data)):
            path.write_bytes(data[:at] + b"\xff" + data[at + 1 :])
            with contextlib.suppress(ImageError):
                read_image(path)
    assert not warned


def test_pillow_logs_nothing_on_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    Image.new("RGB", (13, 9)).save(path)
    tag = (277).to_bytes(2, "little") + b"\3\0\1\0\0\0"  # samples per pixel, one 16-bit number
    data = path.read_bytes()
    assert data.count(tag + b"\3\0") == 1
    path.write_bytes(data.replace(tag + b"\3\0", tag + b"\x24\0"))
    assert command("detect", path).message  # a process of its own: pytest logs what is logged in this one


def test_names_too_long_for_files(run: Run, tmp_path: Path) -> None:
    truth = tmp_path / "truth.json"
    entry = {
        "event": "e" * 200_000,
        "file": "f",
        "boxes_xywh": [[1, 2, 3, 4]],
        "easy": [0],
        "medium": [0],
        "hard": [0],
    }
    truth.write_text(json.dumps([entry]))
    message = run("eval", "wider", "--gt", truth, "--predictions", tmp_path).message
    assert "not the name of a file" in message
    assert len(message) < 1500


def test_errors_of_the_system_are_short(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise OSError(36, "File name too long", "x" * 200_000)

    monkeypatch.setattr("trt_mogface.cli.app._run", fail)
    assert len(run("models").message) < 1500
