"""The import law of pyproject.toml: what it covers, and that it refuses what it should."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.project import REPOSITORY, project, tracked

pytest.importorskip("importlinter", reason="pip install import-linter")

# An editable installation would be linted instead of the folder.
LINT = """
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in type(finder).__module__]
from importlinter.cli import lint_imports_command
lint_imports_command()
"""


def contract() -> dict[str, Any]:
    (layers,) = project()["tool"]["importlinter"]["contracts"]
    return dict(layers)


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LINT, "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the sources, with empty tests and benchmarks."""
    for package in ("trt_mogface", "engine_build"):
        shutil.copytree(
            REPOSITORY / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    for package in ("benchmarks", "tests"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("module", "statement", "culprit"),
    [
        (
            "engine_build/weights.py",
            "from trt_mogface.bench import load",
            "engine_build.weights -> trt_mogface.bench.load",
        ),
        (
            "trt_mogface/kernels/library.py",
            "def f() -> None:\n    from trt_mogface.backends import base",
            "trt_mogface.kernels.library -> trt_mogface.backends.base",
        ),
        (
            "trt_mogface/errors.py",
            "def f() -> None:\n    import engine_build.lowering",
            "trt_mogface.errors -> engine_build.lowering",
        ),
        (
            "trt_mogface/detector.py",
            "import benchmarks",
            "trt_mogface.detector -> benchmarks",
        ),
    ],
    ids=["bench", "lazy", "offline", "benchmarks"],
)
def test_a_forbidden_import_is_refused(copied: Path, module: str, statement: str, culprit: str) -> None:
    path = copied / module
    path.write_text(f"{path.read_text()}\n\n{statement}\n")
    done = lint(copied)
    assert done.returncode == 1
    assert culprit in " ".join(done.stdout.split())


def test_the_sources_obey() -> None:
    done = lint(REPOSITORY)
    assert done.returncode == 0, done.stdout


def test_every_module_of_the_package_has_a_layer() -> None:
    layers = {
        name.strip(" ()") for line in contract()["layers"] for name in line.replace("|", ":").split(":")
    }
    here = {
        f"trt_mogface.{path.stem}"
        for path in (REPOSITORY / "trt_mogface").iterdir()
        if path.suffix == ".py" or (path.is_dir() and (path / "__init__.py").is_file())
    }
    assert here - {"trt_mogface.__init__"} <= layers


def test_one_module_imports_onnx_runtime() -> None:
    """It turns telemetry off first; a submodule may be imported after it, in the same function."""
    statement = re.compile(r"^\s*(?:import|from) onnxruntime\b", re.MULTILINE)
    sources = [path for path in tracked("*.py") if statement.search(path.read_text(encoding="utf-8"))]
    assert [str(path.relative_to(REPOSITORY)) for path in sources] == [
        "engine_build/calibration/ranges.py",
        "trt_mogface/_onnxruntime.py",
    ]
    submodule = sources[0].read_text(encoding="utf-8")
    assert re.search(r"\n    onnxruntime\(\).*\n    from onnxruntime\.", submodule)


def test_there_is_one_exception() -> None:
    (exception,) = contract()["ignore_imports"]
    assert exception.startswith("trt_mogface.models.files -> engine_build.models.")
