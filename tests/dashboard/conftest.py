"""A browser and a pipeline for the tests of the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import MongoServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.dashboard.browser import Tab
    from tests.dashboard.pipeline import Pipeline


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, for all tests of a worker."""
    from tests.dashboard.browser import chromium

    with chromium() as running:
        yield running


@pytest.fixture
def tab(browser: Browser) -> Iterator[Callable[..., Tab]]:
    """Opens tabs; with the test each is closed, and must not have complained or asked another origin."""
    from tests.dashboard.browser import Tab

    tabs: list[Tab] = []

    def opened(address: str, **options: Any) -> Tab:
        tabs.append(Tab(browser, address, **options))
        return tabs[-1]

    yield opened
    for one in tabs:
        one.close()


@pytest.fixture(scope="module")
def pipeline(broker: str, mongo_server: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A pipeline whose simulator trades."""
    from tests.dashboard.pipeline import Pipeline

    running = Pipeline(broker, mongo_server, tmp_path_factory.mktemp("pipeline"))
    try:
        running.start_all()
        yield running
    finally:
        running.end_all()
