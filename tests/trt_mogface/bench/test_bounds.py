"""Rooflines of what is measured here, and of cards by their data sheets."""

from __future__ import annotations

import pytest

from trt_mogface.backends.onnxruntime import read_spec
from trt_mogface.bench.bounds import achieved, cards, simulated
from trt_mogface.bench.measurement import MeasureOptions
from trt_mogface.bench.roofline import layers_of
from trt_mogface.bench.trials import Conditions, Subject
from trt_mogface.errors import ArgumentError
from trt_mogface.models.cards import DEFAULT, embedded_file

SIZE = (160, 96)


def test_a_card_is_simulated_in_what_it_computes_in() -> None:
    found = simulated(embedded_file(DEFAULT), [1, 8], SIZE, cards("t4, l4"))
    assert [(each.ceilings.machine, each.precision, each.batch) for each in found] == [
        ("NVIDIA T4", "fp16", 1),
        ("NVIDIA T4", "fp16", 8),
        ("NVIDIA T4", "int8", 1),
        ("NVIDIA T4", "int8", 8),
        ("NVIDIA L4", "fp16", 1),
        ("NVIDIA L4", "fp16", 8),
        ("NVIDIA L4", "int8", 1),
        ("NVIDIA L4", "int8", 8),
        ("NVIDIA L4", "fp8", 1),
        ("NVIDIA L4", "fp8", 8),
    ]
    assert all(each.share is None for each in found)


def test_a_bound_is_what_operations_and_bytes_say() -> None:
    (found,) = simulated(embedded_file(DEFAULT), [2], SIZE, cards("orin-nano"))[:1]
    layers = layers_of(embedded_file(DEFAULT), batch=2, height=96, width=160, precision="fp16")
    expected = sum(max(each.operations / 17e12, each.bytes_moved / 102e9) for each in layers)
    assert found.seconds == pytest.approx(expected)
    assert found.images_per_s == pytest.approx(2 / expected)


def test_unknown_cards_and_none() -> None:
    assert cards(None) == []
    with pytest.raises(ArgumentError, match="'gtx': unknown card"):
        cards("t4,gtx")


def test_what_is_reached_here_lies_below_its_ceiling_and_has_layers() -> None:
    path = embedded_file(DEFAULT)
    subject = Subject("fp32", path, read_spec(path), is_engine=False)
    conditions = Conditions(SIZE, 1, 0, MeasureOptions(1.0))
    (found,), notes = achieved(path, [subject], [1], [], conditions)
    assert notes == []
    assert found.share is not None
    assert 0 < found.share < 10  # other programs may slow down only the ceilings
    assert sum(each.measured is not None for each in found.layers) > len(found.layers) / 2
    assert found.to_dict()["share_of_ceiling"] == found.share


def test_a_precision_without_a_ceiling_here_is_a_note() -> None:
    path = embedded_file(DEFAULT)
    subject = Subject("fp16", path, read_spec(path), is_engine=False)
    found, notes = achieved(path, [subject], [1], [], Conditions(SIZE, 1, 0, MeasureOptions(1.0)))
    assert found == []
    assert notes == ["no roofline in fp16: ONNX Runtime has no such products on CPUs"]
