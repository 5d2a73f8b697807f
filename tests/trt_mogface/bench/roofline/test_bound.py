from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.networks import residual_file
from tests.support.specs import one_line
from trt_mogface.bench.roofline import Ceilings, Layer, Roofline, Times, card, roofline
from trt_mogface.bench.roofline.bound import under
from trt_mogface.errors import ArgumentError, ModelError

ROOF = Ceilings("invented", 100.0, {"fp32": 1000.0}, missing={"fp8": "too old"})

HEAVY = Layer("heavy", "Conv", 5000, 60, 40)  # 5 s of work, 1 s of bytes
LIGHT = Layer("light", "Conv", 1000, 150, 50)  # 1 s of work, 2 s of bytes
MOVED = Layer("moved", "Resize", 0, 100, 200)  # 3 s of bytes
EDGE = Layer("edge", "Conv", 1000, 60, 40)  # 1 s of each


def found(times: Times | None = None) -> Roofline:
    bounds = under([HEAVY, LIGHT, MOVED, EDGE], "fp32", ROOF, times)
    return Roofline("m", 4, 8, 12, "fp32", ROOF, bounds, times)


def test_a_layer_takes_the_longer_of_its_work_and_its_bytes() -> None:
    bounds = under([HEAVY, LIGHT, MOVED, EDGE], "fp32", ROOF)
    assert [bound.seconds for bound in bounds] == [5.0, 2.0, 3.0, 1.0]
    assert [bound.limit for bound in bounds] == ["compute", "memory", "memory", "compute"]


def test_the_network_takes_the_sum_of_its_layers() -> None:
    whole = found()
    assert whole.seconds == 11.0
    assert whole.images_per_s == 4 / 11
    assert whole.operations == 7000
    assert whole.bytes_moved == 700
    assert whole.memory_share == 5 / 11
    assert whole.limit == "compute"
    assert whole.share is None
    assert all(bound.share is None for bound in whole.layers)


def test_measured_times_give_the_share_of_the_ceiling() -> None:
    whole = found(Times({"heavy": 10.0, "light": 2.0, "unknown": 1.0}, total=22.0, matched=0.6, runs=3))
    assert [bound.share for bound in whole.layers] == [0.5, 1.0, None, None]
    assert whole.share == 0.5
    assert "50% of the ceiling" in str(whole)


def test_a_layer_may_come_out_above_its_ceiling_and_is_not_hidden() -> None:
    (bound,) = under([LIGHT], "fp32", ROOF, Times({"light": 1.0}, 1.0, 1.0, 1))
    assert bound.share == 2.0


def test_the_whole_in_one_line() -> None:
    text = str(found())
    assert "\n" not in text
    assert "m 12x8, batch 4, fp32 on invented (measured)" in text
    assert "at least 1.1e+04 ms" in text


def test_a_precision_without_a_rate_is_refused_before_anything_is_counted(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="precision fp8: NVIDIA T4 has no ceiling in it") as caught:
        roofline(tmp_path / "none.onnx", batch=1, size=(8, 8), precision="fp8", ceilings=card("t4"))
    one_line(caught.value)
    with pytest.raises(ArgumentError, match="too old"):
        under([HEAVY], "fp8", ROOF)


def test_a_file_under_a_roof_is_width_by_height(tmp_path: Path) -> None:
    whole = roofline(
        residual_file(tmp_path / "tiny.onnx"), batch=2, size=(12, 8), precision="fp32", ceilings=ROOF
    )
    assert (whole.model, whole.batch, whole.height, whole.width) == ("tiny", 2, 8, 12)
    # By hand, see test_layers: the first convolution's work of two pictures against its bytes.
    first = whole.layers[0]
    assert first.seconds == max(2 * 2 * 96 * 8 * 27 / 1000, (2 * 288 + 896 + 2 * 3072) / 100)


def test_a_faster_card_bounds_lower(tmp_path: Path) -> None:
    path = residual_file(tmp_path / "tiny.onnx")
    times = [
        roofline(path, batch=8, size=(640, 640), precision="int8", ceilings=card(name)).seconds
        for name in ("orin-nano", "orin-agx", "h200")
    ]
    assert times == sorted(times, reverse=True)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_text("?")
    with pytest.raises(ModelError):
        roofline(tmp_path / "a.onnx", batch=1, size=(8, 8), precision="fp32", ceilings=ROOF)
