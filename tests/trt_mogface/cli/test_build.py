"""``trt-mogface build``, and ``inspect`` and ``refit`` of its engines, which TensorRT-RTX really builds."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import onnx
import pytest

from tests.support.command import COMMAND, Result, Run, command, hear_interrupts
from tests.support.onnx_files import answers, constant_network
from trt_mogface.cli.app import main
from trt_mogface.machine import gpu
from trt_mogface.machine.gpu import Gpu
from trt_mogface.models.cards import DEFAULT, embedded_file
from trt_mogface.models.manifest import FORMAT, load_manifest, load_plan, manifest_path

pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")

FIXED = ("--shapes", "1x128x128", "--builder-optimization-level", "0", "--tensorrt", "tensorrt-rtx")


class Engines(NamedTuple):
    """An FP16 and an INT8 engine of the default model, built into a folder of their own."""

    folder: Path
    fp16: Path
    int8: Path
    out: str
    images: Path
    calibration: Path


def call(*arguments: object) -> Result:
    """The command line, for fixtures that live longer than a test."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr("sys.argv", ["trt-mogface", *map(str, arguments)])
        patch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as stop:
            main()
    assert isinstance(stop.value.code, int)
    return Result(stop.value.code, out.getvalue(), err.getvalue())


def make_images(folder: Path, count: int = 5) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        coarse = rng.integers(0, 256, (4 * 2**i, 4 * 2**i, 3), np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), cv2.resize(coarse, (128, 128)))
    return folder


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    """Both at once, named by the engine; what several tests share is not changed by any."""
    home = tmp_path_factory.mktemp("build")
    images, folder = make_images(home / "images"), home / "engines"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        calibration = ("--calib", images, "--calib-cache", home / "made.json")
        result = call("build", DEFAULT, "--precision", "int8,fp16", *FIXED, *calibration)
    assert (result.status, result.err) == (0, "")
    (fp16,) = folder.glob("*-fp16-*.engine")
    (int8,) = folder.glob("*-int8-*.engine")
    before = contents(folder)
    yield Engines(folder, fp16, int8, result.out, images, home / "made.json")
    assert contents(folder) == before


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in; the cache is elsewhere."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def copied(engines: Engines, here: Path) -> Path:
    """A copy of the FP16 engine and its manifest."""
    for path in (engines.fp16, manifest_path(engines.fp16)):
        shutil.copy(path, here)
    return here / engines.fp16.name


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_engines_lie_beside_their_manifests(engines: Engines) -> None:
    plans = {engines.fp16, engines.int8}
    assert set(engines.folder.iterdir()) == plans | {manifest_path(plan) for plan in plans}
    for plan in plans:
        assert plan.name in engines.out
        assert plan.name.startswith(f"{DEFAULT}-")
        assert "onnx" not in plan.name


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_manifests_say_what_was_built(engines: Engines, precision: str) -> None:
    path = engines.fp16 if precision == "fp16" else engines.int8
    manifest = load_manifest(path)
    assert load_plan(path, manifest) == path.read_bytes()
    assert manifest.precision == precision
    assert manifest.multiply_adds == {precision: 1.0}
    assert [str(profile) for profile in manifest.profiles] == ["1x128x128"]
    assert manifest.flavor == "tensorrt-rtx"
    assert manifest.spec.name == DEFAULT
    assert manifest.inputs_sha256[:8] in path.name
    assert ("5 images" in manifest.calibration) == (precision == "int8")
    assert manifest.command.startswith(f"trt-mogface build {DEFAULT} --precision int8,fp16")
    assert json.loads(manifest_path(path).read_text())["format"] == FORMAT


def test_the_two_engines_share_nothing_but_the_model(engines: Engines) -> None:
    one, two = load_manifest(engines.fp16), load_manifest(engines.int8)
    assert one.onnx_sha256 == two.onnx_sha256
    assert one.spec == two.spec
    assert one.plan_sha256 != two.plan_sha256
    assert one.inputs_sha256 != two.inputs_sha256


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_inspect_shows_the_manifest_and_the_layers(run: Run, engines: Engines, precision: str) -> None:
    path = engines.fp16 if precision == "fp16" else engines.int8
    result = run("inspect", path)
    assert (result.status, result.err) == (0, "")
    manifest = load_manifest(path)
    for fact in (
        f"{precision}; multiply-adds 100.0% {precision}",
        "1x128x128 (batch x height x width)",
        f"tensorrt-rtx {manifest.tensorrt}",
        manifest.onnx_sha256,
        manifest.plan_sha256,
        "any Ampere or newer",
        DEFAULT,
        "pyramid",
        "layers",
    ):
        assert fact in result.out
    assert ("percentile" in result.out.replace(manifest.command, "")) == (precision == "int8")
    assert manifest.layers
    for layer in manifest.layers:
        assert layer.name in result.out


