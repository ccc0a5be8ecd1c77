"""The check of the REST API: the key is taken, refused or absent; and no other address gets it."""

from __future__ import annotations

from stockctl.check_runner import run
from stockctl.filings.health import checks
from stockctl.settings import load_settings
from tests.command import clean_environment
from tests.conftest import free_port
from tests.filings.fetching import simulator


def probed(**finnhub: str) -> tuple[str, str, str | None]:
    """State, words and fix of the one check there is."""
    settings = load_settings(
        environ=clean_environment(), flags={f"finnhub.{name}": value for name, value in finnhub.items()}, stack=False
    )
    ((_, finding),) = run(checks(settings))
    return finding.state, finding.detail, finding.fix


def test_a_key_that_is_taken_and_one_that_is_not() -> None:
    with simulator(token="right") as sim:
        addresses = {"url": sim.url, "rest_url": sim.rest_url}
        assert probed(**addresses, token="right")[0] == "ok"
        state, words, fix = probed(**addresses, token="wrong")
        assert (state, "refuses the key" in words, "STOCKCTL_FINNHUB__TOKEN" in str(fix)) == ("fail", True, True)
        assert sim.counters.requests == 1
    assert "cannot reach" in probed(url="ws://127.0.0.1:1", rest_url=f"http://127.0.0.1:{free_port()}")[1]


def test_the_real_address_without_a_key_names_the_setting() -> None:
    state, words, fix = probed(rest_url="https://finnhub.io/api/v1", url="wss://ws.finnhub.io")
    assert (state, "finnhub.token is not set" in words, "STOCKCTL_FINNHUB__TOKEN" in str(fix)) == ("fail", True, True)


def test_a_simulators_key_is_not_shown_to_finnhub() -> None:
    settings = load_settings(
        environ=clean_environment(), flags={"finnhub.url": "ws://127.0.0.1:1", "finnhub.token": "x"}, stack=False
    )
    assert checks(settings) == []
