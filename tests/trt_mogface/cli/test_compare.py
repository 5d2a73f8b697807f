"""``trt-mogface compare``: what it counts, statuses, streams and files."""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

from engine_build.onnx.pyramid import without_small_faces
from tests.support.command import Run, command
from tests.support.onnx_files import answers, constant_network, default_model
from trt_mogface import Detector, read_image
from trt_mogface.cli import signals, sources
from trt_mogface.evaluation.disagreement_page import LONGEST_SIDE
from trt_mogface.frame import Image
from trt_mogface.models.cards import DEFAULT
from trt_mogface.reporting.html import SCRIPTS
from trt_mogface.spec import BoxCoding, DetectorSpec, InputSpec, Level, Origin, Thresholds

SIDE = 16
CENTERS = np.array([[8, 8], [24, 8], [8, 24], [24, 24]], np.float32)
"""Of the four anchors of a image of 32x32."""

SPEC = DetectorSpec(
    name="made-up",
    levels=(Level(SIDE, (float(SIDE),), max_face=32.0),),  # a single pass sees all faces
    coding=BoxCoding("distance"),
    thresholds=Thresholds(score_threshold=0.5, iou_threshold=0.4),
    input=InputSpec(),
    origin=Origin("made up", "none", "0" * 64),
)

Face = tuple[float, float, float, float, float]

FIRST: Face = (2, 2, 13, 13, 0.9)
MOVED: Face = (3, 2, 14, 13, 0.8)
SECOND: Face = (18, 2, 29, 13, 0.75)
THIRD: Face = (2, 18, 13, 29, 0.6)


def network(path: Path, *faces: Face) -> Path:
    """A contract model that finds these faces, x0, y0, x1, y1 and score, in every image of 32x32."""
    outputs = answers(len(CENTERS))
    for anchor, (x0, y0, x1, y1, score) in enumerate(faces):
        (x, y), outputs["scores"][0, anchor] = CENTERS[anchor], score
        outputs["deltas"][0, anchor] = np.array([x - x0, y - y0, x1 - x, y1 - y]) / SIDE
    return constant_network(path, outputs, spec=SPEC.to_json())


def black(path: Path, width: int = 32, height: int = 32) -> Path:
    cv2.imwrite(str(path), np.zeros((height, width, 3), np.uint8))
    return path


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """A finds two faces; B finds one of them, a little off, and two others."""
    folder = tmp_path / "models"
    folder.mkdir()
    a = network(folder / "a.onnx", FIRST, SECOND)
    return a, network(folder / "b.onnx", MOVED, (19, 19, 30, 30, 0.95), THIRD)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return black(tmp_path / "small.png")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def numbers(text: str) -> Any:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