def test_an_unchanged_rebuild_touches_nothing(
    run: Run, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(engines.folder)
    paths = sorted(engines.folder.iterdir())
    before = [(path.stat().st_mtime_ns, path.stat().st_ino, path.read_bytes()) for path in paths]
    result = run("build", DEFAULT, "--precision", "fp16,int8", *FIXED, "--calib", engines.images)
    assert (result.status, result.err) == (0, "")
    assert result.out.count("unchanged") == 2
    assert sorted(engines.folder.iterdir()) == paths
    after = [(path.stat().st_mtime_ns, path.stat().st_ino, path.read_bytes()) for path in paths]
    assert after == before


BUILD_INT8 = ("build", DEFAULT, "--precision", "int8", *FIXED)


def test_a_change_of_a_image_is_a_change(run: Run, engines: Engines, here: Path) -> None:
    images = here / "images"
    shutil.copytree(engines.images, images)
    names = []
    for _ in range(2):
        result = run(*BUILD_INT8, "--calib", images)
        assert result.status == 0
        assert "unchanged" not in result.out
        names.append({path.name for path in here.glob("*.engine")})
        cv2.imwrite(str(images / "0.png"), np.full((128, 128, 3), 77, np.uint8))
    assert names[0] == {engines.int8.name}  # of the same inputs, in another folder
    assert len(names[1]) == 2


def test_other_shapes_are_built_anew(run: Run, here: Path) -> None:
    output = here / "named.engine"
    for expected in ("1x96x128", "1x64x64"):
        options = ("--shapes", expected, *FIXED[2:])
        result = run("build", DEFAULT, *options, "-o", output)
        assert (result.status, result.err) == (0, "")
        assert "unchanged" not in result.out
        manifest = load_manifest(output)
        assert [str(profile) for profile in manifest.profiles] == [expected]
        assert load_plan(output, manifest)
        assert "unchanged" in run("build", DEFAULT, *options, "-o", output).out
    assert len(list(here.iterdir())) == 2


def truncate(engine: Path) -> None:
    engine.write_bytes(engine.read_bytes()[:-1])


def empty(engine: Path) -> None:
    engine.write_bytes(b"")


def remove(engine: Path) -> None:
    engine.unlink()


def remove_manifest(engine: Path) -> None:
    manifest_path(engine).unlink()


def damage_manifest(engine: Path) -> None:
    manifest_path(engine).write_text("{}")


def alter(engine: Path) -> None:
    plan = bytearray(engine.read_bytes())
    plan[len(plan) // 2] ^= 1
    engine.write_bytes(plan)


@pytest.mark.parametrize("damage", [truncate, empty, remove, remove_manifest, damage_manifest])
def test_what_is_not_whole_is_built_again(
    run: Run, engines: Engines, copied: Path, damage: Callable[[Path], None]
) -> None:
    damage(copied)
    result = run("build", DEFAULT, *FIXED, "--calib", engines.images)
    assert result.status == 0
    assert "unchanged" not in result.out
    assert load_plan(copied, load_manifest(copied))
    assert len(list(copied.parent.iterdir())) == 2


def test_an_altered_plan_of_the_right_length_is_found_when_it_is_read(run: Run, copied: Path) -> None:
    alter(copied)
    assert "contents differ" in run("inspect", copied).message


def test_another_model_has_another_name(run: Run, engines: Engines, here: Path) -> None:
    result = run("build", DEFAULT, "--min-face", "60", *FIXED)
    assert (result.status, result.err) == (0, "")
    (engine,) = here.glob("*.engine")
    assert engine.name != engines.fp16.name
    assert load_manifest(engine).onnx_sha256 != load_manifest(engines.fp16).onnx_sha256
    assert "compared on noise only" in load_manifest(engine).accuracy


def test_a_contract_file_can_be_named_and_the_output_be_a_folder(run: Run, here: Path) -> None:
    result = run("build", embedded_file(DEFAULT), *FIXED, "-o", f"{here}/out/", "--verbose")
    assert result.status == 0
    assert "verbose: " in result.err
    (engine,) = (here / "out").glob("*.engine")
    assert engine.name.startswith(f"{DEFAULT}-fp16-")
    assert not list(here.glob("*.engine"))


# ONNX instead of an engine


def types_of(path: Path) -> set[int]:
    """Types of the stored weights of convolutions, through their dequantization if there is one."""
    graph = onnx.load(path).graph
    stored = {tensor.name: tensor.data_type for tensor in graph.initializer}
    made_by = {output: node for node in graph.node for output in node.output}

    def stored_type(name: str) -> int:
        while name not in stored:
            name = made_by[name].input[0]
        kind: int = stored[name]
        return kind

    return {stored_type(node.input[1]) for node in graph.node if node.op_type == "Conv"}


def test_onnx_of_a_precision(run: Run, engines: Engines, here: Path) -> None:
    files = {}
    cases = {
        "fp32": (onnx.TensorProto.FLOAT, ()),
        "fp16": (onnx.TensorProto.FLOAT16, ()),
        "bf16": (onnx.TensorProto.BFLOAT16, ()),
        "int8": (onnx.TensorProto.INT8, ("--calib-cache", engines.calibration)),
        "fp8": (onnx.TensorProto.FLOAT8E4M3FN, ("--calib-cache", engines.calibration)),
    }
    for precision, (kind, options) in cases.items():
        path = here / f"{precision}.onnx"
        result = run("build", DEFAULT, "--precision", precision, "-o", path, *options)
        assert (result.status, result.err) == (0, "")
        assert path.name in result.out
        onnx.checker.check_model(str(path), full_check=True)
        assert types_of(path) == {kind}
        files[precision] = path.read_bytes()
    assert sorted(contents(here)) == sorted(f"{precision}.onnx" for precision in cases)
    assert DEFAULT in run("inspect", here / "int8.onnx").out


def test_a_calibration_written_and_read_gives_the_same_bytes(run: Run, engines: Engines, here: Path) -> None:
    made, read = here / "made.onnx", here / "read.onnx"
    written = ("--calib", engines.images, "--calib-cache", here / "own.json", "--calib-size", "128x128")
    assert run("build", DEFAULT, "--precision", "int8", "-o", made, *written).status == 0
    result = run("build", DEFAULT, "--precision", "int8", "-o", read, "--calib-cache", here / "own.json")
    assert (result.status, result.err) == (0, "")
    assert "no images were given" in result.out
    assert read.read_bytes() == made.read_bytes()
    # and the engines' calibration, of the same images in the same size, is the same
    assert (here / "own.json").read_bytes() == engines.calibration.read_bytes()


def test_named_layers_stay_fp16(run: Run, engines: Engines, here: Path) -> None:
    path = here / "mixed.onnx"
    options = ("--calib-cache", engines.calibration, "--keep-fp16", "ssh1,stage1.0")
    assert run("build", DEFAULT, "--precision", "int8", "-o", path, *options).status == 0
    for node in onnx.load(path).graph.node:
        if node.op_type == "Conv":
            kept = "ssh1" in node.name or "stage1.0" in node.name
            assert node.input[1].endswith(".dq") != kept


def test_images_that_cannot_be_used_are_told(run: Run, engines: Engines, here: Path) -> None:
    images = here / "images"
    shutil.copytree(engines.images, images)
    (images / "broken.png").write_bytes((images / "4.png").read_bytes()[:200])
    result = run("build", DEFAULT, "--precision", "int8", "-o", here / "x.onnx", "--calib", images)
    assert result.status == 0
    assert "1 images could not be used" in result.err
    assert "broken.png" in result.err
    assert "Traceback" not in result.err


# What is refused


@pytest.fixture
def corrupt(here: Path) -> Path:
    """Files that are not what their names say, beside an empty folder."""
    folder = here.parent / "given"
    folder.mkdir()
    constant_network(folder / "plain.onnx", answers(4))
    (folder / "text.onnx").write_text("not a model\n" * 9)
    (folder / "empty.onnx").touch()
    whole = embedded_file(DEFAULT).read_bytes()
    (folder / "half.onnx").write_bytes(whole[: len(whole) // 2])
    (folder / "nothing").mkdir()
    (folder / "broken").mkdir()
    for i in range(6):
        (folder / "broken" / f"{i}.jpg").write_bytes(b"\xff\xd8\xff" + bytes(50 * i))
    make_images(folder / "few", 3)
    (folder / "text.json").write_text("not a calibration")
    (folder / "list.json").write_text("[]")
    (folder / "binary.json").write_bytes(b"\xff\x00" * 99)
    return folder


def refused(run: Run, here: Path, *arguments: object) -> str:
    """One line on stderr, nothing on stdout, and not a file more than before."""
    before = sorted(here.iterdir()), contents(here)
    result = run("build", *arguments)
    assert result.out == ""
    message = result.message
    assert (sorted(here.iterdir()), contents(here)) == before
    return message


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain.onnx", "trt-mogface export"),
        ("text.onnx", "not an ONNX model"),
        ("empty.onnx", "not an ONNX model"),
        ("half.onnx", "not an ONNX model"),
        ("missing.onnx", "unknown model"),
        ("nothing", "unknown model"),
    ],
)
def test_other_files_are_refused(run: Run, here: Path, corrupt: Path, name: str, expected: str) -> None:
    message = refused(run, here, corrupt / name, *FIXED)
    assert name in message
    assert expected in message


BAD_OPTIONS: list[tuple[tuple[str, ...], str]] = [
    (("--shapes", "1x640x640:1x320x320:1x640x640"), "must not fall"),
    (("--shapes", "nonsense"), "MIN:OPT:MAX"),
    (("--shapes", "0x32x32"), "must lie within"),
    (("--shapes", "1x32x32", "--shapes", "1x32"), "1x32"),
    (("--precision", "fp15"), "'fp15': unknown precision (choose from fp32, fp16, bf16, int8, fp8)"),
    (("--precision", ""), "choose from"),
    (("--precision", "fp16,"), "choose from"),
    (("--precision", "FP16"), "choose from"),
    (("--precision", "int8"), "needs calibration"),
    (("--precision", "fp8"), "needs calibration"),
    (("--precision", "fp8", "--compute-capabilities", "8.0"), "compute capability 8.9 or newer"),
    (("--precision", "fp8", "--compute-capabilities", "8.9,8.6"), "compute capability 8.6 lacks it"),
    (("--precision", "bf16", "--compute-capabilities", "7.5"), "8.0 or newer"),
    (("--compute-capabilities", "8"), "use the form 8.9"),
    (("--compute-capabilities", "8.9,"), "use the form 8.9"),
    (("--compute-capabilities", "sm89"), "use the form 8.9"),
    (("--compute-capabilities", "9.9"), "no SM99"),
    (("--mem-pool-size", "lots"), "workspace:2048"),
    (("--mem-pool-size", "workspace:0"), "workspace:2048"),
    (("--mem-pool-size", "workspace:-5"), "workspace:2048"),
    (("--mem-pool-size", "dlaSRAM:5"), "workspace:2048"),
    (("--mem-pool-size", ""), "workspace:2048"),
    (("--calib-method", "guess"), "--calib-method guess"),
    (("--hardware-compatibility-level", "all"), "--hardware-compatibility-level all"),
    (("--hardware-compatibility-level", "ampere+"), "tensorrt-rtx"),
    (("--version-compatible",), "--version-compatible"),
    (("--builder-optimization-level", "6"), "Invalid value for '--builder-optimization-level'"),
    (("--builder-optimization-level", "high"), "Invalid value for '--builder-optimization-level'"),
    (("--calib-images", "0"), "Invalid value for '--calib-images'"),
    (("--max-loss", "-1"), "Invalid value for '--max-loss'"),
    (("--calib-size", "big", "--calib", "x"), "WIDTHxHEIGHT"),
    (("--use-dla-core", "0"), "tensorrt-rtx runs on GPUs only"),
    (("--use-dla-core", "-1"), "Invalid value for '--use-dla-core'"),
    (("--tensorrt", "trt"), "unknown TensorRT 'trt' (choose from tensorrt, tensorrt-rtx)"),
    (("--output", "missing/x.engine"), "no such folder"),
    (("--output", "x.engine", "--precision", "fp16,fp32"), "one file cannot hold 2"),
    (("--output", "x.onnx", "--precision", "fp16,fp32"), "one file cannot hold 2"),
    (("--output", "missing/x.onnx"), "missing"),
    (("--output", "new/", "--shapes", "1x32x32", "--use-dla-core", "0"), "tensorrt-rtx runs on GPUs only"),
    (("--weights", "x.pt"), "--weights x.pt: "),
    (("--min-face", "9999"), "sees faces up to"),
    (("--nonsense",), "--nonsense"),
]


@pytest.mark.parametrize(("options", "expected"), BAD_OPTIONS, ids=lambda value: " ".join(value)[:60])
def test_bad_options_are_refused(run: Run, here: Path, options: tuple[str, ...], expected: str) -> None:
    assert expected in refused(run, here, DEFAULT, *FIXED[2:], *options)


@pytest.mark.skipif(gpu.find_gpu() is not None, reason="a GPU lets TensorRT-RTX build such engines")
@pytest.mark.parametrize("option", ["--refit", "--strip-weights"])
def test_engines_without_weights_need_a_gpu(run: Run, here: Path, option: str) -> None:
    assert option in refused(run, here, DEFAULT, *FIXED, option)


@pytest.mark.parametrize(
    ("images", "expected"),
    [("nothing", "nothing"), ("broken", "6 could not be used"), ("few", "3 images"), ("lost", "no such")],
)
def test_images_that_are_none_are_refused(
    run: Run, here: Path, corrupt: Path, images: str, expected: str
) -> None:
    cache = ("--calib-cache", here / "new.json")
    message = refused(run, here, DEFAULT, *FIXED, "--precision", "int8", "--calib", corrupt / images, *cache)
    assert images in message
    assert expected in message


def test_images_that_are_none_are_refused_without_calibration_too(
    run: Run, here: Path, corrupt: Path
) -> None:
    assert "broken" in refused(run, here, DEFAULT, "-o", "x.onnx", "--calib", corrupt / "broken")


@pytest.mark.parametrize("name", ["text.json", "list.json", "binary.json", "missing.json", "nothing"])
def test_files_that_are_no_calibration_are_refused(run: Run, here: Path, corrupt: Path, name: str) -> None:
    message = refused(run, here, DEFAULT, *FIXED, "--precision", "int8", "--calib-cache", corrupt / name)
    assert name in message


def test_the_calibration_of_another_network_is_refused(run: Run, engines: Engines, here: Path) -> None:
    cache = ("--precision", "int8", "--calib-cache", engines.calibration)
    message = refused(run, here, DEFAULT, "--min-face", "60", *FIXED, *cache)
    assert "calibration of another network" in message
    assert "graphs differ" in message


def test_the_calibration_of_other_weights_is_refused(run: Run, engines: Engines, here: Path) -> None:
    model = onnx.load(embedded_file(DEFAULT))
    (first, *_) = (tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    array = onnx.numpy_helper.to_array(first).copy()
    array[0, 0, 0, 0] += 0.5
    first.CopyFrom(onnx.numpy_helper.from_array(array, first.name))
    onnx.save(model, here / "other.onnx")
    cache = ("--precision", "int8", "--calib-cache", engines.calibration)
    assert "weights differ" in refused(run, here, here / "other.onnx", *FIXED, *cache)


@pytest.mark.parametrize("keep", ["nowhere", "ssh1,nowhere", "-1", "7.7.7"])
def test_layers_that_are_not_there_are_refused(run: Run, engines: Engines, here: Path, keep: str) -> None:
    cache = ("--precision", "int8", "--calib-cache", engines.calibration, f"--keep-fp16={keep}")
    assert "fits no convolution" in refused(run, here, DEFAULT, *FIXED, *cache)


@pytest.mark.parametrize("option", ["--sensitivity", "--keep-fp16=auto", "--keep-fp16=2"])
def test_measuring_needs_images(run: Run, engines: Engines, here: Path, option: str) -> None:
    cache = ("--precision", "int8", "--calib-cache", engines.calibration, option)
    assert "images are needed" in refused(run, here, DEFAULT, *FIXED, *cache)


def test_a_number_that_is_none_is_refused(run: Run, engines: Engines, here: Path) -> None:
    cache = ("--precision", "int8", "--calib", engines.images, "--keep-fp16", "\N{SUPERSCRIPT TWO}")
    refused(run, here, DEFAULT, *FIXED, *cache)


def test_a_loss_that_is_not_allowed_is_refused(run: Run, here: Path, test_data: Path) -> None:
    images = ("--calib", test_data / "wider_val_calib", "--calib-images", "16", "--calib-size", "480x480")
    strict = ("--precision", "int8", *images, "--max-loss", "0", "--calib-method", "minmax")
    message = refused(run, here, DEFAULT, *strict, *FIXED[2:])
    assert "int8 refused: it loses" in message
    assert "0 are allowed" in message
    assert "keep_fp16" in message


# Inspect and refit of what is damaged


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (truncate, "truncated"),
        (empty, "truncated"),
        (remove, "cannot be read"),
        (remove_manifest, "manifest cannot be read"),
        (damage_manifest, "not a manifest"),
        (alter, "contents differ"),
    ],
)
@pytest.mark.parametrize("verb", ["inspect", "refit"])
def test_a_damaged_engine_is_one_line(
    run: Run,
    copied: Path,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    damage: Callable[[Path], None],
    expected: str,
) -> None:
    damage(copied)
    before = contents(copied.parent)
    options: tuple[object, ...] = ()
    if verb == "refit":
        # TensorRT does not see the plan: it is checked before.
        monkeypatch.setattr("engine_build.tensorrt.refit.find_gpu", lambda: Gpu("made up", (8, 9), "13.0"))
        options = (embedded_file(DEFAULT), "-o", copied.with_name("new.engine"))
    result = run(verb, copied, *options)
    assert expected in result.message
    assert copied.name in result.message
    assert result.out == ""
    assert contents(copied.parent) == before


def test_the_manifest_of_another_plan_is_refused(run: Run, engines: Engines, copied: Path) -> None:
    shutil.copy(manifest_path(engines.int8), manifest_path(copied))
    assert "bytes" in run("inspect", copied).message


@pytest.mark.skipif(gpu.find_gpu() is not None, reason="there is a GPU")
def test_refit_says_that_it_needs_a_gpu(run: Run, copied: Path) -> None:
    result = run("refit", copied, embedded_file(DEFAULT), "-o", copied.with_name("new.engine"))
    assert "needs an NVIDIA GPU" in result.message
    assert not copied.with_name("new.engine").exists()


def test_refit_of_an_engine_for_an_unknown_flavor_is_refused(run: Run, copied: Path) -> None:
    path = manifest_path(copied)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"flavor": "tensorflow"}))
    result = run("refit", copied, embedded_file(DEFAULT), "-o", copied.with_name("new.engine"))
    assert "'tensorflow' - at `$.flavor`" in result.message


