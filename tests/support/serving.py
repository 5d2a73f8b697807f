"""Tests of the service that take long, or need other servers: the step ``make serving``."""

from __future__ import annotations

import os

import pytest

LONG = bool(os.environ.get("MOGFACE_TEST_SERVING"))

in_serving_step = pytest.mark.skipif(not LONG, reason="set MOGFACE_TEST_SERVING=1, or run make serving")
