"""Hundreds of damaged records: each is refused in one line, or means what it meant before."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from engine_build.calibration.images import find_images
from engine_build.calibration.record import Calibration, calibrate
from engine_build.onnx import contract
from engine_build.precision.prepare import normalized
from tests.support.command import Run, runner
from tests.support.manifests import GOOD
from tests.support.mutations import mutations
from tests.support.networks import faint_file
from tests.support.specs import one_line
from tests.trt_mogface.cli.test_build import make_images
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


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(capfd, monkeypatch)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), np.zeros((32, 32, 3), np.uint8))
    return path


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


@pytest.mark.parametrize("verb", ["inspect", "detect", "compare", "eval", "bench", "build", "build int8"])
@pytest.mark.parametrize("place", ["key", "value", "spec", "node", "weight", "producer"])
def test_onnx_text_that_is_not_utf8(
    run: Run, network: Path, photo: Path, annotated_photos: Path, tmp_path: Path, verb: str, place: str
) -> None:
    """A file with such text runs if the text has no meaning there, or is refused in one line."""
    data, damaged = network.read_bytes(), tmp_path / "damaged.onnx"
    entry = {"key": b"\x72\x07\x0a\x02k\xff\x12\x01v", "value": b"\x72\x07\x0a\x01k\x12\x02v\xfe"}
    replaced = {
        "spec": (b'"faint"', b'"fa\xffnt"'),
        "node": (b"relu a", b"rel\xff a"),
        "weight": (b"scale", b"sc\xffle"),
    }
    if place in replaced:
        assert replaced[place][0] in data
        data = data.replace(*replaced[place])
    damaged.write_bytes(data + entry.get(place, b"\x12\x03a\xffb" if place == "producer" else b""))
    target = tmp_path / "made.onnx"
    arguments: dict[str, tuple[object, ...]] = {
        "inspect": (damaged,),
        "detect": (photo, "--model", damaged),
        "compare": (network, damaged, photo),
        "eval": ("wider", "--gt", annotated_photos / "annotations.json", "--model", damaged,
                 "--images", annotated_photos / "images", "--size", "96x96"),
        "bench": ("--model", damaged, "--mode", "network", "--size", "32x32", "--duration", 0.02),
        "build": (damaged, "-o", target),
        "build int8": (damaged, "--precision", "int8", "--calib", annotated_photos / "images" / "0--Parade",
                       "-o", target),
    }  # fmt: skip
    result = run(verb.split()[0], *arguments[verb])
    if result.status != 0:
        assert "utf-8" in result.message
        assert not target.exists()
    else:
        assert place in ("node", "producer", "weight")
        assert not verb.startswith("build")
        assert result.err == ""


def test_a_changed_calibration_builds_only_if_the_user_says_so(
    run: Run, calibration: Calibration, network: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fields = json.loads(calibration.to_json())
    fields["ranges"] = {name: value / 1000 for name, value in fields["ranges"].items()}
    cache, target = tmp_path / "cache.json", tmp_path / "made.onnx"
    cache.write_text(json.dumps(fields))
    build = ("build", network, "--precision", "int8", "--calib-cache", cache, "-o", target)
    assert "changed after it was written" in (message := run(*build).message)
    assert "(force)" in message
    del fields["sha256"]
    cache.write_text(json.dumps(sealed(fields)))  # as someone would who wants to be believed
    assert "on noise" in (message := run(*build).message)
    assert "(force)" in message
    assert not target.exists()
    assert run(*build, "--force").status == 0
    assert "int8 refused" in caplog.text
    assert target.exists()
