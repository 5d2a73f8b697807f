"""The dashboard and the alert rules, on a real Prometheus that scrapes a service."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.fakes import WAIT, FakeBackend, in_thread
from tests.support.http_service import Running, png
from tests.support.project import REPOSITORY
from tests.support.serving import in_serving_step
from tests.trt_mogface.serving.http.conftest import Serve
from trt_mogface.serving.http import bind

DEPLOY = REPOSITORY / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


@contextmanager
def prometheus(folder: Path, target: Running) -> Iterator[str]:
    """Prometheus with the configuration of ``deploy``, for a service of a test, and faster; its URL."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed: apt-get install prometheus")
    shutil.copy(DEPLOY / "alerts.yml", folder)
    text = (DEPLOY / "prometheus.yml").read_text()
    changed = text.replace("10s", "500ms").replace("127.0.0.1:8000", f"127.0.0.1:{target.port}")
    assert changed.count("500ms") == 2
    (folder / "prometheus.yml").write_text(changed)
    with bind("127.0.0.1", 0) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}",
    ]
    with open(folder / "log", "w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            deadline = time.monotonic() + WAIT
            while True:
                assert time.monotonic() < deadline, (folder / "log").read_text()[-2000:]
                with suppress(httpx.HTTPError):
                    if get(f"http://{address}/-/ready").is_success:
                        break
                time.sleep(0.1)
            yield f"http://{address}"
        finally:
            process.terminate()


def get(url: str, **query: str) -> httpx.Response:
    return httpx.get(url, params=query, trust_env=False)


def series(url: str, query: str) -> list[Any]:
    found = get(f"{url}/api/v1/query", query=query).json()
    assert found["status"] == "success", (query, found)
    return [each for each in found["data"]["result"] if each["value"][1] != "NaN"]


def make_traffic(service: Running, backend: FakeBackend, seconds: float) -> None:
    """Send good and bad requests, some of which are refused and some too late."""
    admission, end = service.service.admission, time.monotonic() + seconds
    while time.monotonic() < end:
        backend.at_wait = lambda _: time.sleep(0.01)
        with admission.visit("127.0.0.1") as visit:
            visit.add_images(3)
            assert service.post(png(1)).status_code == 429
        others = [in_thread(service.post, png(number)) for number in range(3)]
        service.post(b"no image")
        for other in others:
            other.result(WAIT)
        backend.at_wait = lambda _: time.sleep(0.4)
        assert service.post(png(1)).status_code == 504
        time.sleep(0.5)


@in_serving_step
def test_every_query_returns_a_series(served: Serve, backend: FakeBackend, tmp_path: Path) -> None:
    service = served(batch=4, timeout=0.3, per_client=4, threads=2)
    with prometheus(tmp_path, service) as url:
        make_traffic(service, backend, 6)
        for query in QUERIES:
            assert series(url, query.replace("$__rate_interval", "1m")), query
        (group,) = get(f"{url}/api/v1/rules").json()["data"]["groups"]
        assert len(group["rules"]) == 6
        for rule in group["rules"]:
            assert rule["health"] == "ok", rule
            value, comparisons = re.subn(r" [<>] [0-9.e+]+$", "", rule["query"])
            assert comparisons == 1
            assert series(url, value), value
        assert float(series(url, 'up{job="trt-mogface"}')[0]["value"][1]) == 1
        counted = float(series(url, 'sum(trt_mogface_http_requests_total{status="504"})')[0]["value"][1])
        assert counted >= 3
        service.end()
        service.unanswered.result(WAIT)
        deadline = time.monotonic() + WAIT
        while not series(url, 'ALERTS{alertname="ServiceDown"}'):
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_the_queries_name_metrics_of_the_service(served: Serve) -> None:
    service = served()
    exposed = service.get("/metrics").text
    alerts = re.findall(r"expr: (.*)", (DEPLOY / "alerts.yml").read_text())
    assert len(alerts) == 6
    for query in (*QUERIES, *alerts):
        for name in re.findall(r"\b(?:trt_mogface|process)_\w+", query):
            family = re.sub(r"_(total|bucket|sum|count)$", "", name)
            assert re.search(rf"^# TYPE {family}(_total)? ", exposed, re.MULTILINE), name
