"""Mutations of an ONNX file: its bytes, its protobuf messages, and what an attacker would try."""

from __future__ import annotations

import copy
import json
import math
import struct
from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np
import onnx

from tests.fuzz.mutation import (
    FLOATS,
    INTEGERS,
    LARGE,
    TEXTS,
    mutate_bytes,
    mutate_json,
    mutate_text,
    several,
)
from trt_mogface.spec import METADATA_KEY


def mutate_network(rng: Random, data: bytes) -> bytes:
    """Damage an ONNX file of a network."""
    kind = rng.randrange(10)
    if kind == 0:
        return mutate_bytes(rng, data)
    if kind == 1:  # the names and the metadata lie at the end
        return data[:-1700] + mutate_bytes(rng, data[-1700:])
    if kind == 2:
        return data[: rng.choice((rng.randrange(len(data)), rng.randrange(100)))]
    if kind == 3:
        return _nested(rng, data)
    model = onnx.load_from_string(data)
    if kind == 4 and model.graph.initializer:
        _external(rng, model)
    elif kind == 5 and model.graph.initializer:
        _weights(rng, model)
    elif kind < 8 and model.metadata_props:
        _metadata(rng, model)
    else:
        mutate_message(rng, model)
    return bytes(model.SerializeToString())


def _external(rng: Random, model: onnx.ModelProto) -> None:
    """Name weights in other files: outside of the folder, devices, and parts that do not exist."""
    tensor = rng.choice(model.graph.initializer)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    values = {
        "location": rng.choice((*TEXTS, "image.png", "../network.onnx")),
        "offset": "0",
        "length": str(2**62),
    }
    for key in rng.sample(sorted(values), rng.randrange(4)):
        text = values[key].encode("utf-8", "replace").decode()
        tensor.external_data.add(key=key, value=text)


def _weights(rng: Random, model: onnx.ModelProto) -> None:
    """Give a tensor numbers that are not finite, another type, or impossible dimensions."""
    tensor = rng.choice([each for each in model.graph.initializer if each.dims])
    kind = rng.randrange(3)
    if kind == 0:
        size = len(tensor.raw_data) // 4
        tensor.raw_data = np.full(size, rng.choice((np.nan, np.inf, 3e38, 1e-45)), np.float32).tobytes()
    elif kind == 1:
        tensor.data_type = rng.randrange(25)
    else:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice((0, -1, 2**31, 2**40, 2**62, -(2**63), 3))


def _metadata(rng: Random, model: onnx.ModelProto) -> None:
    entry = model.metadata_props[0]
    if rng.random() < 0.1:
        model.metadata_props.add(key=METADATA_KEY, value=entry.value)
    text = mutate_json(rng, json.loads(entry.value))
    entry.value = mutate_text(rng, entry.value).decode("utf-8", "replace") if rng.random() < 0.2 else text


def _nested(rng: Random, data: bytes) -> bytes:
    """Append deeply nested graphs, functions that call themselves, or metadata that is not text."""
    kind = rng.randrange(3)
    if kind == 0:
        inner = b""
        for _ in range(rng.choice((90, 150, 2000))):  # graph.node.attribute.g
            inner = _field(7, _field(1, _field(5, _field(6, inner)))) if len(inner) < 60_000 else inner
        return data + inner
    model = onnx.load_from_string(data)
    if kind == 1:
        model.opset_import.add(domain="own", version=1)
        model.functions.add(
            name="again", domain="own", input=["x"], output=["y"], opset_import=model.opset_import,
            node=[onnx.helper.make_node("again", ["x"], ["y"], domain="own")],
        )  # fmt: skip
        image = model.graph.input[0].name
        model.graph.node.insert(0, onnx.helper.make_node("again", [image], ["unused"], domain="own"))
        return bytes(model.SerializeToString())
    text = model.metadata_props[0].value if model.metadata_props else "{}"
    entry = _field(1, METADATA_KEY.encode()) + _field(2, mutate_bytes(rng, text.encode()))
    del model.metadata_props[:]
    return bytes(model.SerializeToString()) + _field(14, entry)


def _field(number: int, content: bytes) -> bytes:
    """Return a field of a protobuf message with a length."""
    length, size = len(content), bytearray()
    while length > 127:
        size.append(length & 127 | 128)
        length >>= 7
    return bytes([number << 3 | 2, *size, length]) + content


def mutate_message(rng: Random, message: Any) -> None:
    """Damage a protobuf message in place: fields set, cleared, repeated, moved, and nested in each other."""
    for _ in several(rng, 4):
        inner = rng.choice(list(_messages(message)))
        field = rng.choice([each for each, _ in inner.ListFields()] or list(inner.DESCRIPTOR.fields))
        if rng.random() < 0.3:
            field = rng.choice(list(inner.DESCRIPTOR.fields))
        _change_field(rng, message, inner, field)


def _messages(message: Any) -> Iterator[Any]:
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in value if _is_repeated(field) else (value,):
                yield from _messages(each)


def _is_repeated(field: Any) -> bool:
    return bool(field.is_repeated)


def _change_field(rng: Random, whole: Any, message: Any, field: Any) -> None:
    if rng.random() < 0.25:
        message.ClearField(field.name)
        return
    if field.message_type is None:
        _set(rng, message, field)
        return
    same = [copy.deepcopy(each) for each in _messages(whole) if each.DESCRIPTOR is field.message_type]
    if not _is_repeated(field):
        getattr(message, field.name).CopyFrom(rng.choice(same)) if same else None
        return
    values = getattr(message, field.name)
    step = rng.randrange(3)
    if step == 0 and values:
        del values[rng.randrange(len(values))]
    elif step == 1 and len(values) > 1:
        values.sort(key=lambda _: rng.random())
    elif same:
        values.add().CopyFrom(rng.choice(same))


def _set(rng: Random, message: Any, field: Any) -> None:
    """Set a plain field to a value of its type."""
    value = _plain(rng, field)
    if not _is_repeated(field):
        setattr(message, field.name, value)
        return
    values = getattr(message, field.name)
    if values and rng.random() < 0.7:
        values[rng.randrange(len(values))] = value
    else:
        values.append(value)


def _plain(rng: Random, field: Any) -> Any:
    kind = field.cpp_type
    if kind in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return struct.unpack(
            "f", struct.pack("f", rng.choice([f for f in FLOATS if not 1e38 < abs(f) < math.inf]))
        )[0]
    if kind == field.CPPTYPE_STRING:
        text = rng.choice(TEXTS).encode("utf-8", "replace")
        return text if field.type == field.TYPE_BYTES else text.decode()
    if kind == field.CPPTYPE_ENUM:
        return rng.choice(field.enum_type.values).number
    bits = 32 if kind in (field.CPPTYPE_INT32, field.CPPTYPE_UINT32) else 64
    value = int(rng.choice((*INTEGERS, *LARGE, *range(16)))) % (1 << bits)
    signed = kind in (field.CPPTYPE_INT32, field.CPPTYPE_INT64)
    return value - (1 << bits) if signed and value >> (bits - 1) else value
