"""Files to write, in every verb: never an input, and refused before the work if they cannot be written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import Run
from tests.support.manifests import GOOD, PLAN
from trt_mogface.evaluation.wider_face import SETTINGS
from trt_mogface.models.cards import DEFAULT, embedded_file
from trt_mogface.models.manifest import manifest_path


@pytest.fixture
def here(tmp_path: Path, photo: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an input of every kind, which is the current one."""
    (tmp_path / "m.onnx").write_bytes(embedded_file(DEFAULT).read_bytes())
    (tmp_path / "e.engine").write_bytes(PLAN)
    manifest_path(tmp_path / "e.engine").write_text(GOOD.to_json())
    faces = {"event": "ev", "file": "photo", "boxes_xywh": [[1, 2, 30, 40]]}
    (tmp_path / "gt.json").write_text(json.dumps([faces | {key: [0] for key in SETTINGS}]))
    (tmp_path / "subset.txt").write_text("ev/photo\n")
    (tmp_path / "boxes.txt").write_text("photo.jpg\n1\n1 2 30 40\n")
    for name in ("w.pt", "cache.json", "timing.cache", "clip.mp4"):
        (tmp_path / name).write_bytes(b"precious")
    (tmp_path / "ev").mkdir()
    (tmp_path / "ev" / "photo.jpg").write_bytes(photo.read_bytes())
    (tmp_path / "texts" / "ev").mkdir(parents=True)
    (tmp_path / "texts" / "ev" / "photo.txt").write_text("photo.jpg\n1\n1 2 30 40 0.9\n")
    monkeypatch.chdir(tmp_path)
    assert photo.parent == tmp_path
    return tmp_path


def itself(name: str) -> str:
    return name


def symbolic(name: str) -> str:
    link = Path("link" + Path(name).suffix)
    link.symlink_to(name)
    return str(link)


def hard(name: str) -> str:
    link = Path("hard" + Path(name).suffix)
    link.hardlink_to(name)
    return str(link)


def in_a_linked_folder(name: str) -> str:
    Path("again").symlink_to(".")
    return f"again/{name}"


EVAL = "eval wider --gt gt.json"
COMMANDS = [
    ("export --model m.onnx -o {}", "m.onnx"),
    ("adapt m.onnx --as yunet -o {}", "m.onnx"),
    ("export --weights w.pt -o {}", "w.pt"),
    ("build m.onnx -o {}", "m.onnx"),
    ("build m.onnx --precision int8 --calib photo.jpg -o {}", "photo.jpg"),
    ("build m.onnx --precision int8 --calib photo.jpg --calib-cache {}", "m.onnx"),
    ("build m.onnx --precision int8 --calib photo.jpg --calib-cache {}", "photo.jpg"),
    ("build m.onnx --precision int8 --calib photo.jpg --boxes boxes.txt --calib-cache {}", "boxes.txt"),
    ("build m.onnx --precision int8 --calib-cache cache.json -o {}", "cache.json"),
    ("build m.onnx --timing-cache-file {}", "m.onnx"),
    ("build m.onnx --precision int8 --calib clip.mp4 -o {}", "clip.mp4"),
    ("refit e.engine m.onnx -o {}", "e.engine"),
    ("refit e.engine m.onnx -o {}", "m.onnx"),
    ("refit e.engine m.onnx -o {}", "e.engine.json"),
    ("compare m.onnx e.engine photo.jpg --json {}", "m.onnx"),
    ("compare m.onnx e.engine photo.jpg --html {}", "photo.jpg"),
    ("compare m.onnx e.engine photo.jpg --json {}", "e.engine.json"),
    ("compare mogface m.onnx photo.jpg --weights w.pt --json {}", "w.pt"),
    ("bench --model m.onnx --json {}", "m.onnx"),
    ("bench --engine e.engine --json {}", "e.engine.json"),
    ("bench --images . --json {}", "photo.jpg"),
    ("bench --mode video --video clip.mp4 --html {}", "clip.mp4"),
    ("bench --engine e.engine --roofline --counted m.onnx --json {}", "m.onnx"),
    ("bench --precision int8 --calib-cache cache.json --json {}", "cache.json"),
    ("bench --precision int8 --calib photo.jpg --calib-cache {}", "photo.jpg"),
    (f"{EVAL} --images . --json {{}}", "gt.json"),
    (f"{EVAL} --images . --html {{}}", "ev/photo.jpg"),
    (f"{EVAL} --images . --subset subset.txt --json {{}}", "subset.txt"),
    (f"{EVAL} --images . --model m.onnx --json {{}}", "m.onnx"),
    (f"{EVAL} --images . --precision int8 --calib photo.jpg --calib-cache {{}}", "gt.json"),
    (f"{EVAL} --predictions texts --json {{}}", "texts/ev/photo.txt"),
    ("detect photo.jpg --json {}", "photo.jpg"),
    ("detect . --json {}", "photo.jpg"),
    ("detect photo.jpg --save {}", "photo.jpg"),
    ("detect photo.jpg --model m.onnx --json {}", "m.onnx"),
    ("detect photo.jpg --model e.engine --json {}", "e.engine.json"),
    ("detect photo.jpg --model mogface --weights w.pt --json {}", "w.pt"),
]


