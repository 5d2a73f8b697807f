"""Plain and dependent launches: how many a call makes, where dependent ones are possible, same faces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.plugins.test_detect import check_equal
from tests.support.device import (
    LAUNCH_KINDS,
    LAUNCH_VARIABLE,
    Bytes,
    HostFaces,
    arrays,
    become_gpu,
    copied,
    launches,
    launching,
    memory,
    reseed,
)
from tests.support.problems import Problem, decode, detect, problem, select
from tests.support.specs import small_spec
from trt_mogface.errors import ArgumentError
from trt_mogface.frame import Frame
from trt_mogface.kernels import Kernels
from trt_mogface.reference.merge import Limits
from trt_mogface.reference.resize import place_letterbox
from trt_mogface.spec import Thresholds

SIZE = (160, 192)
SPEC = small_spec("distance", landmarks=5)
COUNT = SPEC.anchor_count(*SIZE)


@pytest.fixture(autouse=True)
def _recent_gpu(kernels: Kernels, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(LAUNCH_VARIABLE, raising=False)
    become_gpu(kernels.path)
    yield
    become_gpu(kernels.path)


def made_up(candidates: int, **limits: int) -> Problem:
    """Two images with this number of candidates, the second in one crowd."""
    rng = np.random.default_rng(candidates)
    scores = np.zeros((2, COUNT), np.float32)
    scores[0, rng.choice(COUNT, candidates, replace=False)] = rng.uniform(0.6, 1, candidates)
    scores[1, :candidates] = rng.uniform(0.6, 1, candidates)
    deltas = rng.normal(0, 1, (2, COUNT, 4)).astype(np.float32)
    points = rng.normal(0, 1, (2, COUNT, 10)).astype(np.float32)
    asked = {"top_k": 600, "max_detections": 300, **limits}
    return problem(SPEC, scores, deltas, points, size=SIZE, score_threshold=0.5, **asked)


def made(kernels: Kernels, call: str, asked: Problem) -> tuple[int, int]:
    """Return the number of plain and of dependent launches that a call makes."""
    image = np.zeros((40, 50, 3), np.uint8)
    table = kernels.frame_table([Frame((image,))], [place_letterbox(40, 50, SIZE)], SIZE)
    candidates = decode(kernels, asked)
    faces = select(kernels, candidates, asked.thresholds)
    before = launches(kernels.path)
    if call == "letterbox":
        kernels.letterbox(table, np.empty((1, *SIZE, 3), np.uint8))
    elif call == "resample":
        kernels.resample(table, np.empty((1, 24, 24, 3), np.uint8))
    elif call == "decode":
        decode(kernels, asked)
    elif call == "select":
        select(kernels, candidates, asked.thresholds)
    elif call == "merge":
        merge(kernels, faces, asked.thresholds, table)
    else:
        detect(kernels, asked)
    after = launches(kernels.path)
    return after[0] - before[0], after[1] - before[1]


def merge(kernels: Kernels, found: HostFaces, thresholds: Thresholds, table: Bytes) -> None:
    """Merge the faces of the first image with themselves."""
    first: dict[str, Any] = {
        name: None if value is None else copied(value[:1]) for name, value in vars(found).items()
    }
    faces, further = HostFaces(**first), HostFaces(**first)
    workspace = memory(kernels.merge_workspace(thresholds, 1, SPEC.landmarks))
    kernels.merge(
        further,
        faces,
        thresholds=thresholds,
        limits=Limits(0.0, 0.0),
        largest_face=0.0,
        workspace=workspace,
        frames=table,
    )


CALLS = {"letterbox": 1, "resample": 1, "decode": 3, "select": 2, "detect": 5, "merge": 3}
"""The number of launches of a call, whatever the arrays contain."""


@pytest.mark.parametrize("candidates", [0, 300, COUNT])
@pytest.mark.parametrize("call", CALLS)
def test_a_call_makes_as_many_launches_whatever_the_scores(
    kernels: Kernels, call: str, candidates: int
) -> None:
    asked = made_up(candidates)
    total = CALLS[call]
    assert made(kernels, call, asked) == (total, 0)
    for kind in ("plain", ""):
        with launching(kind):
            assert made(kernels, call, asked) == (total, 0)
    with launching("dependent"):
        assert made(kernels, call, asked) == (1, total - 1)  # the first follows other people's work


@pytest.mark.parametrize(
    ("capability", "driver", "possible"),
    [
        (75, 13000, False),
        (87, 12060, False),
        (89, 13000, False),
        (90, 12020, False),
        (90, 12030, True),
        (100, 12080, True),
        (120, 13000, True),
    ],
)
def test_launches_are_plain_where_dependent_ones_are_not_possible(
    kernels: Kernels, capability: int, driver: int, possible: bool
) -> None:
    become_gpu(kernels.path, capability=capability, driver=driver)
    with launching("dependent"):
        assert made(kernels, "detect", made_up(20)) == ((1, 4) if possible else (5, 0))


@pytest.mark.parametrize("limits", [{}, {"top_k": 100}, {"max_detections": 3}, {"top_k": 1000}])
@pytest.mark.parametrize("candidates", [0, 1, 64, 300, 512, 513, COUNT])
def test_both_kinds_give_the_faces_of_the_specification(
    kernels: Kernels, candidates: int, limits: dict[str, int]
) -> None:
    asked = made_up(candidates, **limits)
    results = []
    for seed, kind in enumerate(LAUNCH_KINDS):
        reseed(kernels.path, seed)
        with launching(kind):
            found = detect(kernels, asked)
        check_equal(found, asked)
        results.append([array.tobytes() for array in arrays(found)])
    assert results[0] == results[1]


@pytest.mark.parametrize("value", ["Dependent", "1", "x" * 300])
def test_another_kind_is_refused_before_anything_is_launched(kernels: Kernels, value: str) -> None:
    before = launches(kernels.path)
    with launching(value), pytest.raises(ArgumentError) as caught:
        detect(kernels, made_up(20))
    assert launches(kernels.path) == before
    assert str(caught.value) == f"{LAUNCH_VARIABLE} {value[:40]}: must be plain or dependent"
