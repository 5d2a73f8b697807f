"""A `Detector` in forked processes, and one that is sent to other processes."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.fakes import WAIT
from tests.support.photos import Photo
from tests.support.specs import one_line
from trt_mogface.backends.registry import open_backend
from trt_mogface.detector import Detector
from trt_mogface.errors import ArgumentError, ModelError, RunnerError
from trt_mogface.models.cards import DEFAULT

FORK = """
import json, os, sys
import numpy as np
from trt_mogface import Detector, MogFaceError

detect, image = Detector(threads=int(sys.argv[1])), np.zeros((64, 64, 3), np.uint8)
twin = detect.clone()
detect(image)

def said(call):
    try:
        call()
    except MogFaceError as error:
        return str(error)

child = os.fork()
if child == 0:
    report = [said(lambda: detect(image)), said(detect.clone), said(lambda: twin([image, image]))]
    with detect:
        report.append(said(detect.close))
    with Detector() as own:
        report.append(len(own(image)))
    print(json.dumps(report), flush=True)
    sys.exit(3)  # not os._exit, which frees nothing
status = os.waitpid(child, 0)[1]
print(json.dumps([os.waitstatus_to_exitcode(status), len(detect(image)), len(twin(image))]))
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_a_forked_process_is_refused_and_exits(threads: int) -> None:
    """With two threads the session has one of its own, for which its end would wait."""
    command = [sys.executable, "-c", FORK, str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT)
    assert done.returncode == 0, done.stderr
    child, parent = map(json.loads, done.stdout.splitlines())
    for text in child[:3]:
        assert "forked" in text
        assert "open one after the fork" in text
        assert "\n" not in text
    assert child[3:] == [None, 0]
    assert parent == [3, 0, 0]


def in_another_process(detect: Detector, image: Photo) -> tuple[Any, Any]:
    with detect:
        return detect(image).xyxy, detect.thresholds


def test_another_process_opens_the_model_with_the_same_options(group: Photo) -> None:
    options: dict[str, Any] = {"size": (640, 448), "conf": 0.8, "max_det": 4, "threads": 1}
    with Detector(**options) as detect:
        expected = detect(group)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            boxes, thresholds = pool.apply(in_another_process, (detect.clone(), group))
        assert len(expected) == 4
        np.testing.assert_array_equal(boxes, expected.xyxy)
        assert thresholds == detect.thresholds


def test_a_pickled_detector_is_independent() -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    with Detector() as detect:
        copy = pickle.loads(pickle.dumps(detect))  # noqa: S301 -- just written
    with copy:
        assert len(copy(image)) == 0
    with pytest.raises(RunnerError, match="closed"):
        detect(image)


def test_a_detector_of_an_opened_backend_cannot_be_pickled() -> None:
    with Detector(open_backend(DEFAULT)) as detect, pytest.raises(RunnerError) as error:
        pickle.dumps(detect)
    assert "open it by name or file" in one_line(error.value)


def test_a_model_that_is_gone_is_told_where_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with Detector() as detect:
        detect._arguments["model"] = path
        pickled = pickle.dumps(detect)
    with pytest.raises(ModelError) as error:
        pickle.loads(pickled)  # noqa: S301 -- just written
    assert str(path) in one_line(error.value)


@pytest.mark.parametrize("error", [ArgumentError("conf", "must be within 0..1", 7), ModelError("a")])
def test_errors_reach_other_processes(error: Exception) -> None:
    """Or `multiprocessing.Pool` would wait for ever."""
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 -- just written
    assert (type(copy), str(copy)) == (type(error), str(error))
