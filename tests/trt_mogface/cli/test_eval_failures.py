"""``eval wider`` on images that fail, runs that are interrupted and resumed, and wrong units."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

from tests.support.command import COMMAND, Run, hear_interrupts
from tests.support.photos import Photo
from trt_mogface import Detector
from trt_mogface.evaluation.wider_face import SETTINGS
from trt_mogface.models.cards import DEFAULT, embedded_file


def entry(event: str, name: str, boxes: list[list[float]]) -> dict[str, Any]:
    return {"event": event, "file": name, "boxes_xywh": boxes} | {
        key: list(range(len(boxes))) for key in SETTINGS
    }


@pytest.fixture
def small(group: Photo) -> Photo:
    return cv2.resize(group, (320, 222)).astype(np.uint8)


@pytest.fixture
def boxes(small: Photo) -> list[list[float]]:
    """The faces that the model itself finds, as ground truth."""
    with Detector() as detect:
        found = detect(small).xyxy.tolist()
    return [[x0, y0, x1 - x0, y1 - y0] for x0, y0, x1, y1 in found]


@pytest.fixture
def data(tmp_path: Path, small: Photo, boxes: list[list[float]], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four images in formats of all kinds, of which the model finds all faces."""
    names = ("a/0.jpg", "a/1.png", "b/0.webp", "b/2.v1.BMP")
    for name in names:
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (path if path.suffix != ".BMP" else path.with_suffix(".bmp")).write_bytes(
            cv2.imencode(path.suffix.lower(), small)[1].tobytes()
        )
    truth = [entry(name[0], Path(name).stem, boxes) for name in names]
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    monkeypatch.chdir(tmp_path)
    return tmp_path


EVAL = ("eval", "wider", "--gt", "gt.json")
IMAGES = (*EVAL, "--images", "images")


def row(text: str) -> dict[str, Any]:
    (found,) = json.loads(text)
    assert isinstance(found, dict)
    return found


@pytest.mark.usefixtures("data")
def test_images_of_any_format_are_found(run: Run) -> None:
    result = run(*IMAGES, "--json", "-", "--save", "texts")
    assert (result.status, result.err) == (0, "")
    found = row(result.out)
    assert (found["images"], found["failed"], found["hints"]) == (4, [], [])
    assert found["ap"]["hard"] > 0.9
    again = run(*EVAL, "--predictions", "texts/fp32/original", "--json", "-")
    assert row(again.out)["ap"] == found["ap"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a/0.png", "images: a/0 fits 0.jpg and 0.png; leave one of them in images/a"),
        ("a/0.JPEG", "images: a/0 fits 0.JPEG and 0.jpg"),
    ],
)
def test_a_name_that_fits_two_images_is_refused(run: Run, data: Path, name: str, said: str) -> None:
    (data / "images" / name).write_bytes((data / "images" / "a" / "0.jpg").read_bytes())
    assert said in run(*IMAGES).message


def test_names_may_have_extensions(run: Run, data: Path) -> None:
    truth = json.loads((data / "gt.json").read_text())
    truth[0]["file"] = "0.jpg"
    (data / "gt.json").write_text(json.dumps(truth))
    (data / "subset.txt").write_text("a/0.jpg\na/1.png\nb/0\n")
    assert row(run(*IMAGES, "--subset", "subset.txt", "--json", "-").out)["images"] == 3
    truth[1] |= {"event": "a", "file": "0"}
    (data / "gt.json").write_text(json.dumps(truth))
    assert "fits a/0.jpg and a/0 of the ground truth" in run(*IMAGES).message


@pytest.mark.parametrize(
    ("event", "name"), [("..", "0"), ("/etc", "0"), ("a", "/etc/passwd"), ("a/../..", "0")]
)
def test_names_that_lead_elsewhere_are_refused(run: Run, data: Path, event: str, name: str) -> None:
    (data / "gt.json").write_text(json.dumps([entry(event, name, [[1, 2, 30, 40]])]))
    assert "is not the name of a file" in run(*IMAGES, "--save", "texts").message
    assert not (data / "texts").exists()


def test_a_damaged_image_counts_as_missed_and_is_said(run: Run, data: Path) -> None:
    assert run(*IMAGES, "--save", "texts").status == 0
    (data / "images" / "a" / "1.png").write_bytes(b"no image")
    for more in ((), ("--save", "texts")):  # a text file of an earlier run is not that of the damaged image
        result = run(*IMAGES, "--json", "-", "--html", "page.html", *more)
        assert result.status == 1
        found = row(result.out)
        page = (data / "page.html").read_text()
        assert "images/a/1.png: not an image in a known format" in page
        assert "1 of 4 images could not be used" in page
        assert found["failed"] == [{"image": "images/a/1.png", "error": "not an image in a known format"}]
        assert found["missing"] == []
        assert "trt-mogface: images/a/1.png: not an image in a known format" in result.err
        assert found["ap"]["hard"] == pytest.approx(0.75, abs=0.03)
        assert "1 of 4 images could not be used, their faces count as missed" in result.err
        assert "have no file" not in result.err


