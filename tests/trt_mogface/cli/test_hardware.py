"""Options of the verbs on what a model runs on: refused in a line where they do not apply."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from tests.support.command import Run, command
from tests.support.project import REPOSITORY
from tests.support.specs import one_line
from trt_mogface.bench.load import MAX_RATE, Load
from trt_mogface.errors import ArgumentError
from trt_mogface.machine.cpu import available_cores


def verbs(photos: Path, truth: Path) -> dict[str, tuple[object, ...]]:
    """Return a command line of each verb that runs a model."""
    wider = ("--gt", truth / "annotations.json", "--images", truth / "images")
    return {
        "detect": ("detect", photos / "portrait.jpg"),
        "compare": ("compare", "retinaface-mnet025", "retinaface-mnet025", photos),
        "eval": ("eval", "wider", *wider),
        "bench": ("bench", "--duration", "0.1"),
    }


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("verb", ["detect", "eval", "bench"])
def test_a_gpu_for_a_model_on_the_cpu_is_refused(
    run: Run, photo_folder: Path, annotated_photos: Path, verb: str, number: int
) -> None:
    arguments = verbs(photo_folder, annotated_photos)[verb]
    message = run(*arguments, "--device", number).message
    assert message == f"--device {number}: names a GPU, and retinaface-mnet025 runs on the CPU; omit it"


@pytest.mark.parametrize("verb", ["detect", "compare", "eval"])
def test_an_unknown_provider_is_refused_with_the_known_ones(
    run: Run, photo_folder: Path, annotated_photos: Path, verb: str
) -> None:
    arguments = verbs(photo_folder, annotated_photos)[verb]
    message = run(*arguments, "--providers", "CPUExecutionProvider, NoSuchProvider").message
    assert message.startswith("--providers NoSuchProvider: not in the installed ONNX Runtime (choose from ")
    assert "CPUExecutionProvider)" in message


def test_a_provider_runs_the_model(run: Run, photo_folder: Path) -> None:
    photo = photo_folder / "portrait.jpg"
    named = run("detect", photo, "--json", "-", "--providers", "CPUExecutionProvider")
    assert (named.status, named.out) == (0, run("detect", photo, "--json", "-").out)


def test_one_number_is_the_side_of_a_square(run: Run, photo_folder: Path) -> None:
    found = [
        json.loads(run("detect", photo_folder / "group.jpg", "--json", "-", "--size", size).out)
        for size in ("320", "320x320", "320x240")
    ]
    assert found[0] == found[1] != found[2]
    for text in ("0", "-1", "640.0", "640x", "x", "٦٤٠"):
        assert run("detect", photo_folder / "group.jpg", "--size", text).message.startswith("--size ")


@pytest.mark.parametrize("rate", ["1e9", "1e308", f"{MAX_RATE + 1}"])
def test_a_rate_that_nothing_keeps_up_with_is_refused(run: Run, rate: str) -> None:
    started = time.monotonic()
    message = run("bench", "--rate", rate, "--mode", "network", "--duration", "0.1").message
    assert f"must be at most {MAX_RATE} images a second" in message
    assert time.monotonic() - started < 10


def test_the_largest_rate_is_accepted() -> None:
    assert Load(MAX_RATE, 1, 1).rate == MAX_RATE
    with pytest.raises(ArgumentError) as error:
        Load(MAX_RATE * 1.01, 1, 1)
    one_line(error.value)


def test_more_threads_than_cores_are_not_used_and_mentioned_once(photo_folder: Path) -> None:
    cores = available_cores()
    photos = [str(path) for path in sorted(photo_folder.glob("*.jpg"))]
    env = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    result = command("detect", *photos, "--threads", "100000", "--json", "-", env=env)
    assert result.status == 0
    expected = f"threads 100000: this process may use only {cores} cores; using {cores}"
    assert result.err.splitlines() == [expected]
    assert len(json.loads(result.out)) == 2