class Reader(HTMLParser):
    """The text, the images and the addresses of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.tags, self.boxes = "", list[str](), list[str]()
        self.images: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]] = {}
        self.addresses: list[str] = []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        if (given.get("class") or "").startswith("box "):
            self.boxes.append(given["class"] or "")
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag == "img":
            data = base64.b64decode((given["src"] or "").removeprefix("data:image/jpeg;base64,"))
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            assert image is not None
            self.images[given["alt"] or ""] = image.astype(np.uint8)


def test_it_counts_who_finds_what(run: Run, two: tuple[Path, Path], small: Path) -> None:
    result = run("compare", *two, small, "--json", "-")
    assert (result.status, result.err) == (0, "")
    read = numbers(result.out)
    (image,) = read["images"]
    assert (read["a"], read["b"], image.pop("image")) == (str(two[0]), str(two[1]), str(small))
    assert read["total"] == {"images": 1, **image}
    assert [image[name] for name in ("faces_a", "faces_b", "matched", "only_a", "only_b")] == [
        2,
        3,
        1,
        1,
        2,
    ]
    overlap = 11 * 12 / (2 * 144 - 11 * 12)
    assert image["iou"] == pytest.approx(overlap)
    assert image["score_difference"] == pytest.approx(0.1)
    assert (image["coordinate_difference"], image["coordinate_difference_max"]) == (0.5, 1)
    assert image["relative_difference_max"] == pytest.approx(1 / 12)
    assert image["disagreement"] == pytest.approx(0.1 + 1 - overlap + 0.75 + 0.95 + 0.6)


def test_the_table_says_it_too(run: Run, two: tuple[Path, Path], small: Path) -> None:
    result = run("compare", *two, small)
    assert (result.status, result.err) == (0, "")
    assert f"A: {two[0]} (fp32)\nB: {two[1]} (fp32)\n" in result.out
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.out.splitlines()]
    assert ["found by both", "1 of 4 (25.0%)"] in rows
    assert ["only B", "2, best score 0.950"] in rows
    assert ["2.554", "1", "1", "2", "0.846", "0.100"] in [row[:6] for row in rows]  # a long name is folded


def test_a_model_agrees_with_itself(run: Run, two: tuple[Path, Path], small: Path) -> None:
    result = run("compare", two[0], two[0], small, "--html", small.with_name("a.html"))
    assert result.status == 0
    assert "2 of 2 (100.0%)" in result.out
    assert "worst first" not in result.out
    assert not Reader(small.with_name("a.html").read_text()).images


@pytest.mark.parametrize(
    "arguments",
    [
        ("{a}", "{b}", "{one}", "{two}"),
        ("{a}", "{b}", "--images", "{one}", "{two}"),
        ("{a}", "{b}", "--images", "{one}", "--images", "{two}"),
        ("--images", "{one}", "{a}", "{b}", "{two}"),
        ("{a}", "{b}", "{folder}"),
        ("{a}", "{b}", "--images", "{folder}/*.png"),
    ],
    ids=str,
)
def test_images_are_named_by_place_or_by_option(
    run: Run, two: tuple[Path, Path], tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    places = {"one": black(folder / "1.png"), "two": black(folder / "2.png"), "folder": folder}
    given = [argument.format(a=two[0], b=two[1], **places) for argument in arguments]
    read = numbers(run("compare", *given, "--json", "-").out)
    assert [Path(image["image"]).name for image in read["images"]] == ["1.png", "2.png"]


def test_thresholds_hold_for_both_sides(run: Run, two: tuple[Path, Path], small: Path) -> None:
    read = numbers(run("compare", *two, small, "--conf", "0.78", "--json", "-").out)
    assert (read["total"]["faces_a"], read["total"]["faces_b"]) == (1, 2)


def test_bad_images_among_good_ones_are_listed_at_the_end(
    run: Run, two: tuple[Path, Path], small: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "cut.png").write_bytes(small.read_bytes()[:40])
    images = (tmp_path / "missing.jpg", tmp_path / "cut.png", small, tmp_path / "empty.jpg")
    result = run("compare", *two, *images, "--json", tmp_path / "a.json", "--html", tmp_path / "a.html")
    assert result.status == 1
    assert [each["image"] for each in numbers((tmp_path / "a.json").read_text())["images"]] == [str(small)]
    lines = [line for line in result.err.splitlines() if line.startswith("trt-mogface: ")]
    page = (tmp_path / "a.html").read_text()
    for line, name in zip(lines, ["missing.jpg", "cut.png", "empty.jpg"], strict=True):
        assert name in line
        assert name in page
    assert "Traceback" not in result.err


def test_nothing_usable_fails_and_writes_nothing(run: Run, two: tuple[Path, Path], tmp_path: Path) -> None:
    targets = ("--json", tmp_path / "a.json", "--html", tmp_path / "a.html")
    result = run("compare", *two, tmp_path / "1.jpg", tmp_path / "2.jpg", *targets)
    assert result.status == 2
    assert all(name in result.err for name in ("1.jpg", "2.jpg", "none of the 2"))
    assert "1.jpg" in run("compare", *two, tmp_path / "1.jpg", *targets).message
    assert names(tmp_path) == ["models"]


def test_the_page_shows_the_worst_images_scaled_down_and_fetches_nothing(run: Run, tmp_path: Path) -> None:
    a, b = network(tmp_path / "a.onnx", FIRST), network(tmp_path / "b.onnx", FIRST, SECOND)
    for number, width in enumerate((640, 2000, 320)):
        black(tmp_path / f"{number}.png", width, width // 2)
    images = [tmp_path / f"{number}.png" for number in range(3)]
    options = ("--size", "32x32", "--worst", "2")
    result = run("compare", a, b, *images, *options, "--html", tmp_path / "a.html")
    assert result.status == 0, result.err
    page = Reader((tmp_path / "a.html").read_text())
    # All three differ by the same face, and then the order given decides.
    assert list(page.images) == [str(images[0]), str(images[1])]
    assert page.images[str(images[1])].shape == (LONGEST_SIDE // 2, LONGEST_SIDE, 3)
    assert page.boxes == ["box both", "box both", "box only-b"] * 2
    assert "1 found by both, 0 only by A, 1 only by B" in page.text
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert "svg" in page.tags


def test_worst_none_shows_none(run: Run, two: tuple[Path, Path], small: Path, tmp_path: Path) -> None:
    result = run("compare", *two, small, "--worst", "0", "--html", tmp_path / "a.html")
    assert "worst first" not in result.out
    assert not Reader((tmp_path / "a.html").read_text()).images


@pytest.mark.parametrize("name", ["[bold]a.png", "<script>a.png", "&amp;.png", "ü😀.png", "a\nb.png"])
def test_odd_names_come_out_as_they_are(run: Run, two: tuple[Path, Path], small: Path, name: str) -> None:
    odd = small.rename(small.with_name(name))
    targets = ("--html", small.with_name("a.html"), "--json", small.with_name("a.json"))
    assert run("compare", *two, odd, *targets).status == 0
    assert numbers(small.with_name("a.json").read_text())["images"][0]["image"] == str(odd)
    page = Reader(small.with_name("a.html").read_text())
    assert page.tags.count("script") == len(SCRIPTS)
    assert str(odd) in page.text
    assert str(odd) in page.images


def test_a_name_that_is_not_unicode_can_be_used(two: tuple[Path, Path], small: Path) -> None:
    odd = small.rename(small.with_name(os.fsdecode(b"a\xff.png")))
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    result = command("compare", *two, odd, "--html", small.with_name("a.html"), env=environment)
    assert result.status == 0, result.err
    assert "\\udcff" in small.with_name("a.html").read_text()


@pytest.mark.parametrize("option", ["--html", "--json"])
@pytest.mark.parametrize("place", ["no/such/a.x", "file/a.x", "/proc/nope.x", "models"])
def test_an_unwritable_place_is_one_line_and_leaves_nothing(
    run: Run, two: tuple[Path, Path], small: Path, tmp_path: Path, option: str, place: str
) -> None:
    (tmp_path / "file").touch()
    target = tmp_path / place
    assert str(target) in run("compare", *two, small, option, target).message
    assert names(tmp_path) == ["file", "models", "small.png"]


def test_no_input_and_no_other_result_is_overwritten(
    run: Run, two: tuple[Path, Path], small: Path, tmp_path: Path
) -> None:
    before = [path.read_bytes() for path in (*two, small)]
    for target in (*two, small):
        assert "itself" in run("compare", *two, small, "--html", target).message
        assert "itself" in run("compare", *two, small, "--json", target).message
    both = ("--html", tmp_path / "same", "--json", tmp_path / "same")
    assert "a file of its own" in run("compare", *two, small, *both).message
    assert [path.read_bytes() for path in (*two, small)] == before


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--size", "large"], "--size large"),
        (["--size", "0x480"], "--size 0x480: width and height must be positive"),
        (["--conf", "7"], "0..1"),
        (["--iou", "nan"], "0..1"),
        (["--weights", "w.pt"], "--weights"),
        (["--threads", "0"], "--threads"),
        (["--worst", "-1"], "--worst"),
        (["--nonsense"], "--nonsense"),
    ],
    ids=str,
)
def test_impossible_options_are_one_line(
    run: Run, two: tuple[Path, Path], small: Path, options: list[str], hint: str
) -> None:
    result = run("compare", *two, small, *options)
    assert hint in result.message
    assert result.out == ""


def test_models_that_are_none_and_missing_arguments_are_one_line(
    run: Run, two: tuple[Path, Path], small: Path
) -> None:
    assert "unknown model 'yolo'" in run("compare", "yolo", two[0], small).message
    assert "unknown model 'yolo'" in run("compare", two[0], "yolo", small).message
    assert str(small) in run("compare", two[0], small, small).message
    assert "no images" in run("compare", *two).message
    assert run("compare", two[0]).message
    assert run("compare").message


def test_weights_go_to_the_side_that_wants_some(run: Run, two: tuple[Path, Path], small: Path) -> None:
    pytest.importorskip("torch", reason="MogFace is made with torch")
    missing = small.with_name("weights.pt")
    assert str(missing) in run("compare", two[0], "mogface", small, "--weights", missing).message


def test_threads_go_to_the_side_that_takes_some(run: Run, two: tuple[Path, Path], small: Path) -> None:
    engine = small.with_name("a.engine")
    engine.write_bytes(b"no plan")
    assert (
        f"--threads 1: does not apply to {engine}, an engine"
        in run("compare", engine, engine, small, "--threads", "1").message
    )
    for sides in ((engine, two[0]), (two[0], engine)):
        message = run("compare", *sides, small, "--threads", "1").message
        assert str(engine) in message
        assert "does not apply" not in message


def test_a_missing_package_for_pages_is_said_before_any_work(
    run: Run, two: tuple[Path, Path], small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run("compare", *two, small, "--html", small.with_name("a.html"))
    assert "pip install 'trt-mogface[reports]'" in result.message
    assert run("compare", *two, small).status == 0


def test_a_photo_and_a_model_without_its_small_faces(run: Run, photo: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.onnx"
    onnx.save(without_small_faces(default_model(), 60), str(cut))
    image = cv2.resize(read_image(photo), (420, 290)).astype(np.uint8, copy=False)
    cv2.imwrite(str(tmp_path / "small.png"), image)
    read = numbers(run("compare", DEFAULT, cut, tmp_path / "small.png", "--json", "-").out)["total"]
    with Detector() as whole, Detector(cut) as other:
        expected = len(whole(image)), len(other(image))
    assert (read["faces_a"], read["faces_b"]) == expected
    assert read["matched"] + read["only_a"] == expected[0]
    assert read["matched"] + read["only_b"] == expected[1]
    assert 0 < expected[1] < expected[0]


def test_a_photo_in_two_precisions_is_the_same_up_to_little(run: Run, photo: Path, tmp_path: Path) -> None:
    half = tmp_path / "fp16.onnx"
    assert run("build", DEFAULT, "--precision", "fp16", "-o", half).status == 0
    read = numbers(run("compare", DEFAULT, half, photo, "--json", "-").out)["total"]
    assert (read["matched"], read["only_a"], read["only_b"]) == (6, 0, 0)
    assert 0 < read["score_difference_max"] < 0.02
    assert 0 < read["coordinate_difference_max"] < 1
    assert read["iou"] > 0.98


def test_a_comparison_that_is_ended_reports_the_images_so_far(
    run: Run, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        (tmp_path / f"{number}.jpg").write_bytes(photo.read_bytes())

    def read(path: str) -> Image:
        if Path(path).name == "2.jpg":
            signal.raise_signal(signal.SIGTERM)
        return read_image(path)

    monkeypatch.setattr(sources, "read_image", read)
    handlers = {number: signal.getsignal(number) for number in signals.ENDING}
    try:
        result = run("compare", DEFAULT, DEFAULT, tmp_path, "--json", tmp_path / "a.json")
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert result.status == 143
    assert result.err.splitlines()[-1] == "trt-mogface: ended by SIGTERM"
    found = json.loads((tmp_path / "a.json").read_text())
    assert [Path(each["image"]).name for each in found["images"]] == ["0.jpg", "1.jpg"]
    assert found["total"]["images"] == 2
