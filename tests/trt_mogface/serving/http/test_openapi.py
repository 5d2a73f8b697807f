"""Schemathesis sends requests from the OpenAPI document, and holds the answers against it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings

from tests.support.fakes import echo_network
from tests.support.http_service import ROUTE, Running, running
from tests.support.serving import LONG
from trt_mogface.runner import Runner
from trt_mogface.serving.http import ServiceOptions

schemathesis = pytest.importorskip("schemathesis", reason="pip install schemathesis")


def test_the_service_does_what_its_document_says(tmp_path: Path) -> None:
    runner = Runner(echo_network(tmp_path / "echo.onnx"), batch=4)
    with running(runner, ServiceOptions(threads=2)) as service:
        check(service)


def check(service: Running) -> None:
    schema = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    examples = settings(
        max_examples=400 if LONG else 4,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    # A document cannot say which bytes are an image.
    cannot_hold = pytest.importorskip("schemathesis.specs.openapi.checks").positive_data_acceptance
    tried = []
    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            if mode == schemathesis.GenerationMode.NEGATIVE and operation.path != ROUTE:
                continue  # there is nothing to get wrong

            @seed(19)
            @examples
            @given(case=operation.as_strategy(generation_mode=mode))
            def answers(case: Any) -> None:
                case.call_and_validate(excluded_checks=[cannot_hold])

            answers()
        tried.append(operation.path)
    assert ROUTE in tried
    assert len(tried) == 5
