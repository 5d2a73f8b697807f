"""Every kind of file that a verb writes, given to every verb that reads files: a result, or one line."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from engine_build.precision import PRECISIONS
from tests.support.command import Result, Run
from tests.support.networks import faint_file
from tests.trt_mogface.cli.test_build import call, make_images
from trt_mogface.models.cards import DEFAULT
from trt_mogface.models.manifest import load_manifest

pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")

LOWERED = [each for each in PRECISIONS if each != "fp32"]
ENGINE = ("--shapes", "1x32x32", "--builder-optimization-level", "0", "--tensorrt", "tensorrt-rtx")


class Made(NamedTuple):
    """Files by name, and an image and annotated images to run models on."""

    files: dict[str, Path]
    image: Path
    annotated: Path

    def names(self) -> dict[str, Path]:
        """Paths by their names in `READERS`."""
        return {
            "image": self.image,
            "truth": self.annotated / "annotations.json",
            "images": self.annotated / "images",
            "calib": self.image.parent / "images",
            "cache": self.files["calibration.json"],
            "engine": self.files["model.engine"],
            "fp32": self.files["fp32.onnx"],
            "fp16": self.files["fp16.onnx"],
        }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, annotated_photos: Path) -> Iterator[Made]:
    home = tmp_path_factory.mktemp("own")
    image = home / "image.png"
    cv2.imwrite(str(image), np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
    model, calib = faint_file(home / "model.onnx"), make_images(home / "images", 4)
    names = ["cpu.onnx", "end_to_end.onnx", "calibration.json", "model.engine", "model.engine.json"]
    names += ["detect.json", "compare.json", "compare.html", "eval.json", "bench.json", "texts"]
    names += [f"{each}.onnx" for each in PRECISIONS]
    files = {name: home / name for name in names}
    several = home / "sensitivity.engine"
    images = annotated_photos / "images"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        for each in PRECISIONS:
            options = ("--calib", calib, "--calib-cache", files["calibration.json"], "--max-loss", 100)
            done(call("build", model, "--precision", each, *options, "-o", files[f"{each}.onnx"]))
        done(call("export", "--model", DEFAULT, "--cpu", "-o", files["cpu.onnx"]))
        done(call("build", model, "--precision", "fp32", "--end-to-end", "-o", files["end_to_end.onnx"]))
        done(call("build", model, "--precision", "fp16", *ENGINE, "-o", files["model.engine"]))
        measured = ("--precision", "int8", "--calib", calib, "--max-loss", 100, "--sensitivity")
        done(call("build", model, *measured, *ENGINE, "-o", several))
        done(call("detect", image, "--model", model, "--json", files["detect.json"]))
        both = ("--json", files["compare.json"], "--html", files["compare.html"])
        done(call("compare", model, files["int8.onnx"], image, *both))
        truth = ("--gt", annotated_photos / "annotations.json")
        tested = ("--size", "32x32", "--json", files["eval.json"], "--save", files["texts"])
        done(call("eval", "wider", *truth, "--images", images, "--model", model, *tested))
        fast = ("--mode", "network", "--size", "32x32", "--duration", 0.05)
        done(call("bench", "--model", model, *fast, "--json", files["bench.json"]))
    files |= {path.name: path for path in home.glob("sensitivity.*")}
    before = {path: path.read_bytes() for path in files.values() if path.is_file()}
    yield Made(files, image, annotated_photos)
    assert {path: path.read_bytes() for path in before} == before


def done(result: Result) -> None:
    assert result.status == 0, result.err


EVAL = "eval wider --gt {truth} --images {images}"
READERS = {
    "detect --model": "detect {image} --model {file} --json -",
    "detect": "detect {file} --json -",
    "compare": "compare {fp32} {file} {image} --json -",
    "eval --model": EVAL + " --model {file} --size 96x96",
    "eval --gt": "eval wider --gt {file} --images {images}",
    "eval --subset": EVAL + " --subset {file} --model {fp32} --size 32x32",
    "eval --predictions": "eval wider --gt {truth} --predictions {file}",
    "bench": "bench --model {file} --mode network --size 32x32 --duration 0.5",
    "inspect": "inspect {file}",
    "build": "build {file} -o {made}",
    "build --precision int8": "build {file} --precision int8 --calib-cache {cache} --max-loss 100 -o {made}",
    "build --calib-cache": "build {fp32} --precision int8 --calib-cache {file} -o {made}",
    "build --boxes": "build {fp32} --precision int8 --calib {calib} --boxes {file} -o {made}",
    "refit": "refit {engine} {file} -o {made}",
    "refit engine": "refit {file} {fp16} -o {made}",
    "export --weights": "export --model mogface --weights {file} -o {made}",
}

RUNS = {f"{each}.onnx" for each in PRECISIONS if each != "bf16"} | {"cpu.onnx"}
"""Files of models that a CPU runs."""

GOOD = {
    "detect --model": RUNS,
    "compare": RUNS,
    "eval --model": RUNS,
    "bench": RUNS,
    "inspect": {*RUNS, "bf16.onnx", "end_to_end.onnx", "model.engine", "sensitivity.engine"},
    "build": {*RUNS, "bf16.onnx"},
    "build --precision int8": {"fp32.onnx"},
    "build --calib-cache": {"calibration.json"},
    "eval --predictions": {"texts"},
}
"""Files that a reader takes; it refuses all others in one line."""


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_takes_its_files_and_refuses_the_others(
    run: Run, made: Made, tmp_path: Path, reader: str
) -> None:
    wrong = {}
    for name, file in made.files.items():
        if reader == "eval --predictions" and name == "texts":
            file = file / "fp32" / "original"
        target = tmp_path / name / "made.onnx"
        target.parent.mkdir()
        result = run(*READERS[reader].format(file=file, made=target, **made.names()).split())
        expected = 0 if name in GOOD.get(reader, ()) else 2
        lines = result.err.splitlines()
        if result.status != expected or (expected and (len(lines) != 1 or any(target.parent.iterdir()))):
            wrong[name] = result
    assert not wrong


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_precision_is_read_from_the_graph(run: Run, made: Made, precision: str) -> None:
    file = made.files[f"{precision}.onnx"]
    found = run("inspect", file).out
    assert f"{precision}; convolutions: 3 {precision}" in found
    if precision != "bf16":
        compared = run("compare", file, made.files["fp32.onnx"], made.image).out
        assert f"A: {file} ({precision})" in compared
        truth = ("--gt", made.annotated / "annotations.json", "--images", made.annotated / "images")
        table = run("eval", "wider", *truth, "--model", file, "--size", "96x96").out
        assert f"{precision}.onnx, {precision}, original" in table


@pytest.mark.parametrize("precision", LOWERED)
def test_a_lowered_file_builds_at_its_own_precision(
    run: Run, made: Made, tmp_path: Path, precision: str
) -> None:
    copy, engine = tmp_path / "copy.onnx", tmp_path / "copy.engine"
    shutil.copy(made.files[f"{precision}.onnx"], copy)
    result = run("build", copy, *ENGINE, "-o", engine)
    assert result.status == 0, result.err
    manifest = load_manifest(engine)
    assert manifest.precision == precision
    assert manifest.multiply_adds == {precision: 1.0}
    assert manifest.accuracy == f"not compared with FP32: the model was given in {precision}"
    for other in PRECISIONS:
        if other != precision:
            message = run("build", copy, "--precision", other, "-o", tmp_path / "other.onnx").message
            assert f"computes in {precision} and cannot be lowered again; use {precision}" in message
    message = run("build", copy, "--calib", made.image.parent / "images", "-o", tmp_path / "b.onnx").message
    assert message == f"--calib: is for models in FP32; {copy} computes in {precision} already"
    message = run("detect", made.image, "--model", copy).message if precision == "bf16" else "BF16"
    assert "BF16" in message
