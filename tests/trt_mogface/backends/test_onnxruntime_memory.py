"""Memory of large runs is returned, and kept in a series of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.fakes import WAIT
from tests.support.onnx_files import answers, constant_network
from tests.support.specs import one_line, small_spec
from trt_mogface.backends import onnxruntime
from trt_mogface.backends.onnxruntime import OnnxNetwork
from trt_mogface.errors import ModelError
from trt_mogface.models.cards import DEFAULT, embedded_file

SMALL, LARGE = (np.random.default_rng(0).integers(0, 256, (1, side, 64, 3), np.uint8) for side in (64, 256))


@pytest.fixture
def returned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The heights of the runs whose memory was returned, where 10,000 pixels are large."""
    heights: list[int] = []
    plain = onnxruntime._returning

    def returning(opened: Any, pixels: Any, shapes: Any) -> Any:
        heights.append(pixels.shape[1])
        return plain(opened, pixels, shapes)

    monkeypatch.setattr(onnxruntime, "_returning", returning)
    monkeypatch.setattr(onnxruntime, "LARGE", 10_000)
    return heights


def test_outputs_are_the_same_whether_or_not_memory_is_returned(returned: list[int]) -> None:
    with OnnxNetwork(embedded_file(DEFAULT), threads=1) as network:
        first, second = network.run(LARGE), network.run(LARGE)
    assert returned == [256]
    for one, other in zip(first, second):
        assert one is not None
        np.testing.assert_array_equal(one, other)


def test_memory_is_returned_where_the_size_of_runs_changes(returned: list[int]) -> None:
    with OnnxNetwork(embedded_file(DEFAULT), threads=1) as network:
        for images in (SMALL, SMALL, LARGE, LARGE, LARGE, SMALL, SMALL):
            network.run(images)
    assert returned == [256, 64]


@pytest.mark.usefixtures("returned")
def test_a_large_run_whose_outputs_do_not_fit_is_refused_in_a_line(tmp_path: Path) -> None:
    path = constant_network(tmp_path / "wrong.onnx", answers(7), spec=small_spec().to_json())
    with OnnxNetwork(path) as network, pytest.raises(ModelError) as error:
        network.run(LARGE)
    assert str(path) in one_line(error.value)


ONE_PHOTO = """
import gc
import numpy as np
from trt_mogface import Detector

def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024

with Detector(threads=1) as detect:
    detect(np.zeros((480, 640, 3), np.uint8))
    before = resident()
    detect(np.zeros((3000, 4000, 3), np.uint8))
    gc.collect()
    print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the resident memory is read from /proc")
def test_a_photo_of_12_megapixels_leaves_no_memory_behind() -> None:
    """It takes 500 MB; the arena of ONNX Runtime would keep most of them."""
    done = subprocess.run(
        [sys.executable, "-c", ONE_PHOTO], capture_output=True, text=True, timeout=2 * WAIT, check=True
    )
    assert float(done.stdout) < 120
