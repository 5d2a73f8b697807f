"""The authors' variants against outputs of the authors' code, which was recorded with made-up weights.

`tests/data/mogface_variants.json` has 40 anchors of each network for the second of two images of noise:
repository damo-cv/MogFace, commit 5e064d6, with the weights of `tests.support.made_weights`.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.support.made_weights import made_weights
from tests.support.mogface import outputs_of_ours
from tests.support.project import REPOSITORY

torch = pytest.importorskip("torch", reason="the networks need torch")

from engine_build.models.mogface import network  # noqa: E402

RECORDED = json.loads((REPOSITORY / "tests/data/mogface_variants.json").read_text())


BUILDERS = {"mogface": network.mogface, "mogface-e": network.mogface_e, "baseline": network.baseline}


@pytest.mark.parametrize("variant", BUILDERS)
def test_the_network_equals_the_authors(variant: str) -> None:
    ours = BUILDERS[variant]().eval()
    ours.load_state_dict(made_weights(ours), strict=False)
    noise = np.random.default_rng(0).integers(0, 256, (2, 3, 97, 131)).astype(np.float32) / 127.5 - 1
    scores, deltas = outputs_of_ours(ours, torch.from_numpy(noise))
    recorded = RECORDED[variant]
    np.testing.assert_allclose(scores[1, recorded["anchors"]], recorded["scores"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(deltas[1, recorded["anchors"]], recorded["deltas"], rtol=0, atol=1e-4)
