"""``trt-mogface eval wider``: detectors and text files, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine_build.calibration.images import find_images
from engine_build.calibration.record import load_calibration
from tests.support.command import Run
from tests.support.manifests import GOOD, PLAN
from trt_mogface.backends.onnxruntime import read_spec
from trt_mogface.evaluation.wider_face import SETTINGS
from trt_mogface.models.cards import DEFAULT, embedded_file
from trt_mogface.models.manifest import manifest_path

KNOWN = {"easy": 0.9249, "medium": 0.8947, "hard": 0.7566}
"""AP of one pass of the default model at original size on the 244 images, computed by other code before."""


@pytest.fixture
def few(annotated_photos: Path, tmp_path: Path) -> Path:
    """The eight images, by name."""
    entries = json.loads((annotated_photos / "annotations.json").read_text())
    path = tmp_path / "few.txt"
    path.write_text("".join(f"{entry['event']}/{entry['file']}\n" for entry in entries))
    return path


@pytest.mark.slow
def test_the_default_model_has_its_known_figures(run: Run, test_data: Path, tmp_path: Path) -> None:
    subset = test_data / "wider_val_subset"
    result = run(
        "eval", "wider", "--gt", test_data / "gt", "--subset", subset / "annotations.json",
        "--images", subset / "images", "--json", tmp_path / "a.json", "--save", tmp_path / "texts",
        "--scales", "native",
    )  # fmt: skip
    assert result.status == 0
    (row,) = json.loads((tmp_path / "a.json").read_text())
    assert {name: row["ap"][name] for name in SETTINGS} == pytest.approx(KNOWN, abs=1e-4)
    assert (row["images"], row["missing"]) == (244, [])
    again = run(
        "eval", "wider", "--gt", subset / "annotations.json",
        "--predictions", tmp_path / "texts" / "fp32" / "original", "--json", "-",
    )  # fmt: skip
    assert json.loads(again.out)[0]["ap"] == row["ap"]


def test_precisions_and_procedures_are_rows_of_one_table(
    run: Run, annotated_photos: Path, few: Path, tmp_path: Path
) -> None:
    result = run(
        "eval", "wider", "--gt", annotated_photos / "annotations.json", "--subset", few,
        "--images", annotated_photos / "images",
        "--precision", "fp32,int8", "--calib", annotated_photos / "images", "--procedure", "original,single",
        "--json", tmp_path / "a.json", "--html", tmp_path / "a.html",
    )  # fmt: skip
    assert result.status == 0
    rows = json.loads((tmp_path / "a.json").read_text())
    assert [row["label"] for row in rows] == [
        "retinaface-mnet025, fp32, original",
        "retinaface-mnet025, fp32, single",
        "retinaface-mnet025, int8, original",
        "retinaface-mnet025, int8, single",
    ]
    assert all(0.3 < row["ap"]["hard"] < 1 for row in rows)
    assert rows[0]["ap"] != rows[2]["ap"]
    page = (tmp_path / "a.html").read_text()
    assert "retinaface-mnet025, int8, single" in page
    assert page.count("<svg") == sum(map(bool, rows[0]["ap"]))  # one for each AP that there is
    assert f"{rows[3]['ap']['easy']:.4f}" in result.out


def test_calibration_has_the_size_of_the_evaluation(
    run: Run, annotated_photos: Path, few: Path, tmp_path: Path
) -> None:
    file, images, cache = embedded_file(DEFAULT), annotated_photos / "images", tmp_path / "calibration.json"
    result = run(
        "eval", "wider", "--gt", annotated_photos / "annotations.json", "--subset", few, "--images", images,
        "--size", "160x128", "--precision", "int8", "--calib", images, "--calib-cache", cache,
    )  # fmt: skip
    assert result.status == 0, result.err
    expected = find_images(str(images), read_spec(file).input, (160, 128), 512)
    assert load_calibration(cache).images_sha256 == expected.digest()


def test_missing_text_files_are_said(run: Run, annotated_photos: Path, few: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    images = annotated_photos / "images"
    run(
        "eval",
        "wider",
        "--gt",
        annotated_photos / "annotations.json",
        "--subset",
        few,
        "--images",
        images,
        "--save",
        texts,
    )
    lost = min((texts / "fp32" / "original").rglob("*.txt"))
    lost.unlink()
    result = run(
        "eval",
        "wider",
        "--gt",
        annotated_photos / "annotations.json",
        "--subset",
        few,
        "--predictions",
        texts / "fp32" / "original",
    )
    assert result.status == 0
    assert (
        f"1 images have no file, their faces count as missed; the first is {lost.parent.name}/{lost.stem}"
        in result.err
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give --images DIR to run a detector, or --predictions DIR for text files"),
        (["--images", "{empty}"], "8 of the ground truth's 8 images are missing, the first is 0--Parade/"),
        (["--predictions", "{empty}"], "no predictions for any of the 8 images"),
        (["--predictions", "{empty}", "--images", "{images}"], "leave out --images and the model's"),
        (["--predictions", "{empty}", "--precision", "int8"], "leave out --images and the model's"),
        (
            ["--images", "{images}", "--procedure", "best"],
            "--procedure 'best': unknown procedure (choose from original, ",
        ),
        (
            ["--images", "{images}", "--precision", "bf16"],
            "--precision 'bf16': unknown precision (choose from fp32, fp16, int8, fp8)",
        ),
        (["--images", "{images}", "--precision", "int8"], "int8 and fp8 need calibration"),
        (["--images", "{images}", "--model", "no-such-model"], "unknown model"),
        (["--images", "{images}", "--procedure", "multi", "--size", "64x64"], "--size: the published"),
        (["--images", "{images}", "--procedure", "single", "--scales", "full"], "--scales: the published"),
        (["--images", "{images}", "--scales", "9", "--precision", "int8"], "--scales 9: must be"),
        (["--images", "{images}", "--size", "big"], "--size big: use native"),
        (["--images", "{images}", "--threads", "0"], "threads"),
        (["--images", "{images}", "--json", "{empty}/no/a.json"], "no/a.json: cannot be written"),
        (["--images", "{images}", "--html", "{empty}/no/a.html"], "no/a.html: cannot be written"),
    ],
)
def test_what_it_refuses(
    run: Run, annotated_photos: Path, few: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "empty").mkdir()
    places = {"empty": tmp_path / "empty", "images": annotated_photos / "images"}
    given = [argument.format(**places) for argument in arguments]
    result = run("eval", "wider", "--gt", annotated_photos / "annotations.json", "--subset", few, *given)
    assert said in result.message
    assert list((tmp_path / "empty").iterdir()) == []


def test_ground_truth_of_another_set_is_refused(run: Run, tmp_path: Path) -> None:
    result = run("eval", "wider", "--gt", tmp_path, "--images", tmp_path)
    assert "wider_face_val.mat: no such file" in result.message
    assert "--gt" in run("eval", "wider").message
    assert "Missing command" in run("eval").message


def test_an_engine_for_another_machine_is_one_line(
    run: Run, annotated_photos: Path, few: Path, tmp_path: Path
) -> None:
    engine = tmp_path / "orin.engine"
    engine.write_bytes(PLAN)
    manifest_path(engine).write_text(GOOD.to_json())
    images = annotated_photos / "images"
    given = (
        "eval",
        "wider",
        "--gt",
        annotated_photos / "annotations.json",
        "--subset",
        few,
        "--images",
        images,
        "--engine",
        engine,
    )
    assert run(*given).message
    assert "decided when it was built" in run(*given, "--precision", "int8").message
