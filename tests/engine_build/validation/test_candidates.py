"""Candidates of a network that sees a face at every anchor, as one does before it is trained."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from engine_build.validation.candidates import MAX_FACES, candidates
from tests.support.networks import ENDS, contract_file, heads, node, weight
from tests.support.specs import small_spec
from trt_mogface.spec import UNLIMITED, Level


def test_the_best_faces_of_an_image_are_kept(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["pixels", "ws"], ["s0"], "s", strides=[4, 4]),
        node("Sigmoid", ["s0"], ["s"], "sigmoid"),
        node("Conv", ["pixels", "wd"], ["d"], "d", strides=[4, 4]),
        *heads("s", "d"),
    ]
    stored = {"ws": 1e-4 * weight(1, 3, 4, 4), "wd": 1e-4 * weight(4, 3, 4, 4), **ENDS}
    spec = small_spec(top_k=UNLIMITED, max_detections=UNLIMITED)
    spec = dataclasses.replace(spec, levels=(Level(4, (1.0,)),))
    file = contract_file(tmp_path / "everywhere.onnx", nodes, stored, spec=spec)
    noise = np.random.default_rng(0).integers(0, 256, (1, 128, 160, 3), np.uint8)
    found, few = candidates(file, [noise, noise[:, :64, :96]])
    anchors = 128 * 160 // 16
    assert anchors > MAX_FACES == len(found.boxes)
    assert (np.diff(found.scores) <= 0).all()
    assert len(few.boxes) == 64 * 96 // 16
