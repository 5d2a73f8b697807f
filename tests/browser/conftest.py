"""Chromium, without a window, and a page of each kind."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.pages import write_pages

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


Launch = Callable[..., "Browser"]


@pytest.fixture(scope="module")
def launch() -> Iterator[Launch]:
    """A function that starts the system's Chromium with flags; ``CHROMIUM`` names another one."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install 'trt-mogface[browser]'")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium: run make browsers, or name it in CHROMIUM")
    with playwright.sync_playwright() as driver:
        yield lambda *flags: driver.chromium.launch(executable_path=found, args=flags)


@pytest.fixture(scope="module")
def browser(launch: Launch) -> Iterator[Browser]:
    """Chromium without flags."""
    with launch() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pages, ``bench.html`` and so on."""
    folder = tmp_path_factory.mktemp("pages")
    write_pages(folder)
    return folder
