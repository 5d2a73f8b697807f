"""MTCNN on a GPU: the kernels against numpy, and engines against the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine_build.cascade import CascadeBuild
from engine_build.tensorrt.builder import BuilderOptions
from engine_build.tensorrt.profiles import parse_profiles
from tests.support.photos import Photo
from tests.support.same_faces import assert_same_faces
from trt_mogface import Detector, Runner
from trt_mogface.errors import EngineError, MissingExtraError
from trt_mogface.kernels import Kernels
from trt_mogface.kernels.cascade import CascadeKernels, CascadeOutputs, Tallies, Windows
from trt_mogface.machine.gpu import find_gpu
from trt_mogface.machine.tensorrt import find_tensorrt
from trt_mogface.models.files import model_path
from trt_mogface.reference import cascade, stages

pytestmark = pytest.mark.gpu


def test_windows_are_those_of_numpy(torch: Any, kernels: Kernels) -> None:
    made, rng = CascadeKernels(kernels.path), np.random.default_rng(0)
    scores = rng.choice(np.array([0.1, 0.75, 0.9, 1.0], np.float32), (2, 60, 70))
    offsets = rng.normal(0, 0.3, (2, 4, 60, 70)).astype(np.float32)
    limit = 2000

    def empty(*shape: int, dtype: Any) -> Any:
        return torch.empty(shape, dtype=dtype, device="cuda")

    windows = Windows(
        empty(2, limit, 4, dtype=torch.float64),
        empty(2, limit, dtype=torch.float32),
        empty(2, limit, 4, dtype=torch.float32),
    )
    tallies = Tallies(empty(2, dtype=torch.int32), empty(2, dtype=torch.int32))
    given = CascadeOutputs(torch.from_numpy(scores).cuda(), torch.from_numpy(offsets).cuda())
    made.cascade_windows(
        given,
        windows,
        tallies,
        first=0,
        scale=0.6,
        score=stages.PROPOSAL_SCORE,
        overlap=stages.LEVEL_OVERLAP,
        limit=limit,
        workspace=empty(made.cascade_workspace(2, 60 * 70, limit), dtype=torch.uint8),
        stream=torch.cuda.current_stream(),
    )
    for image in range(2):
        limits = stages.Limits(cells=limit)
        selection = stages.Selection((100, 100), cascade.stable_ranking, limits)
        expected = selection.windows(scores[image], offsets[image], 0.6)
        count = len(expected.scores)
        found: Any = windows
        np.testing.assert_array_equal(found.boxes[image, :count].cpu().numpy(), expected.boxes)
        np.testing.assert_array_equal(found.scores[image, :count].cpu().numpy(), expected.scores)
        assert not found.scores[image, count:].any()
        assert int(tallies.truncated[image]) == selection.truncated  # type: ignore[index]


@pytest.fixture(scope="module")
def engines(kernels: Kernels, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001 -- on a GPU
    pytest.importorskip("torch", reason="the networks come out of torch")
    options = BuilderOptions(parse_profiles(["1x64x64:1x443x640:2x443x640"]))
    try:
        building = CascadeBuild(model_path("mtcnn", for_cpu=False), options, find_tensorrt(), find_gpu())
        return building.engines("fp32", tmp_path_factory.mktemp("engines") / "mtcnn").folder
    except (EngineError, MissingExtraError) as error:
        pytest.skip(str(error))


def test_an_engine_finds_what_the_cpu_finds(engines: Path, group: Photo) -> None:
    image = np.ascontiguousarray(group[::2, ::2])
    with Detector("mtcnn", threads=1) as on_cpu, Detector(engines) as detect:
        expected = on_cpu(image)
        for _ in range(3):  # launched step by step, captured, launched as a graph
            assert_same_faces(detect(image), expected)
    with Runner(engines, batch=2, slots=2) as runner:
        for faces in runner.map([image] * 5):
            assert_same_faces(faces, expected)
    assert len(expected) == 6


@pytest.mark.parametrize("shape", [(1, 1), (20, 20), (21, 21), (1, 640)])
def test_images_without_a_face(engines: Path, shape: tuple[int, int]) -> None:
    with Detector(engines) as detect:
        found = detect(np.zeros((*shape, 3), np.uint8))
        assert (len(found), found.dropped, found.truncated) == (0, 0, 0)
