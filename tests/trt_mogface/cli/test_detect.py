"""``trt-mogface detect``: statuses, streams and files."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.command import COMMAND, Result, Run, command
from tests.support.onnx_files import answers, constant_network
from tests.support.photos import Photo
from tests.support.specs import iou
from trt_mogface import Detector, Runner, read_image


def unfolded(text: str) -> str:
    """Text without the breaks and blanks that a narrow terminal gives it."""
    return "".join(text.split())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_a_photo_gives_a_table_of_its_faces(run: Run, photo: Path) -> None:
    result = run("detect", photo)
    assert (result.status, result.err) == (0, "")
    assert f"{photo}: 6 faces in 640x443".replace(" ", "") in unfolded(result.out)


def test_no_face_is_no_failure(run: Run, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((32, 32, 3), np.uint8))
    result = run("detect", tmp_path / "black.png")
    assert (result.status, result.err) == (0, "")
    assert "0facesin32x32" in unfolded(result.out)


def test_json_on_stdout_is_json_alone_and_what_the_library_finds(run: Run, photo: Path) -> None:
    result = run("detect", photo, "--json", "-")
    assert (result.status, result.err) == (0, "")
    (image,) = json.loads(result.out)
    with Detector() as detect:
        expected = detect(read_image(photo))
    assert image == {"image": str(photo), **expected.to_dict()}


def test_clip_cuts_boxes_at_the_edges(run: Run, portrait: Photo, tmp_path: Path) -> None:
    part = portrait[80:190, 200:340]  # of the face without its left and its forehead
    cv2.imwrite(str(tmp_path / "part.png"), part)
    (whole,) = json.loads(run("detect", tmp_path / "part.png", "--json", "-").out)
    (cut,) = json.loads(run("detect", tmp_path / "part.png", "--json", "-", "--clip").out)
    assert any(min(face["box"]) < 0 for face in whole["faces"])
    for face in whole["faces"]:
        x0, y0, x1, y1 = face["box"]
        face["box"] = [max(x0, 0), max(y0, 0), min(x1, 140), min(y1, 110)]
    assert cut == whole
    with Detector(clip=True) as detect, Runner(clip=True) as runner:
        assert detect(part).to_dict()["faces"] == cut["faces"]
        (found,) = runner.map([part])
        np.testing.assert_allclose(found.xyxy, detect(part).xyxy, atol=1e-3)


@pytest.mark.parametrize(("scales", "face"), [("full", 1), ("2", 1), ("native", 0), ("1", 0)])
def test_a_close_up_is_a_face_with_all_scales(
    run: Run, portrait: Photo, tmp_path: Path, scales: str, face: int
) -> None:
    cv2.imwrite(str(tmp_path / "close.jpg"), cv2.resize(portrait[30:200, 140:310], (2000, 2000)))
    result = run("detect", tmp_path / "close.jpg", "--scales", scales, "--json", "-")
    assert result.status == 0
    (image,) = json.loads(result.out)
    boxes = np.array([each["box"] for each in image["faces"]], np.float32).reshape(-1, 4)
    assert sum(iou(box, np.array([467, 317, 1565, 1729])) > 0.8 for box in boxes) == face
    assert face == 0 or len(boxes) == 1


def test_json_into_a_file_is_written_whole_over_the_old_one(run: Run, photo: Path, tmp_path: Path) -> None:
    path = tmp_path / "faces.json"
    path.write_text("x" * 100_000)
    result = run("detect", photo, "--json", path)
    assert result.status == 0
    assert "6 faces" in result.out
    (image,) = json.loads(path.read_text())
    assert len(image["faces"]) == 6
    assert names(tmp_path) == ["faces.json", "photo.jpg"]


def test_bad_images_among_good_ones_are_reported_and_recorded(run: Run, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.jpg").write_bytes(photo.read_bytes()[:9000])
    (tmp_path / "empty.jpg").touch()
    missing = tmp_path / "missing.jpg"
    result = run(
        "detect", missing, tmp_path / "cut.jpg", photo, tmp_path / "empty.jpg", "--json", tmp_path / "a.json"
    )
    assert result.status == 1
    assert "6 faces" in result.out
    entries = json.loads((tmp_path / "a.json").read_text())
    assert [Path(entry["image"]).name for entry in entries] == [
        "missing.jpg",
        "cut.jpg",
        "photo.jpg",
        "empty.jpg",
    ]
    assert [entry.get("error", "")[:15] for entry in entries] == [
        "cannot be read ",
        "truncated or da",
        "",
        "the file is emp",
    ]
    lines = [line for line in result.err.splitlines() if line.startswith("trt-mogface: ")]
    for line, name in zip(lines, ["missing.jpg", "cut.jpg", "empty.jpg"], strict=True):
        assert name in line
    assert "Traceback" not in result.err


def test_nothing_usable_fails_and_names_every_image(run: Run, tmp_path: Path) -> None:
    result = run("detect", tmp_path / "one.jpg", tmp_path / "two.jpg")
    assert result.status == 2
    assert all(name in result.err for name in ("one.jpg", "two.jpg", "none of the 2"))
    assert "Traceback" not in result.err


def test_folders_and_patterns_are_expanded(run: Run, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "again.jpg").write_bytes(photo.read_bytes())
    for pattern in (tmp_path, f"{tmp_path}/**/*.jpg"):
        result = run("detect", pattern, "--json", "-")
        images = [Path(entry["image"]).name for entry in json.loads(result.out)]
        assert sorted(images) == ["again.jpg", "photo.jpg"]


def test_a_drawing_goes_to_a_file_or_into_a_folder(run: Run, photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "drawn"
    folder.mkdir()
    before = photo.read_bytes()
    assert run("detect", photo, "--save", tmp_path / "a.png").status == 0
    assert run("detect", photo, "--save", folder).status == 0
    assert names(tmp_path) == ["a.png", "drawn", "photo.jpg", "photo.jpg"]
    assert photo.read_bytes() == before
    drawn = read_image(tmp_path / "a.png")
    assert drawn.shape == read_image(photo).shape
    assert not np.array_equal(drawn, read_image(photo))


def test_a_folder_that_holds_the_photo_does_not_cost_the_photo(run: Run, photo: Path, tmp_path: Path) -> None:
    before = photo.read_bytes()
    run("detect", photo, "--save", tmp_path)
    assert photo.read_bytes() == before


@pytest.mark.parametrize("option", ["--save", "--json"])
@pytest.mark.parametrize("place", ["no/such/folder/a.png", "file/a.png", "/proc/nope.png"])
def test_an_unwritable_place_is_one_line_and_leaves_nothing(
    run: Run, photo: Path, tmp_path: Path, option: str, place: str
) -> None:
    (tmp_path / "file").touch()
    target = tmp_path / place
    assert str(target) in run("detect", photo, option, target).message
    assert names(tmp_path) == ["file", "photo.jpg"]


def test_json_over_a_folder_is_one_line(run: Run, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert "folder" in run("detect", photo, "--json", tmp_path / "folder").message
    assert names(tmp_path) == ["folder", "photo.jpg"]


@pytest.mark.parametrize("name", ["a.xyz", "nosuffix", "a.json"])
def test_an_unknown_image_format_is_one_line(run: Run, photo: Path, tmp_path: Path, name: str) -> None:
    assert "unknown image format" in run("detect", photo, "--save", tmp_path / name).message
    assert names(tmp_path) == ["photo.jpg"]


def test_several_images_are_drawn_into_a_folder(run: Run, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "photo.jpg").write_bytes(photo.read_bytes())
    other = tmp_path / "other.jpg"
    other.write_bytes(photo.read_bytes())
    assert "2 images need a folder" in run("detect", photo, other, "--save", tmp_path / "out.png").message
    assert names(tmp_path) == ["b", "other.jpg", "photo.jpg", "photo.jpg"]
    assert run("detect", photo, other, "--save", tmp_path / "new" / "out").status == 0
    assert names(tmp_path / "new" / "out") == ["other.jpg", "photo.jpg"]


def drawn(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_drawings_keep_the_folders_of_the_images(
    run: Run, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cam/a/0.jpg", "cam/b/0.jpg", "other/0.jpg"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(photo.read_bytes())
    monkeypatch.chdir(tmp_path / "in")
    expected = {
        ("cam",): ["a/0.jpg", "b/0.jpg"],
        ("cam/*/0.jpg",): ["a/0.jpg", "b/0.jpg"],
        ("cam/a/0.jpg", "cam/b/0.jpg"): ["a/0.jpg", "b/0.jpg"],
        ("cam", "other"): ["0.jpg", "a/0.jpg", "b/0.jpg"],
        ("cam/a", "other"): ["cam/a/0.jpg", "other/0.jpg"],
        ("cam/a/0.jpg", f"{tmp_path}/in/other/0.jpg"): ["cam/a/0.jpg", "other/0.jpg"],
    }
    for number, (given, made) in enumerate(expected.items()):
        assert run("detect", *given, "--save", tmp_path / str(number)).status == 0
        assert drawn(tmp_path / str(number)) == made


def test_a_folder_is_created_for_one_image_too(run: Run, photo: Path, tmp_path: Path) -> None:
    assert run("detect", photo, "--save", f"{tmp_path}/new/").status == 0
    assert names(tmp_path / "new") == ["photo.jpg"]


def test_a_failed_command_leaves_no_folder(run: Run, photo: Path, tmp_path: Path) -> None:
    photo.write_bytes(photo.read_bytes()[:9000])
    assert run("detect", photo, "--save", f"{tmp_path}/new/").message
    assert "file" in run("detect", photo, "--save", f"{photo}/new/").message.replace(
        "Not a directory", "file"
    )
    assert names(tmp_path) == ["photo.jpg"]


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--size", "large"], "--size large"),
        (["--size", "640x"], "WIDTHxHEIGHT"),
        (["--size", "-1x5"], "WIDTHxHEIGHT"),
        (["--size", "0x480"], "--size 0x480: width and height must be positive"),
        (["--size", "999999x1"], "WIDTHxHEIGHT"),
        (["--model", "yolo"], "unknown model 'yolo'"),
        (["--weights", "w.pt"], "--weights"),
        (["--conf", "7"], "0..1"),
        (["--conf", "nan"], "0..1"),
        (["--conf", "high"], "--conf"),
        (["--iou", "-0.1"], "0..1"),
        (["--min-face", "0"], "--min-face"),
        (["--min-face", "100000"], "--min-face"),
        (["--threads", "0"], "--threads"),
        (
            ["--scales", "half"],
            "--scales 'half': must be 'native', 'full', or a number of passes within 1..8",
        ),
        (["--scales", "9"], "--scales 9: must be"),
        (["--scales", "0"], "--scales 0: must be"),
        (["--nonsense"], "--nonsense"),
        (["--json"], "--json"),
    ],
    ids=str,
)
def test_impossible_options_are_one_line(run: Run, photo: Path, options: list[str], hint: str) -> None:
    result = run("detect", photo, *options)
    assert hint in result.message
    assert result.out == ""


@pytest.mark.parametrize("arguments", [["detect"], ["nonsense"], ["detect", "no-such-*.jpg"]], ids=str)
def test_a_command_without_sense_is_one_line(run: Run, arguments: list[str]) -> None:
    assert run(*arguments).message


def test_a_missing_image_is_one_line(run: Run, tmp_path: Path) -> None:
    assert (
        run("detect", tmp_path / "a.jpg").message
        == f"{tmp_path}/a.jpg: cannot be read (No such file or directory)"
    )


def test_files_that_are_no_contract_models_are_one_line(run: Run, photo: Path, tmp_path: Path) -> None:
    other = constant_network(tmp_path / "other.onnx", answers(4))
    assert "trt-mogface export" in run("detect", photo, "--model", other).message
    assert "not an ONNX model" in run("detect", photo, "--model", photo).message


@pytest.mark.parametrize("name", ["[bold]a.jpg", "a b\\.jpg", "ü😀.jpg", "-a.jpg", "a[1].jpg", "a\nb.jpg"])
def test_odd_names_come_out_as_they_are(run: Run, photo: Path, tmp_path: Path, name: str) -> None:
    odd = photo.rename(tmp_path / name)
    result = run("detect", odd, "--json", "-")
    assert result.status == 0
    assert json.loads(result.out)[0]["image"] == str(odd)
    assert run("detect", tmp_path / name, "--save", tmp_path / "drawn.png").status == 0


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--json", "-"], id="json"),
        pytest.param(
            [],
            id="table",
        ),
    ],
)
def test_a_name_that_is_not_unicode_can_be_used(photo: Path, tmp_path: Path, options: list[str]) -> None:
    odd = photo.rename(tmp_path / os.fsdecode(b"a\xff.jpg"))
    result = command("detect", odd, *options, env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"})
    assert (result.status, result.err) == (0, "")


def test_a_truncated_png_is_one_line(run: Run, tmp_path: Path) -> None:
    done, data = cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))
    assert done
    (tmp_path / "cut.png").write_bytes(bytes(data)[:3000])
    assert "truncated" in run("detect", tmp_path / "cut.png").message


def test_a_name_too_long_is_one_line(run: Run) -> None:
    assert run("detect", "a" * 5000).message


@pytest.mark.parametrize("options", [[], ["--json", "-"]], ids=str)
def test_a_full_disk_behind_stdout_is_one_line(photo: Path, options: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "detect", photo, *options], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def without_a_reader(*arguments: object) -> Result:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)], stdout=write, stderr=subprocess.PIPE, text=True
        )
    finally:
        os.close(write)
    return Result(done.returncode, "", done.stderr)


@pytest.mark.parametrize("options", [[], ["--json", "-"]], ids=str)
def test_a_reader_that_has_gone_is_not_addressed(photo: Path, options: list[str]) -> None:
    result = without_a_reader("detect", photo, *options)
    assert result.status != 0
    assert result.err == ""


def test_a_reader_that_has_gone_has_the_status_of_its_signal(photo: Path) -> None:
    assert without_a_reader("detect", photo, "--json", "-").status == 141