@pytest.mark.parametrize("alias", [itself, symbolic, hard, in_a_linked_folder])
@pytest.mark.parametrize(("line", "name"), COMMANDS)
def test_an_input_is_never_overwritten(
    run: Run, here: Path, alias: Callable[[str], str], line: str, name: str
) -> None:
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    target = alias(name)
    message = run(*line.format(target).split()).message
    assert message.startswith(f"{target}: ")
    assert "input" in message
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("name", ["ev/photo.txt", "run.jsonl"])
def test_text_files_of_predictions_are_no_inputs(run: Run, here: Path, name: str) -> None:
    link = here / "save" / "fp32" / "original" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(here / "subset.txt")
    message = run(*f"{EVAL} --images . --subset subset.txt --save save".split()).message
    assert message == f"save/fp32/original/{name}: the same file as the input subset.txt; choose another name"
    assert (here / "subset.txt").read_text() == "ev/photo\n"


@pytest.mark.parametrize(
    "line",
    [
        "build m.onnx -o a.engine --timing-cache-file a.engine.json",
        "build m.onnx -o a.engine --precision int8 --calib photo.jpg --calib-cache a.engine.sensitivity.json",
        "compare m.onnx m.onnx photo.jpg --json a.json --html a.json",
        "bench --json a.json --html a.json",
        f"{EVAL} --predictions texts --json a.json --html ./a.json",
        "detect photo.jpg --json a.png --save a.png",
    ],
)
def test_two_results_never_share_a_file(run: Run, here: Path, line: str) -> None:
    before = set(here.iterdir())
    assert "named for two results; give each a file of its own" in run(*line.split()).message
    assert set(here.iterdir()) == before


TARGETS = [
    "export -o {}",
    "adapt m.onnx --as yunet -o {}",
    "build m.onnx -o {}",
    "build m.onnx --precision int8 --calib photo.jpg --calib-cache {}",
    "build m.onnx --timing-cache-file {}",
    "refit e.engine m.onnx -o {}",
    "compare m.onnx m.onnx photo.jpg --json {}",
    "compare m.onnx m.onnx photo.jpg --html {}",
    "bench --json {}",
    "bench --precision int8 --calib photo.jpg --calib-cache {}",
    f"{EVAL} --predictions texts --json {{}}",
    f"{EVAL} --images . --precision int8 --calib photo.jpg --calib-cache {{}}",
    f"{EVAL} --images . --save {{}}/",
    "detect photo.jpg --json {}",
    "detect photo.jpg --save {}/",
]


@pytest.mark.parametrize("line", TARGETS)
@pytest.mark.parametrize(
    "place",
    ["nosuch/a.png", "photo.jpg/a.png", "texts", "/proc/a.png", "a" * 300 + ".png"],
    ids=["no folder", "below a file", "a folder", "not writable", "too long"],
)
def test_a_target_that_cannot_be_written_is_refused_before_the_work(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch, line: str, place: str
) -> None:
    if "{}/" in line and place in ("nosuch/a.png", "texts"):
        pytest.skip("such a folder is created, or taken")
    if line.startswith(("export", "adapt")) and place == "texts":
        pytest.skip("writes into the folder")
    if line == "build m.onnx -o {}" and place == "texts":
        pytest.skip("writes into the folder")
    monkeypatch.setattr("onnxruntime.InferenceSession", None)  # no work
    before = set(here.iterdir())
    message = run(*line.format(place).split()).message
    assert "cannot be written" in message
    assert message.startswith(place)
    assert set(here.iterdir()) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_without_permission_is_refused_before_the_work(run: Run, here: Path) -> None:
    (here / "texts").chmod(0o500)
    assert "allow writing in the folder" in run("detect", "photo.jpg", "--json", "texts/a.json").message