def test_only_damaged_images_are_an_error(run: Run, data: Path) -> None:
    for path in (data / "images").rglob("*.*"):
        path.write_bytes(b"no image")
    assert "none of the 4 could be used; the first is images/a/0.jpg: not an image" in run(*IMAGES).message


def test_text_files_are_reused(run: Run, data: Path) -> None:
    first = row(run(*IMAGES, "--json", "-", "--save", "texts").out)
    folder = data / "texts" / "fp32" / "original"
    marked, cut, empty, missing = (folder / name for name in ("a/0.txt", "a/1.txt", "b/0.txt", "b/2.v1.txt"))
    text = marked.read_text()
    marked.write_text("marked\n" + text.partition("\n")[2])
    cut.write_bytes(cut.read_bytes()[:-3])
    empty.write_bytes(b"")
    missing.unlink()
    result = run(*IMAGES, "--json", "-", "--save", "texts", "--resume")
    assert result.status == 0
    assert row(result.out) == first | {"seconds": None}
    assert marked.read_text().startswith("marked\n")
    assert all(path.read_text().endswith("\n") for path in (cut, empty, missing))


@pytest.mark.parametrize("options", [["--size", "64x64"], ["--model", "other.onnx"]])
def test_text_files_of_another_run_are_not_reused(run: Run, data: Path, options: list[str]) -> None:
    model = onnx.load(embedded_file(DEFAULT))
    model.doc_string = "another"
    onnx.save(model, data / "other.onnx")
    run(*IMAGES, "--save", "texts")
    assert "those of another run" in run(*IMAGES, "--save", "texts", "--resume", *options).message
    (data / "texts" / "fp32" / "original" / "run.jsonl").unlink()
    assert "which model made" in run(*IMAGES, "--save", "texts", "--resume").message
    assert "--resume reuses the text files of --save" in run(*IMAGES, "--resume").message


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_an_evaluation_that_is_ended_is_resumed(
    run: Run,
    data: Path,
    boxes: list[list[float]],
    pytestconfig: pytest.Config,
    number: signal.Signals,
    status: int,
) -> None:
    source = data / "images" / "a" / "1.png"
    for index in range(200):
        (data / "images" / "b" / f"x{index}.png").symlink_to(source)
    truth = [entry("b", f"x{index}", boxes) for index in range(200)]
    (data / "gt.json").write_text(json.dumps(truth))
    process = subprocess.Popen(
        [*COMMAND, "eval", "wider", "--gt", data / "gt.json", "--images", data / "images",
         "--save", data / "texts", "--threads", "1"],
        cwd=pytestconfig.rootpath,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=hear_interrupts,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while len(list(data.glob("texts/fp32/original/b/x*.txt"))) < 3 and time.monotonic() < deadline:
            time.sleep(0.005)
        assert process.poll() is None, "too fast to be interrupted"
        process.send_signal(number)
        process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == status
    if number != signal.SIGKILL:
        assert not list((data / "texts").rglob(".tmp-*"))
    written = {path: path.stat().st_mtime_ns for path in data.glob("texts/fp32/original/b/x*.txt")}
    assert 3 <= len(written) < 200
    assert run(*IMAGES, "--save", "texts", "--resume").status == 0
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert len(list(data.glob("texts/fp32/original/b/x*.txt"))) == 200


def test_rows_that_are_complete_are_reported_at_an_error(run: Run, data: Path) -> None:
    (data / "texts" / "fp32").mkdir(parents=True)
    (data / "texts" / "fp32" / "single").write_text("a file, where a folder has to be")
    result = run(*IMAGES, "--procedure", "original,single", "--save", "texts", "--json", "a.json")
    assert result.status == 2
    assert row((data / "a.json").read_text())["label"].endswith("fp32, original")


def test_normalized_boxes_and_an_absurd_score_are_hinted_at(run: Run, data: Path) -> None:
    run(*IMAGES, "--save", "texts")
    text = data / "texts" / "fp32" / "original" / "a" / "0.txt"
    name, count, first, *rest = text.read_text().splitlines()
    text.write_text("\n".join([name, count, f"{first.rpartition(' ')[0]} 12345", *rest, ""]))
    predictions = (*EVAL, "--predictions", "texts/fp32/original")
    result = run(*predictions, "--json", "-")
    assert result.status == 0
    assert "the score 12345 in a/0 is far from the other" in result.err
    assert row(result.out)["hints"][0].startswith("the score 12345")
    truth = json.loads((data / "gt.json").read_text())
    for each in truth:
        each["boxes_xywh"] = (np.array(each["boxes_xywh"]) / 320).tolist()
    (data / "gt.json").write_text(json.dumps(truth))
    assert "the annotated boxes of 4 of 4 images lie within 0..1" in run(*predictions).err
