"""Hundreds of damaged records: each is refused in one line, or means what it meant before."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine_build.calibration.images import find_images
from engine_build.calibration.record import Calibration, calibrate
from engine_build.onnx import contract
from engine_build.precision.prepare import normalized
from tests.support.mutations import mutations
from tests.support.networks import faint_file
from tests.support.specs import one_line
from tests.trt_mogface.cli.test_build import make_images
from tests.trt_mogface.models.test_manifest import GOOD
from trt_mogface._json import sealed
from trt_mogface.errors import MogFaceError
from trt_mogface.evaluation.wider_face import read_ground_truth
from trt_mogface.models.manifest import Manifest
from trt_mogface.spec import DetectorSpec, InputSpec

COUNT = 400
HERE = Path("here.json")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faint_file(tmp_path_factory.mktemp("network") / "faint.onnx")


@pytest.fixture(scope="module")
def calibration(network: Path, tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    images = find_images(str(make_images(tmp_path_factory.mktemp("images") / "i", 4)), InputSpec(), None, 9)
    return calibrate(normalized(contract.load(network), "int8"), "faint", "percentile", images)


def outcomes(text: str, read: Callable[[str], Any]) -> Counter[str]:
    """Read damaged copies of a record; count those that mean the same, are refused, or are something else."""
    whole = read(text)

    def outcome(damaged: str) -> str:
        try:
            return "same" if read(damaged) == whole else "other"
        except MogFaceError as error:
            one_line(error)
            return "refused"

    return Counter(map(outcome, mutations(text, COUNT)))


def test_a_manifest() -> None:
    found = outcomes(GOOD.to_json(), lambda text: Manifest.from_json(text, HERE))
    assert found["other"] == 0
    assert found["refused"] > 0.9 * COUNT


def test_a_calibration(calibration: Calibration) -> None:
    found = outcomes(calibration.to_json(), lambda text: Calibration.from_json(text, HERE))
    assert found["other"] == 0
    assert found["refused"] > 0.9 * COUNT


def test_a_calibration_whose_digest_was_made_again(calibration: Calibration, network: Path) -> None:
    """Only what is possible for the network is left: it builds, and the comparison with FP32 decides."""

    def read(text: str) -> Calibration:
        found = Calibration.from_json(text, HERE, force=True)
        found.check_belongs_to(normalized(contract.load(network), "int8"), "faint", HERE)
        assert all(np.isfinite(values).all() for values in (*found.biases.values(), *found.divisors.values()))
        return found

    found = outcomes(calibration.to_json(), read)
    assert found["refused"] > 0.6 * COUNT


@pytest.mark.parametrize(
    ("field", "change", "said"),
    [
        ("biases", lambda values: [1e6, *values[1:]], "a bias is out of reach"),
        ("biases", lambda values: values[1:], "biases are not those"),
        ("divisors", lambda values: values[1:], "divisors are not those"),
        ("divisors", lambda values: [*values, 1.0], "divisors are not those"),
        ("ranges", lambda value: 2 * value, "a range is greater"),
        ("ranges", None, "ranges are not those"),
        ("largest", None, "ranges are not those"),
        ("biases", None, "biases are not those"),
        ("divisors", None, "divisors are not those"),
    ],
)
def test_a_value_that_no_images_give(
    calibration: Calibration, network: Path, field: str, change: Callable[[Any], Any] | None, said: str
) -> None:
    fields = json.loads(calibration.to_json())
    del fields["sha256"]
    name = next(iter(fields[field]))
    if change is None:
        del fields[field][name]
    else:
        fields[field][name] = change(fields[field][name])
    found = Calibration.from_json(json.dumps(sealed(fields)), HERE)
    with pytest.raises(MogFaceError) as error:
        found.check_belongs_to(normalized(contract.load(network), "int8"), "faint", HERE)
    assert said in one_line(error.value)


def test_a_spec() -> None:
    found = outcomes(GOOD.spec.to_json(), DetectorSpec.from_json)
    assert found["refused"] > 0.5 * COUNT


def test_ground_truth(tmp_path: Path) -> None:
    entry = {
        "event": "e",
        "boxes_xywh": [[1, 2, 30, 40], [5, 6, 7, 8]],
        "easy": [],
        "medium": [0],
        "hard": [0, 1],
    }
    text = json.dumps([{**entry, "file": "a"}, {**entry, "file": "b"}])

    def read(damaged: str) -> list[tuple[str, object]]:
        path = tmp_path / "truth.json"
        path.write_text(damaged, encoding="utf-8", errors="surrogatepass")
        return [(image.key, image.faces.tolist()) for image in read_ground_truth(path)]

    found = outcomes(text, read)
    assert found["refused"] > 0.5 * COUNT
