"""``trt-mogface bench``: reports, and everything that is refused in one line before it is measured."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import cv2
import pytest

from tests.support.command import Run, command
from tests.support.fakes import echo_network
from tests.support.manifests import GOOD, PLAN
from trt_mogface import Detector, read_image
from trt_mogface.bench import trials
from trt_mogface.models.manifest import manifest_path

SMALL = ("--size", "64x48", "--duration", "0.3", "--threads", "1")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return echo_network(tmp_path / "echo.onnx")


def test_json_on_stdout_is_json_alone_with_a_row_each(run: Run, model: Path) -> None:
    result = run("bench", "--model", model, "--batch", "2,1", *SMALL, "--json", "-")
    assert (result.status, result.err) == (0, "")
    report = json.loads(result.out)
    assert report["schema"] == 2
    assert [(row["mode"], row["batch"]) for row in report["rows"]] == [
        ("network", 2),
        ("memory", 2),
        ("network", 1),
        ("memory", 1),
    ]
    for row in report["rows"]:
        assert row["precision"] == "as it is"
        assert row["measurement"]["count"] >= 10
        assert row["measurement"]["images_per_s"] > 0
    assert report["model"] == ["small", str(model)]
    assert "contests" not in report


@pytest.mark.parametrize(("scales", "passes"), [("2", [[64, 64], [32, 32]]), ("native", [[64, 64]])])
def test_the_passes_over_an_image_are_named(
    run: Run, model: Path, scales: str, passes: list[list[int]]
) -> None:
    given = ("--size", "64x64", "--duration", "0.3", "--mode", "memory", "--scales", scales)
    result = run("bench", "--model", model, *given, "--json", "-")
    assert (result.status, result.err) == (0, "")
    assert json.loads(result.out)["passes"] == passes


def test_images_of_all_kinds_go_through(run: Run, photo: Path, tmp_path: Path) -> None:
    video = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (320, 224))
    for _ in range(3):
        writer.write(cv2.resize(read_image(photo), (320, 224)))
    writer.release()
    images = photo
    arguments = ("--size", "320x224", "--duration", "0.2", "--threads", "1", "--images", images)
    result = run("bench", *arguments, "--mode", "video,jpeg,memory", "--video", video, "--json", "-")
    assert (result.status, result.err) == (0, "")
    rows = json.loads(result.out)["rows"]
    with Detector(size=(320, 224), threads=1) as detect:
        each = len(detect(read_image(photo)))
    assert [row["mode"] for row in rows] == ["memory", "jpeg", "video"]
    assert rows[1]["faces"] == each * rows[1]["measurement"]["count"]  # the others see it scaled otherwise
    assert all(row["faces"] > 0 and "run" in row["stages"] for row in rows)


def test_files_hold_the_report_that_the_terminal_shows(run: Run, model: Path, tmp_path: Path) -> None:
    page, data = tmp_path / "a.html", tmp_path / "a.json"
    result = run("bench", "--model", model, *SMALL, "--rate", "50,100", "--json", data, "--html", page)
    assert (result.status, result.err) == (0, "")
    report = json.loads(data.read_text())
    assert [row["rate"] for row in report["load"]] == [50.0, 100.0]
    figure = f"{report['rows'][0]['measurement']['images_per_s']:.2f}"
    assert figure in result.out
    assert figure in page.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_rows_that_are_complete_are_reported_at_a_signal(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def row(subject: trials.Subject, batch: int, conditions: trials.Conditions) -> trials.Row:
        if batch == 2:
            signal.raise_signal(number)
        return measured(subject, batch, conditions)

    measured = trials.network_row
    monkeypatch.setattr(trials, "network_row", row)
    small = ("--size", "64x48", "--duration", "0.5", "--threads", "1")
    result = run("bench", "--mode", "network", "--batch", "1,2", *small, "--json", tmp_path / "a.json")
    assert result.status == 128 + number
    assert [each["batch"] for each in json.loads((tmp_path / "a.json").read_text())["rows"]] == [1]
    assert len(result.err.splitlines()) == 1


def test_a_precision_has_rows_of_its_own(run: Run) -> None:
    small = ("--size", "64x48", "--duration", "1", "--threads", "1")
    result = run("bench", "--precision", "fp32,fp16", "--mode", "network", *small, "--json", "-")
    assert (result.status, result.err) == (0, "")
    assert [row["precision"] for row in json.loads(result.out)["rows"]] == ["fp32", "fp16"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--duration", "0"], "--duration 0"),
        (["--duration", "nan"], "--duration nan"),
        (["--batch", "0"], "--batch 0"),
        (["--batch", "1,-2"], "--batch 1,-2"),
        (["--batch", "many"], "--batch many"),
        (["--size", "native"], "--size native"),
        (["--size", "0x10"], "size 0x10"),
        (["--size", "99999x99999"], "99999x99999"),
        (["--mode", "network,fast"], "'fast'"),
        (["--mode", ""], "--mode"),
        (["--simulate", "gtx"], "'gtx': "),
        (["--mode", "jpeg"], "--images"),
        (["--mode", "video"], "--video"),
        (["--mode", "video", "--video", "/no/such.mp4"], "/no/such.mp4"),
        (["--video", "/no/such.mp4"], "--video: is for mode video"),
        (["--images", "/no/such"], "/no/such"),
        (["--rate", "fast"], "--rate fast"),
        (["--rate", "0"], "--rate 0"),
        (["--rate", "5", "--queue", "0"], "--queue 0"),
        (["--json", "/no/such/a.json"], "mkdir"),
        (["--html", "/no/such/a.html"], "mkdir"),
        (["--model", "no-model"], "no-model"),
        (["--engine", "/no/such.engine"], "/no/such.engine"),
        (["--engine", "a.engine", "--model", "mogface"], "--engine"),
        (["--precision", "int8"], "--calib"),
        (["--precision", "int4"], "int4"),
    ],
)
def test_bad_input_is_one_line(run: Run, arguments: list[str], named: str) -> None:
    assert named in run("bench", *arguments).message


def test_a_folder_without_images_is_one_line(run: Run, tmp_path: Path) -> None:
    assert str(tmp_path) in run("bench", "--images", tmp_path).message


def test_a_damaged_video_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(b"no video at all" * 100)
    assert str(path) in command("bench", "--mode", "video", "--video", path).message


def test_a_damaged_image_is_one_line(run: Run, photo: Path) -> None:
    photo.write_bytes(photo.read_bytes()[:9000])
    assert str(photo) in run("bench", "--images", photo.parent).message


def test_a_duration_shorter_than_one_run_is_one_line(run: Run) -> None:
    message = run("bench", "--size", "1280x960", "--duration", "0.001", "--mode", "network").message
    assert message.startswith("--duration 0.001: one run takes")


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """Of a GPU that is not here; its shapes are 1x640x640, and 1x320x320 to 8x1280x1280."""
    path = tmp_path / "orin.engine"
    path.write_bytes(PLAN)
    manifest_path(path).write_text(GOOD.to_json())
    return path


@pytest.mark.parametrize("option", ["--engine", "--model"])
def test_a_batch_beyond_an_engines_profile_is_one_line(run: Run, engine: Path, option: str) -> None:
    assert "32x640x640" in run("bench", option, engine, "--batch", "1,32").message


def test_an_engine_for_another_machine_is_one_line(run: Run, engine: Path) -> None:
    run("bench", "--engine", engine).message  # noqa: B018 -- which checks that it is one


@pytest.mark.parametrize("option", ["--engine", "--model"])
@pytest.mark.parametrize("wanted", [["--roofline"], ["--simulate", "t4"]])
def test_rooflines_of_an_engine_need_the_file_that_is_counted(
    run: Run, engine: Path, option: str, wanted: list[str]
) -> None:
    assert "--counted FILE" in run("bench", option, engine, *wanted).message


def test_the_precision_of_an_engine_is_its_own(run: Run, engine: Path) -> None:
    assert "decided when it was built" in run("bench", "--engine", engine, "--precision", "fp16").message


def test_noise_has_no_faces_and_the_report_says_that_it_is_noise(run: Run, model: Path) -> None:
    result = run("bench", "--model", model, *SMALL, "--mode", "network")
    assert "images of noise, without faces" in result.out


def test_rooflines_of_this_machine_and_of_others(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "bench.html"
    result = run(
        "bench", "--size", "96x64", "--duration", "0.2", "--mode", "network", "--roofline",
        "--simulate", "orin-nano,t4", "--json", tmp_path / "bench.json", "--html", page,
    )  # fmt: skip
    assert result.status == 0
    assert "Jetson Orin Nano" in result.out
    found = json.loads((tmp_path / "bench.json").read_text())["rooflines"]
    assert [each["precision"] for each in found] == ["fp32", "fp16", "int8", "fp16", "int8"]
    assert found[0]["source"] == "measured"
    assert 0 < found[0]["share_of_ceiling"] < 10
    assert all(each["source"].startswith("data sheet: ") for each in found[1:])
    assert all(each["share_of_ceiling"] is None for each in found[1:])
    assert "Roofline" in page.read_text()
