"""A real browser for the tests of the page: Debian's Chromium, driven by Playwright, with all that it asked and complained."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, CDPSession, ConsoleMessage, Error, Page, Request, sync_playwright

from tests.command import HANG
from tests.conftest import wait_for

PLACES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    # Root, as in a container, may start no sandbox.
    "--no-sandbox",
    # A container's /dev/shm is small.
    "--disable-dev-shm-usage",
    # No services of its maker: requests go to the page's own origin or are a finding.
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running Chromium. Where there is none, the test fails: a page that was not looked at is not tested."""
    program = next(filter(None, map(shutil.which, PLACES)), None)
    if program is None:
        pytest.fail("the page is tested in Chromium, and there is none: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A page of the dashboard at ``address``, in a session of its own, and what went on in it.

    ``complaints`` are errors and warnings of the console, and exceptions of scripts; ``requests`` all addresses that it asked;
    a complaint that has one of ``expected`` is no fault; ``frames`` the events that came by its stream.
    """

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        self.address = address
        self.context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(HANG * 1000)
        self.complaints: list[str] = []
        self.expected: tuple[str, ...] = ()
        self.requests: list[str] = []
        self.frames: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        self.page.on("request", self._request)
        self.tools: CDPSession = self.context.new_cdp_session(self.page)
        self.tools.send("Network.enable")
        self.tools.send("Performance.enable")
        self.tools.on("Network.eventSourceMessageReceived", lambda message: self.frames.append(str(message["eventName"])))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            self.complaints.append(f"{message.type}: {message.text} ({message.location.get('url', '')})")

    def _request(self, request: Request) -> None:
        self.requests.append(request.url)

    def open(self, path: str = "/") -> None:
        """Go to ``path``, and wait until the document and its scripts are there."""
        self.page.goto(self.address + path, wait_until="domcontentloaded")

    def js(self, expression: str, argument: Any = None) -> Any:
        """The value of a JavaScript expression or function."""
        return self.page.evaluate(expression, argument)

    def wait(self, expression: str, what: str, argument: Any = None) -> Any:
        """Wait until a JavaScript expression is true; its value. Playwright's own wait is an eval, which CSP refuses."""
        found: list[Any] = [None]

        def look() -> bool:
            try:
                found[0] = self.js(expression, argument)
            except Error as error:
                if "because of a navigation" not in error.message:
                    raise
                found[0] = None
            # Playwright handles what came from the browser only in its own calls.
            self.page.wait_for_timeout(20)
            return bool(found[0])

        wait_for(look, f"{what}; the console says {self.complaints}", HANG)
        return found[0]

    def wait_frames(self, count: int, kind: str = "view") -> None:
        """Wait until ``count`` more events of ``kind`` came by the stream."""
        last = self.frames.count(kind) + count

        def come() -> bool:
            self.page.wait_for_timeout(20)
            return self.frames.count(kind) >= last

        wait_for(come, f"{count} events {kind}", HANG)

    def foreign(self) -> list[str]:
        """Requests to other origins than the page's own."""
        own = urlsplit(self.address)
        others = (one for one in self.requests if not one.startswith(("data:", "blob:")))
        return [one for one in others if (urlsplit(one).scheme, urlsplit(one).netloc) != (own.scheme, own.netloc)]

    def heap(self) -> dict[str, int]:
        """After garbage is collected: bytes of the JavaScript heap (``heap``), ``nodes`` and ``listeners`` of the document."""
        for _ in range(2):  # what a finalizer lets go is collected by the second
            self.tools.send("HeapProfiler.collectGarbage")
        metrics = {one["name"]: int(one["value"]) for one in self.tools.send("Performance.getMetrics")["metrics"]}
        return {"heap": metrics["JSHeapUsedSize"], "nodes": metrics["Nodes"], "listeners": metrics["JSEventListeners"]}

    def close(self) -> None:
        """Close it, and fail if it complained of anything or asked another origin."""
        self.context.close()
        assert [text for text in self.complaints if not any(part in text for part in self.expected)] == []
        assert self.foreign() == []
