"""The reader of an ONNX file's interface: equal to what ONNX Runtime says, and one line for damaged files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from tests.support.onnx_files import answers, constant_network
from tests.support.specs import one_line, small_spec
from trt_mogface.backends.onnxruntime import session
from trt_mogface.errors import ModelError
from trt_mogface.models import onnx_file
from trt_mogface.models.cards import DEFAULT
from trt_mogface.models.files import embedded_file
from trt_mogface.models.onnx_file import read_onnx

NAMES = {"tensor(float)": 1, "tensor(uint8)": 2}


def assert_equals_the_session(path: Path) -> None:
    running, found = session(str(path), 1, optimize=False), read_onnx(path)
    assert found.metadata == running.get_modelmeta().custom_metadata_map
    for read, values in ((found.inputs, running.get_inputs()), (found.outputs, running.get_outputs())):
        assert read == {value.name: (NAMES[value.type], len(value.shape)) for value in values}


def refused(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(ModelError) as error:
        read_onnx(path)
    return one_line(error.value)


def varint(value: int) -> bytes:
    digits = []
    while value >= 0x80:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def message(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def test_the_embedded_model_is_read_as_onnx_runtime_reads_it() -> None:
    assert_equals_the_session(embedded_file(DEFAULT))


@pytest.mark.parametrize(
    ("kind", "rank"), [(TensorProto.UINT8, 4), (TensorProto.FLOAT, 4), (TensorProto.FLOAT, 0)]
)
@pytest.mark.parametrize("spec", [None, "", small_spec().to_json(), "ü" * 3000])
def test_other_files_are_read_as_onnx_runtime_reads_them(
    tmp_path: Path, kind: int, rank: int, spec: str | None
) -> None:
    path = constant_network(
        tmp_path / "a.onnx", answers(8, landmarks=5), spec=spec, input_type=kind, input_rank=rank
    )
    assert_equals_the_session(path)


def test_of_several_values_of_a_key_the_last_counts(tmp_path: Path) -> None:
    path = constant_network(tmp_path / "a.onnx", answers(8), spec="first")
    model = onnx.load(str(path))
    model.metadata_props.add(key=model.metadata_props[0].key, value="second")
    onnx.save(model, str(path))
    assert list(read_onnx(path).metadata.values()) == ["second"]
    assert_equals_the_session(path)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\x08\x07", "no graph"),
        (b"\xff" * 30, "longer than ten bytes"),
        (varint(7 << 3 | 2) + varint(1 << 60) + b"graph", "truncated"),
        (varint(7 << 3 | 2) + b"\x80", "not an ONNX model"),
        (b"\x0b\x0c", "unknown wire type 3"),
        (varint(7 << 3), "not an ONNX model"),
        (varint(7 << 3) + varint(5), "not an ONNX model"),
        (message(7, b"") + message(14, varint(1 << 3) + varint(5)), "not an ONNX model"),
        (message(7, b"") + message(14, message(1, b"\xff\xfe")), "not an ONNX model"),
        (message(7, message(11, b"\x0a\x7fname")), "truncated"),
        (message(7, message(11, message(1, b"a") + message(2, message(1, b"\x12")))), "not an ONNX model"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path: Path, data: bytes, reason: str) -> None:
    assert reason in refused(tmp_path / "bad.onnx", data)


def test_more_fields_than_a_network_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "MAX_FIELDS", 1000)
    path = tmp_path / "bomb.onnx"
    assert "too many fields" in refused(path, b"\x08\x00" * 1001)
    assert "too many fields" in refused(path, message(7, message(11, b"\x08\x00" * 1001)))


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nope.onnx"):
        with pytest.raises(ModelError, match="no such file"):
            read_onnx(path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path: Path, data: Any) -> None:
    good = constant_network(tmp_path / "good.onnx", answers(8), spec="spec").read_bytes()
    changed = bytearray(good[: data.draw(st.integers(0, len(good)))])
    for _ in range(data.draw(st.integers(0, 4)) if changed else 0):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "changed.onnx"
    path.write_bytes(changed)
    try:
        read_onnx(path)
    except ModelError as error:
        one_line(error)
