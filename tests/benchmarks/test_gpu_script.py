"""``benchmarks/gpu.sh`` with made-up programs in the place of Python and the GPU's."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import rtx_on_this_card
from benchmarks.peers import trtexec

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "benchmarks" / "gpu.sh"

LACKED = ("hypothesis", "matplotlib", "jinja2", "scipy", "supervision", "modelscope", "safetensors", "xdist")
"""Packages of the tests that the script does not ask for."""

PROGRAMS = {
    "python3": 'printf "%s\\t%s\\t%s\\n" "$PWD" "$PYTHONPATH" "$*" >>"$CALLS"',
    "nvidia-smi": "echo 9.0",
    "compute-sanitizer": 'while [ "$1" != bash ]; do shift; done; exec "$@"',
    "column": "cat",
}


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the programs on the path; return the file that lists the calls of Python."""
    if shutil.which("bash") is None or shutil.which("timeout") is None:
        pytest.skip("bash or timeout is not installed")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in PROGRAMS.items():
        (programs / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "calls"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", str(SCRIPT), *arguments], capture_output=True, text=True, timeout=120)


def test_relative_folders_are_found_from_every_step(calls: Path, tmp_path: Path) -> None:
    for name in ("carried", "more"):
        (tmp_path / name).mkdir()
    done = run("out/here", "carried/:more")
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stdout
    steps = [line.split("\t") for line in calls.read_text().splitlines()]
    assert len(steps) == len(limits()) + 3  # one line of the script is four sanitizers
    for folder, path, command in steps:
        wanted = [str(tmp_path / "carried"), str(tmp_path / "more")]
        assert path.split(":")[-2:] == wanted, f"{command} in {folder}"
    assert {folder for folder, _, _ in steps[1:]} != {str(tmp_path)}
    assert (tmp_path / "out/here/steps.tsv").read_text().count("done") == len(steps)


def test_without_packages_nothing_is_carried(calls: Path) -> None:
    assert run("out").returncode == 0
    assert all(not line.split("\t")[1].split(":")[-1] for line in calls.read_text().splitlines())


def test_a_folder_that_is_not_there_is_one_line(calls: Path) -> None:
    done = run("out", "nowhere")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "benchmarks/gpu.sh: nowhere: no such folder"
    assert not calls.exists()


def limits() -> dict[str, int]:
    """Return the time limit of each step in seconds."""
    found = re.findall(r'^ *step "?\$?(\w+)"? (\d+) ', SCRIPT.read_text(), re.MULTILINE)
    return {name: int(seconds) for name, seconds in found}


def test_no_step_ends_before_the_waits_within_it() -> None:
    assert limits()["rtx_on_this_card"] > len(rtx_on_this_card.TARGETS) * rtx_on_this_card.SECONDS
    batches = 3
    assert limits()["peers"] > batches * (trtexec.LIMIT + 3.0)
    assert limits()["tool"] >= 120, "importing torch may take longer than 20 s under compute-sanitizer"


def test_the_tests_of_the_gpu_need_no_package_that_the_script_does_not_ask_for() -> None:
    pytest.importorskip("torch", reason="the tests of the GPU import torch")
    code = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {LACKED}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
import tests.conftest, tests.gpu.conftest, tests.gpu.test_cuda, tests.gpu.test_kernels, tests.gpu.test_runner
import benchmarks.kernels, benchmarks.ceilings, benchmarks.rtx_on_this_card, benchmarks.torch_in_the_ring
import benchmarks.runner, benchmarks.peers.__main__
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
