"""Addresses of models on a server, and servers that are not there."""

from __future__ import annotations

import time

import pytest

from tests.support.specs import one_line
from tests.support.triton_server import free_ports
from trt_mogface import Detector
from trt_mogface.backends.triton.address import Address
from trt_mogface.errors import ModelError, ServerError


def test_an_address_has_defaults() -> None:
    found = Address.parse("triton://camera-7/mogface")
    assert (found.protocol, found.host, found.model, found.version) == (
        "grpc",
        "camera-7:8001",
        "mogface",
        "",
    )
    assert not found.is_local


def test_an_address_may_say_everything() -> None:
    found = Address.parse("triton+http://[::1]:9000/scrfd-500m?version=3&timeout=1.5")
    assert (found.protocol, found.host, found.model) == ("http", "[::1]:9000", "scrfd-500m")
    assert (found.version, found.timeout, found.is_local) == ("3", 1.5, True)


@pytest.mark.parametrize(
    "text",
    [
        "triton://",
        "triton://host",
        "triton://host/",
        "triton:///model",
        "triton://host:port/model",
        "triton://host:99999/model",
        "triton://host/model/7",
        "triton://host/model?version=new",
        "triton://host/model?timeout=0",
        "triton://host/model?timeout=nan",
        "triton://host/model?wait=1",
        "triton://user:secret@host/model",
        "triton://host/model?",
    ],
)
def test_other_addresses_are_refused(text: str) -> None:
    if text.endswith("?"):
        assert Address.parse(text).model == "model"
        return
    with pytest.raises(ModelError, match="not the address of a model; use triton://HOST:PORT/MODEL") as error:
        Address.parse(text)
    assert "secret" not in one_line(error.value)


@pytest.mark.parametrize("scheme", ["triton", "triton+http"])
def test_a_server_that_is_not_there_is_refused_in_time(scheme: str) -> None:
    pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed")
    (port,) = free_ports(1)
    started = time.monotonic()
    with pytest.raises(ServerError, match="cannot be reached") as error:
        Detector(f"{scheme}://127.0.0.1:{port}/mogface?timeout=0.5")
    assert time.monotonic() - started < 5
    assert f"127.0.0.1:{port}/mogface" in one_line(error.value)
