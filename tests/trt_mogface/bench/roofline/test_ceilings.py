from __future__ import annotations

import os
import time

import pytest

from tests.support.specs import one_line
from trt_mogface.bench.roofline import CARDS, Ceilings, card, measure_cpu
from trt_mogface.bench.roofline.ceilings import MEASURED, gathered
from trt_mogface.bench.roofline.cpu_ceilings import best_seconds
from trt_mogface.errors import ArgumentError

INVENTED = Ceilings("invented", 100.0, {"fp16": 1000.0}, missing={"fp8": "too old"})


def test_the_ridge_is_where_both_roofs_meet() -> None:
    assert INVENTED.ridge("fp16") == 10.0
    assert INVENTED.rate("fp16") == 1000.0


def test_a_precision_without_a_rate_is_refused_with_the_reason_and_what_there_is() -> None:
    with pytest.raises(
        ArgumentError, match=r"precision fp8: invented has no ceiling in it \(too old\); use fp16"
    ) as caught:
        INVENTED.rate("fp8")
    one_line(caught.value)
    with pytest.raises(ArgumentError, match="not measured"):
        INVENTED.ridge("fp32")


def test_what_cannot_be_measured_is_left_out_with_one_line() -> None:
    def fails(error: Exception) -> float:
        raise error

    found = gathered(
        "here",
        5.0,
        [
            ("fp32", lambda: 7.0),
            ("fp16", lambda: fails(NotImplementedError())),
            ("int8", lambda: fails(RuntimeError("no such kernel\nand a long story"))),
        ],
    )
    assert found == Ceilings(
        "here", 5.0, {"fp32": 7.0}, MEASURED, {"fp16": "NotImplementedError", "int8": "no such kernel"}
    )


def test_the_ceilings_of_this_cpu_are_measured_in_bounded_time() -> None:
    start = time.monotonic()
    found = measure_cpu(1, seconds=0.05, copied=64 << 20)
    assert time.monotonic() - start < 20
    assert "1 thread" in found.machine
    assert found.source == MEASURED
    assert set(found.operations_per_s) == {"fp32", "int8"}
    assert set(found.missing) == {"fp16", "bf16", "fp8"}
    # Between a slow single core and more than any core can do.
    assert 1e8 < found.bytes_per_s < 1e12
    assert all(1e8 < rate < 1e13 for rate in found.operations_per_s.values())


def test_no_threads_are_refused_in_a_line() -> None:
    with pytest.raises(ArgumentError, match="threads 0: must be positive") as caught:
        measure_cpu(0)
    one_line(caught.value)


def test_the_best_run_counts_and_the_first_does_not() -> None:
    naps = iter([0.0, 0.02, 0.01, 0.03, 0.02])
    assert 0.01 <= best_seconds(lambda: time.sleep(next(naps)), 0.0) < 0.02


def test_every_card_names_its_data_sheet_and_why_it_lacks_a_precision() -> None:
    assert set(CARDS) == {"orin-nano", "orin-agx", "t4", "l4", "h200"}
    for name in CARDS:
        found = card(name)
        assert found.source.startswith("data sheet: NVIDIA ")
        every = {"fp32", "fp16", "bf16", "int8", "fp8"}
        assert set(found.operations_per_s) | set(found.missing) == every
        assert not set(found.operations_per_s) & set(found.missing)


@pytest.mark.parametrize(
    ("name", "multiprocessors", "per_clock", "clock"),
    [
        # Dense FP16 operations of a multiprocessor and clock, by NVIDIA's white papers of each architecture.
        ("orin-nano", 8, 2048, 1.020e9),
        ("orin-agx", 16, 2048, 1.3e9),
        ("t4", 40, 1024, 1.59e9),
        ("l4", 58, 1024, 2.04e9),
        ("h200", 132, 4096, 1.83e9),
    ],
)
def test_the_rates_are_dense_ones(name: str, multiprocessors: int, per_clock: int, clock: float) -> None:
    found = card(name)
    assert found.rate("fp16") == pytest.approx(multiprocessors * per_clock * clock, rel=0.05)
    assert found.rate("int8") == pytest.approx(2 * found.rate("fp16"), rel=0.02)


@pytest.mark.parametrize("name", ["", "rtx", "H200", "orin-nano,t4", os.sep])
def test_an_unknown_card_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(
        ArgumentError, match=r"unknown card \(choose from orin-nano, orin-agx, t4, l4, h200\)"
    ) as caught:
        card(name)
    one_line(caught.value)
