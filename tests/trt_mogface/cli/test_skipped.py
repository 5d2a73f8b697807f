"""Files of a folder that are no images: every verb that takes folders says how many, and why."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import pytest

from tests.support.command import Run
from trt_mogface import read_image
from trt_mogface.models.cards import DEFAULT

SAID = (
    "trt-mogface: skipped 4 files: 2 .heic needs pillow-heif; pip install 'trt-mogface[heif]'; "
    "1 with an unknown extension (.txt); 1 metadata of macOS (._*)\n"
)
VERBS = {
    "detect": ("detect", "FOLDER", "--json", "-"),
    "compare": ("compare", DEFAULT, DEFAULT, "FOLDER", "--json", "-"),
    "bench": ("bench", "--images", "FOLDER", "--size", "64x64", "--duration", "0.05", "--json", "-"),
    "bench --calib": (
        "bench",
        "--precision",
        "fp16",
        "--calib",
        "FOLDER",
        "--size",
        "64x64",
        "--duration",
        "0.05",
    ),
    "build": ("build", DEFAULT, "--calib", "FOLDER", "-o", "OUT.onnx"),
}


@pytest.fixture
def folder(tmp_path: Path, photo: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small image, and four files that are skipped, two of them without pillow-heif."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    folder = tmp_path / "folder"
    folder.mkdir()
    cv2.imwrite(str(folder / "small.jfif.jpg"), cv2.resize(read_image(photo), (96, 64)))
    (folder / "small.jfif.jpg").rename(folder / "small.JFIF")
    for name in ("a.heic", "b.HEIC", "notes.txt", "._small.JFIF"):
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_says_what_it_skips(run: Run, folder: Path, tmp_path: Path, verb: str) -> None:
    places = {"FOLDER": str(folder), "OUT.onnx": str(tmp_path / "out.onnx")}
    result = run(*(places.get(argument, argument) for argument in VERBS[verb]))
    assert result.status == 0
    assert SAID in result.err
    if "--json" in VERBS[verb]:
        json.loads(result.out)
    if verb == "detect":
        assert [each["image"] for each in json.loads(result.out)] == [str(folder / "small.JFIF")]


def test_a_folder_of_images_alone_is_quiet(run: Run, photo: Path) -> None:
    assert run("detect", photo.parent, "--json", "-").err == ""


def test_a_drawing_of_a_format_that_cannot_be_written_is_a_png(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    assert run("detect", folder, "--save", f"{tmp_path}/drawn/").status == 0
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["small.JFIF.png"]
