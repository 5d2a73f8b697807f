"""Metrics, keys, the OpenAPI document and headers of the service."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.http_service import ROUTE, png
from tests.trt_mogface.serving.http.conftest import Serve
from trt_mogface.errors import ArgumentError, UsageError
from trt_mogface.serving.http import ServiceOptions, bind
from trt_mogface.serving.http.keys import read_keys
from trt_mogface.serving.http.page import PAGE
from trt_mogface.serving.http.refusal import MEANINGS

KEYS = ("first-key-of-the-file", "second")


def test_metrics(served: Serve) -> None:
    service = served()
    for number in range(5):
        service.post(png(number))
    service.post(b"no image")
    service.get("/nothing")
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(service.get("/metrics").text)
        for sample in family.samples
    }

    def value(name: str, **labels: str) -> float:
        return samples["trt_mogface_" + name, tuple(sorted(labels.items()))]

    assert value("http_requests_total", route=ROUTE, status="200") == 5
    assert value("http_requests_total", route=ROUTE, status="422") == 1
    assert value("http_refused_total", reason="not_usable") == 1
    assert value("http_refused_total", reason="not_found") == 1
    assert value("http_batch_size_count") == 5
    assert value("http_faces_sum") == 5
    for stage in ("body", "decode", "queue", "network", "total"):
        assert value("http_stage_seconds_count", stage=stage) >= 5
    assert value("http_images") == 0
    assert value("http_ready") == 1
    assert value("frames_total") == 6  # with the warm-up
    assert samples["process_resident_memory_bytes", ()] > 1e6


RIGHT = [
    {"Authorization": f"Bearer {KEYS[1]}"},
    {"X-API-Key": KEYS[0]},
    {"authorization": f"bearer  {KEYS[0]}"},
]
WRONG: list[dict[str, str]] = [
    {},
    {"X-API-Key": ""},
    {"X-API-Key": "wrong"},
    {"X-API-Key": KEYS[0][:-1]},
    {"X-API-Key": "\xff"},
    {"Authorization": KEYS[0]},
    {"Authorization": f"Basic {KEYS[0]}"},
    {"Authorization": "Bearer " + "x" * 5000},
]


@pytest.mark.parametrize("header", RIGHT)
def test_a_right_key(served: Serve, header: dict[str, str]) -> None:
    service = served(keys=KEYS)
    assert service.post(png(1), headers=header).status_code == 200
    assert service.get("/metrics", headers=header).status_code == 200


@pytest.mark.parametrize("header", WRONG)
def test_a_wrong_key(served: Serve, header: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    service = served(keys=KEYS)
    raw = {name: value.encode("latin-1") for name, value in header.items()}
    done = service.post(png(1), headers=raw)
    assert (done.status_code, done.json()["error"]) == (401, "unauthorized")
    assert done.headers["www-authenticate"] == "Bearer"
    for path in ("/v1/models", "/metrics", "/nothing"):
        assert service.get(path, headers=raw).status_code == 401
    for path in ("/", "/healthz", "/readyz", "/openapi.json"):
        assert service.get(path).status_code == 200
    assert not any(key in done.text + caplog.text for key in KEYS)


def test_each_key_has_its_own_limit(served: Serve) -> None:
    service = served(keys=KEYS, per_client=1)
    admission = service.service.admission
    with admission.visit("key 0"):
        assert service.post(png(1), headers={"X-API-Key": KEYS[0]}).status_code == 429
        assert service.post(png(1), headers={"X-API-Key": KEYS[1]}).status_code == 200
    assert service.post(png(1), headers={"X-API-Key": KEYS[0]}).status_code == 200


def test_a_file_of_keys(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("# comment\n\n one \r\ntwo#2\none\n")
    assert read_keys(path) == ("one", "two#2")
    for content in (b"", b"# none\n", b"two words\n", "schlüssel\n".encode(), b"\0\0\0\0"):
        path.write_bytes(content)
        with pytest.raises(UsageError) as found:
            read_keys(path)
        assert "words" not in str(found.value)
    with pytest.raises(UsageError, match="cannot be read"):
        read_keys(tmp_path)


def test_the_document_names_every_status(served: Serve) -> None:
    document = served().get("/openapi.json").json()
    operation = document["paths"][ROUTE]["post"]
    assert {int(status) for status in operation["responses"]} == {200, *MEANINGS} - {404, 405}
    assert operation["responses"]["200"]["content"]["application/json"]["example"]["images"]
    assert {each["name"] for each in operation["parameters"]} == {"conf", "iou", "max_det"}
    assert "image/jpeg" in operation["requestBody"]["content"]
    assert set(document["paths"]) == {ROUTE, "/v1/models", "/healthz", "/readyz", "/metrics"}


def test_every_answer_has_the_policy(served: Serve) -> None:
    service = served()
    for path in ("/", "/nothing", ROUTE, "/metrics"):
        headers = service.get(path).headers
        policy = dict(each.strip().split(" ", 1) for each in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["connect-src"] == "'self'"
        assert "unsafe" not in str(policy)
        assert headers["x-content-type-options"] == "nosniff"


def test_the_page_names_nothing_outside() -> None:
    outside = r"(?:src|href|action)\s*=(?!.data:,)|url\(|@import|https?://"
    assert not re.findall(outside, PAGE)


@pytest.mark.parametrize(
    "options",
    [{"max_bytes": 0}, {"timeout": -1.0}, {"queue": 0}, {"max_pixels": 10**9}, {"drain": float("nan")}],
)
def test_impossible_limits(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(options))):
        ServiceOptions(**options)


def test_a_port_in_use() -> None:
    with bind("127.0.0.1", 0) as listening, pytest.raises(ArgumentError, match=r"port .*: cannot be used"):
        bind("127.0.0.1", listening.getsockname()[1])
    with pytest.raises(ArgumentError, match=r"host .*unknown"):
        bind("no such host", 0)
    with pytest.raises(ArgumentError, match="port"):
        bind("127.0.0.1", 70000)