def test_a_folder_that_cannot_be_written_is_one_line(run: Run, here: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root writes anywhere")
    here.chmod(0o500)
    assert "cannot be written" in refused(run, here, DEFAULT, *FIXED)


@pytest.mark.parametrize("shape", ["256x16384x16384"])
def test_a_shape_too_large_for_tensorrt_is_one_line(here: Path, shape: str) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(here / "cache")}
    assert command("build", DEFAULT, *FIXED[2:], "--shapes", shape, env=environment).message


def test_boxes_of_images_of_one_name_are_not_mixed_up(here: Path, run: Run) -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for folder in "ab":
        (here / "cam" / folder).mkdir(parents=True)
        for name in ("0.png", "1.png"):
            cv2.imwrite(str(here / "cam" / folder / name), image)
    boxes = here / "boxes.txt"
    boxes.write_text("0.png\n1\n1 2 30 40\n1.png\n1\n1 2 30 40\n")
    line = ["build", DEFAULT, "--precision", "int8", "--calib", here / "cam", "--boxes", boxes]
    line += ["-o", here / "a.onnx", "--calib-cache", here / "c.json"]
    assert "--boxes: 0.png fits several images: a/0.png, b/0.png" in run(*line).message
    boxes.write_text("a/0.png\n1\n1 2 30 40\n")
    assert "--boxes: 3 of 4 images have no annotation: a/1.png, b/0.png, b/1.png" in run(*line).message
    assert "faces of the images of calib" in run(*line[:4], *line[6:8], *line[-4:-2]).message
    assert not (here / "c.json").exists()


@pytest.mark.parametrize("after", [3.0, 6.0])
def test_an_interrupt_leaves_nothing(here: Path, after: float) -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    cv2.imwrite(str(here / "0.png"), cv2.resize(image, (1024, 1024)))
    for number in range(1, 500):
        (here / f"{number}.png").symlink_to(here / "0.png")
    there = sorted(here.iterdir())
    process = subprocess.Popen(
        [
            *COMMAND,
            "build",
            DEFAULT,
            "--precision",
            "int8",
            "--calib",
            here,
            "--calib-cache",
            here / "new.json",
        ],
        cwd=here,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    )
    time.sleep(after)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "trt-mogface: interrupted\n"
    assert sorted(here.iterdir()) == there
