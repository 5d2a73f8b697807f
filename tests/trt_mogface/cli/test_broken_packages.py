"""Packages that are installed and cannot be loaded: one line with the remedy, from every verb."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.command import Result, command
from tests.support.project import REPOSITORY
from trt_mogface._optional import LIBRARIES
from trt_mogface.cli.app import VERBS
from trt_mogface.models.cards import DEFAULT

LIBGL = "libGL.so.1: cannot open shared object file: No such file or directory"
PHOTO = REPOSITORY / "tests" / "data" / "astronaut.jpg"
CONTRACT_1 = str(REPOSITORY / "tests" / "data" / "contract_1.onnx")
ARGUMENTS = {
    "detect": ("detect", str(PHOTO), "--json", "-"),
    "video": ("video", str(PHOTO), "--sink", "jsonl:-"),
    "report": ("report", "faces.jsonl", "-o", "report.html"),
    "export": ("export", "--output", "out.onnx"),
    "adapt": ("adapt", CONTRACT_1, "--as", "yunet", "-o", "out.onnx"),
    "build": ("build", DEFAULT, "--output", "engines/"),
    "triton": ("triton", DEFAULT, "-o", "repository"),
    "refit": ("refit", "a.engine", "a.onnx"),
    "models": ("models",),
    "inspect": ("inspect", CONTRACT_1),
    "compare": ("compare", DEFAULT, DEFAULT, str(PHOTO)),
    "serve": ("serve", "--port", "0", "--host", "not a host"),
    "bench": ("bench", "--size", "64x64", "--duration", "0.05"),
    "check-env": ("check-env",),
    "eval": ("eval", "wider", "--gt", "."),
}
PROGRAM = """
import sys
from trt_mogface.__main__ import main
for arguments in {all!r}:
    sys.argv = ["trt-mogface", *arguments]
    try:
        main()
    except SystemExit as stop:
        print("STATUS", stop.code, file=sys.stderr, flush=True)
"""


def broken(folder: Path, package: str, code: str) -> dict[str, str]:
    """Make a package that fails when it is imported; return an environment that finds it first."""
    (folder / package).mkdir()
    (folder / package / "__init__.py").write_text(code)
    search = os.pathsep.join([str(folder), str(REPOSITORY)])
    return {**os.environ, "PYTHONPATH": search, "XDG_CACHE_HOME": str(folder / "cache"), "COLUMNS": "80"}


def run_verbs(verbs: Sequence[str], folder: Path, env: dict[str, str]) -> dict[str, Result]:
    """Run verbs in one process, which saves their imports."""
    code = PROGRAM.format(all=[ARGUMENTS[verb] for verb in verbs])
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=folder, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    *parts, rest = re.split(r"STATUS (\d)\n", done.stderr)
    assert rest == ""
    return {
        verb: Result(int(status), done.stdout, text)
        for verb, text, status in zip(verbs, parts[::2], parts[1::2], strict=True)
    }


def test_every_verb_is_tried() -> None:
    assert list(ARGUMENTS) == list(VERBS)


def test_opencv_without_libgl_is_one_line_with_both_remedies(tmp_path: Path) -> None:
    results = run_verbs(list(VERBS), tmp_path, broken(tmp_path, "cv2", f"raise ImportError({LIBGL!r})"))
    environment = results.pop("check-env")
    for result in results.values():
        line = result.message
        assert line.startswith(f"Python package 'cv2' cannot be loaded ({LIBGL}); apt-get install libgl1, ")
        assert "pip uninstall -y opencv-python && pip install opencv-python-headless" in line
    assert (environment.status, environment.err) == (0, "")
    (row,) = (line for line in environment.out.splitlines() if "reads images and videos" in line)
    assert "missing" in row
    assert "apt-get install libgl1" in row
    (row,) = (line for line in environment.out.splitlines() if "runs models on the CPU" in line)
    assert "missing" not in row


@pytest.mark.parametrize(
    ("package", "verbs"),
    [
        ("numpy", list(VERBS)),
        ("msgspec", list(VERBS)),
        ("onnxruntime", ["detect", "compare", "bench", "build"]),
        ("PIL", ["detect", "compare"]),
        ("onnx", ["build"]),
    ],
)
def test_any_package_with_a_missing_library_is_one_line(
    tmp_path: Path, package: str, verbs: Sequence[str]
) -> None:
    reason = "libfancy.so.3: cannot open shared object file: No such file or directory"
    env = broken(tmp_path, package, f"raise OSError({reason!r})")
    results = run_verbs(verbs, tmp_path, env)
    if "check-env" in results:
        environment = results.pop("check-env")
        assert (environment.status, environment.err) == (0, "")
    for result in results.values():
        assert result.message.startswith(f"Python package '{package}' cannot be loaded ({reason}); pip ")


def test_matplotlib_is_one_line_where_it_is_used(tmp_path: Path) -> None:
    env = broken(tmp_path, "matplotlib", "import ctypes; ctypes.CDLL('libgfortran.so.99')")
    result = command("compare", DEFAULT, DEFAULT, PHOTO, "--html", tmp_path / "page.html", env=env)
    assert "'matplotlib' cannot be loaded (libgfortran.so.99" in result.message


@pytest.mark.parametrize("package", ["typer", "typing_extensions", "rich"])
def test_packages_of_the_command_line_itself(tmp_path: Path, package: str) -> None:
    env = broken(tmp_path, package, "raise ImportError('no luck')")
    assert command("models", env=env).message.startswith(
        f"Python package '{package}' cannot be loaded (no luck)"
    )


def test_a_broken_tensorrt_is_not_called_missing(tmp_path: Path) -> None:
    env = broken(tmp_path, "tensorrt", "raise OSError('libnvinfer.so.10: cannot open shared object file')")
    result = command("build", DEFAULT, "--tensorrt", "tensorrt", "-o", f"{tmp_path}/engines/", env=env)
    assert "'tensorrt' cannot be loaded (libnvinfer.so.10: cannot open" in result.message


def test_an_error_that_is_not_of_an_import_stays_what_it_is(tmp_path: Path) -> None:
    """A full disk is an OSError too."""
    result = command("inspect", tmp_path)
    assert "cannot be loaded" not in result.message


@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries_of_the_system_are_named_with_their_package(tmp_path: Path, library: str) -> None:
    from trt_mogface._optional import import_failure

    path = tmp_path / "fragile.py"
    path.write_text(f"raise ImportError('{library}.6: cannot open shared object file')")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        with pytest.raises(ImportError) as error:
            __import__("fragile")
    assert f"apt-get install {LIBRARIES[library]}" in str(import_failure(error.value))
