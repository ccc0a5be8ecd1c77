"""The login and the API's description in a real browser, under the policy that its answers carry."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.command import HANG, Command
from tests.conftest import free_port, listening, wait_for
from tests.dashboard.browser import Tab

pytestmark = pytest.mark.browser
TOKEN = "correct horse battery"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A dashboard that needs a token; its address."""
    folder = tmp_path_factory.mktemp("access")
    port = free_port()
    process = Command(folder, STOCKCTL_DASHBOARD__TOKEN=TOKEN).start("dashboard", "--port", str(port), log=folder / "log")
    wait_for(lambda: listening(port) or process.poll() is not None, "the dashboard", HANG)
    assert process.poll() is None, (folder / "log").read_text()
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(HANG)
    assert TOKEN not in (folder / "log").read_text()


def test_a_link_with_the_token_opens_the_view(tab: Callable[..., Tab], address: str) -> None:
    """Its fragment goes through the redirect, and stays out of every address that is sent or kept."""
    one = tab(address)
    one.open(f"/openapi.json?symbol=AAPL#token={TOKEN.replace(' ', '%20')}")
    one.wait("location.pathname === '/openapi.json'", "the view after the login")
    assert one.js("location.search") == "?symbol=AAPL"
    assert any("/login?next=" in request for request in one.requests)
    assert not any("token" in request or "horse" in request for request in one.requests)
    assert one.js("document.cookie") == ""
    assert [cookie["sameSite"] for cookie in one.context.cookies()] == ["Strict"]


def test_the_form_takes_the_token_and_says_what_is_wrong(tab: Callable[..., Tab], address: str) -> None:
    one = tab(address)
    one.open("/docs")
    one.page.fill("#token", "wrong horse battery")
    one.page.keyboard.press("Enter")
    one.wait("document.getElementById('answer').textContent.includes('is not the token')", "the error")
    one.page.fill("#token", TOKEN)
    one.page.keyboard.press("Enter")
    one.page.wait_for_selector("#api .info")
    # The browser writes each answer that is an error into its console.
    one.complaints = [text for text in one.complaints if "401 (Unauthorized)" not in text]


def test_a_link_leads_to_no_other_site(tab: Callable[..., Tab], address: str) -> None:
    one = tab(address)
    one.open(f"/login?next=https%3A%2F%2Fevil.example%2F#token={TOKEN.replace(' ', '%20')}")
    one.expected = ("/api/",)  # this dashboard has no stores
    one.wait("location.pathname === '/'", "the page after the login")


def test_a_link_from_another_site_needs_no_second_login(tab: Callable[..., Tab], address: str) -> None:
    """A Strict cookie is not sent with it; the login, which is of our own site, asks with it."""
    one = tab(address)
    one.open(f"/#token={TOKEN.replace(' ', '%20')}")
    one.expected = ("/api/",)  # this dashboard has no stores
    one.wait("location.pathname === '/'", "the page")
    other = one.context.new_page()
    other.goto(f"data:text/html,<a href='{address}/docs'>a link</a>")
    other.click("a")
    other.wait_for_selector("#api .info .title")


def test_the_description_of_the_api_is_drawn_from_our_own_files(tab: Callable[..., Tab], address: str) -> None:
    one = tab(address)
    one.open(f"/docs#token={TOKEN.replace(' ', '%20')}")
    one.page.wait_for_selector("#api .info .title")
    assert "stockctl dashboard" in one.page.inner_text("#api .info .title")
    assert one.js("getComputedStyle(document.querySelector('#api .info .title')).fontWeight") in ("700", "bold")
