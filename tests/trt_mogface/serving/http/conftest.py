"""A service with a backend that finds the numbers of its images, when it is let through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.fakes import FakeBackend, Gate
from tests.support.http_service import Running, running
from trt_mogface.runner import Runner
from trt_mogface.serving.http import ServiceOptions

Serve = Callable[..., Running]


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def served(backend: FakeBackend) -> Iterator[Serve]:
    """A function that starts a service of `backend`, with options of the service, batch and slots."""
    with ExitStack() as stack:

        def start(*, batch: int = 1, slots: int = 1, at_once: int = 1, **options: Any) -> Running:
            runner = Runner(backend, batch=batch, slots=slots)
            limits = ServiceOptions(**{"threads": 2, **options})
            started = stack.enter_context(running(runner, limits, at_once))
            backend.all_submitted()  # of the warm-up
            return started

        yield start


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate at which batches wait, once a test has set it as ``backend.at_wait``."""
    gate = Gate()
    yield gate
    gate.open()
