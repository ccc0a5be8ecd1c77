"""The session with the feed, against the simulator's real sockets: subscribing, silence, reconnects, refusals, keys in use."""

from __future__ import annotations

import json
import logging
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.errors import RefusedError
from stockctl.feed import websocket_session as session
from stockctl.feed.decoder import Decoder
from stockctl.feed.websocket_session import Backoff, FeedSession, ReceivedFrame, SessionItem
from stockctl.records import FeedEvent, Trade
from stockctl.settings import load_settings
from stockctl.sim import Simulator, numbered_rows
from tests.command import HANG, clean_environment
from tests.conftest import free_port


@pytest.fixture
def sim() -> Iterator[Simulator]:
    """A simulator that sends only what a test sends."""
    with Simulator(rate=0, ping_interval=30) as running:
        yield running


class Listener:
    """A session whose items are read one by one until a condition holds."""

    def __init__(self, url: str, *symbols: str, **finnhub: Any) -> None:
        flags = {"finnhub.url": url} | {f"finnhub.{name}": value for name, value in finnhub.items()}
        settings = load_settings(environ=clean_environment(), flags=flags)
        self.stop = threading.Event()
        self.session = FeedSession(settings, symbols or ("AAPL", "MSFT"), Decoder("sim"), self.stop)
        self._run = self.session.run()
        self.happenings: list[SessionItem] = []

    @property
    def events(self) -> list[FeedEvent]:
        return [item for item in self.happenings if isinstance(item, FeedEvent)]

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    @property
    def trades(self) -> list[Trade]:
        return [trade for item in self.happenings if isinstance(item, ReceivedFrame) for trade in item.frame.trades]

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + HANG
        while not condition():
            assert time.monotonic() < deadline, f"timed out; so far {self.events}"
            self.happenings.append(next(self._run))

    def connected(self, times: int = 1) -> None:
        self.until(lambda: self.kinds.count("subscribed") == times)

    def leave(self) -> None:
        self.stop.set()
        self.happenings += list(self._run)


def test_a_session_subscribes_receives_and_leaves(sim: Simulator) -> None:
    listener = Listener(sim.url, "AAPL", "MSFT", "AAPL")
    listener.connected()
    sim.wait_for(lambda counters: counters.subscribed == ["AAPL", "MSFT"])
    sim.send_rows(numbered_rows(25))
    listener.until(lambda: len(listener.trades) == 25)
    listener.leave()
    assert [trade.volume for trade in listener.trades] == list(range(1, 26))
    assert listener.kinds == ["connected", "subscribed", "disconnected"]
    assert {event.symbols for event in listener.events} == {"AAPL,MSFT"}
    assert len({event.id for event in listener.events}) == 3
    assert {event.connection for event in listener.events} == {listener.trades[0].id.split("-")[2]}
    last = listener.events[-1]
    assert last.reason == "stopped"
    assert last.span_start == listener.trades[-1].ts_recv + 1 <= last.span_end
    sim.wait_for(lambda counters: counters.open == 0)


def test_a_dropped_connection_is_made_again_with_rows_counted_from_0(sim: Simulator) -> None:
    listener = Listener(sim.url)
    for times in (1, 2):
        listener.connected(times)
        sim.wait_for(lambda counters: counters.open == 1 and len(counters.subscribed) == 2)
        sim.send_rows(numbered_rows(1))
        listener.until(lambda times=times: len(listener.trades) == times)  # type: ignore[misc]  # mypy infers no default's type
        sim.drop()
    listener.until(lambda: listener.kinds.count("disconnected") == 2)
    listener.leave()
    first, second = (trade.id.split("-") for trade in listener.trades)
    assert first[2] != second[2]
    assert first[3] == second[3] == "00000000"
    assert "ended the connection" in listener.events[2].reason


def test_receipt_times_never_go_back_though_the_clock_does(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that was set back by less than counts as set: what comes then has the time of what came before."""
    listener = Listener(sim.url)
    listener.connected()
    sim.wait_for(lambda counters: len(counters.subscribed) == 2)
    sim.send_rows(numbered_rows(1))
    listener.until(lambda: len(listener.trades) == 1)
    back = listener.trades[0].ts_recv - 300
    # It stands still there, for however long this machine takes, and that is no jump.
    monkeypatch.setattr(session, "JUMP", math.inf)
    monkeypatch.setattr(session, "now_ms", lambda: back)
    sim.send_rows(numbered_rows(1))
    listener.until(lambda: len(listener.trades) == 2)
    listener.leave()
    first, second = (trade.ts_recv for trade in listener.trades)
    assert first <= second
    assert listener.kinds == ["connected", "subscribed", "disconnected"]
    assert second < listener.events[-1].span_start <= listener.events[-1].span_end


def test_total_silence_ends_the_connection_and_another_is_made(sim: Simulator) -> None:
    listener = Listener(sim.url, silence_timeout="0.5s")
    listener.connected()
    sim.go_silent()
    listener.until(lambda: listener.kinds.count("subscribed") == 2)
    assert listener.kinds[:4] == ["connected", "subscribed", "silent", "disconnected"]
    silent = listener.events[2]
    assert silent.reason.startswith("feed silent: no frame for ")
    assert silent.span_end - silent.span_start >= 499
    listener.leave()


def test_pings_alone_are_no_silence() -> None:
    """Four a second for longer than the time-out; for a longer one, where the machine stood still for as long as the first."""
    for silence in (1, 4, 16):
        with Simulator(rate=0, ping_interval=0.25) as sim:
            listener = Listener(sim.url, silence_timeout=f"{silence}s")
            listener.connected()
            pings = 4 * silence + 4
            listener.until(lambda: sum(isinstance(one, ReceivedFrame) for one in listener.happenings) > pings)  # noqa: B023  # of this turn
            listener.leave()
        if "silent" not in listener.kinds:
            return
    pytest.fail("silent, whatever the time-out")


def test_symbols_over_the_limit_are_warned_of_and_the_refused_ones_named(caplog: pytest.LogCaptureFixture) -> None:
    with Simulator(rate=0, symbol_limit=2) as sim:
        listener = Listener(sim.url, "AAPL", "MSFT", "NVDA", "TSLA", symbol_limit=3)
        listener.until(lambda: listener.kinds.count("refused") == 2)
        listener.leave()
    refused = [(event.symbols, event.reason) for event in listener.events if event.kind == "refused"]
    assert refused == [("TSLA", "Subscribing to too many symbols"), ("NVDA", "Subscribing to too many symbols")]
    assert "4 symbols exceed the 3 that the plan allows" in caplog.text
    assert "the feed refuses TSLA" in caplog.text


def test_an_invalid_symbol_is_named(sim: Simulator) -> None:
    listener = Listener(sim.url, "AAPL", "FX:EURUSD", "MSFT")
    listener.until(lambda: "refused" in listener.kinds)
    listener.leave()
    assert [event.symbols for event in listener.events if event.kind == "refused"] == ["FX:EURUSD"]


def test_other_errors_of_the_feed_are_logged_once(sim: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    listener = Listener(sim.url)
    listener.connected()
    for _ in range(3):
        sim.send_raw('{"type":"error","msg":"the moon is full"}')
    listener.until(lambda: sum(isinstance(item, ReceivedFrame) for item in listener.happenings) == 3)
    listener.leave()
    assert caplog.text.count("error from the feed: the moon is full") == 1
    assert "refused" not in listener.kinds


def test_a_malformed_frame_is_a_dead_letter_and_the_connection_stays(sim: Simulator) -> None:
    listener = Listener(sim.url)
    listener.connected()
    sim.send_malformed()
    sim.send_rows(numbered_rows(2))
    listener.until(lambda: len(listener.trades) == 2)
    listener.leave()
    frames = [item.frame for item in listener.happenings if isinstance(item, ReceivedFrame)]
    assert [len(frame.dead_letters) for frame in frames] == [1, 0]
    assert listener.kinds.count("connected") == 1


def test_two_sessions_with_one_key_learn_that_it_is_in_use_elsewhere(sim: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    one, other = Listener(sim.url), Listener(sim.url)
    for turn in (1, 2):
        one.connected(turn)
        sim.wait_for(lambda counters: len(counters.subscribed) == 2)
        other.connected(turn)
        one.until(lambda turn=turn: one.kinds.count("disconnected") == turn)  # type: ignore[misc]  # mypy infers no default's type
    assert "key in use elsewhere" in (one.session.trouble or "")
    assert "key in use elsewhere: the feed closes the connection soon after each subscription" in caplog.text
    one.leave()
    other.leave()


def test_http_429_is_tried_again_and_reported_as_a_key_in_use(sim: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    sim.refuse(429, 2)
    listener = Listener(sim.url)
    listener.until(lambda: caplog.text.count("HTTP 429") == 2)
    assert "in use elsewhere" in (listener.session.trouble or "")
    listener.connected()
    assert listener.session.trouble is None
    listener.leave()
    assert listener.kinds == ["refused", "connected", "subscribed", "disconnected"]
    assert "HTTP 429" in listener.events[0].reason


def test_a_wrong_key_ends_the_session() -> None:
    with Simulator(token="the right one") as sim:
        listener = Listener(sim.url, token="the wrong one")
        with pytest.raises(RefusedError, match="refuses the key"):
            listener.connected()


def test_an_absent_feed_is_tried_again_until_it_is_there(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    listener = Listener(f"ws://127.0.0.1:{port}", backoff_max="0.3s")
    listener.until(lambda: caplog.text.count("Connection refused") == 2)
    assert "not connected to the feed yet" in (listener.session.trouble or "")
    with Simulator(rate=0, port=port):
        listener.connected()
        listener.leave()
    assert listener.session.connections == 1


def test_the_signal_to_stop_ends_a_pause_at_once() -> None:
    listener = Listener(f"ws://127.0.0.1:{free_port()}", backoff_max="1h")
    listener.until(lambda: listener.session.last_error)
    listener.session._backoff._failures, first = 20, listener.session.last_error
    listener.until(lambda: listener.session.last_error is not first)  # before, the pause was a short one
    listener.until(lambda: listener.happenings[-3:] == [None] * 3)
    before = len(listener.happenings)
    listener.leave()
    assert len(listener.happenings) == before


def test_the_signal_to_stop_ends_an_attempt_that_hangs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        listener = Listener(f"ws://127.0.0.1:{mute.getsockname()[1]}", connect_timeout="1h")
        listener.until(lambda: len(listener.happenings) == 2)
        listener.leave()
        (attempt,) = [thread for thread in threading.enumerate() if thread.name == "connect"]
        assert attempt.is_alive()
    attempt.join(HANG)
    assert listener.kinds == []


def test_no_error_and_no_log_line_holds_the_key(sim: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    key = "c0ffee+c0ffee/c0ffee"
    with caplog.at_level(logging.DEBUG):
        listener = Listener(sim.url, token=key)
        sim.refuse(429)
        listener.connected()
        sim.send_raw(json.dumps({"type": "error", "msg": f"the key {key} is in use"}))
        listener.until(lambda: "is in use" in caplog.text)
        sim.drop()
        listener.until(lambda: "disconnected" in listener.kinds)
        listener.leave()
    output = caplog.text + repr(listener.events) + repr(listener.session.last_error)
    assert "c0ffee" not in output


@given(st.floats(0.1, 300), st.integers(1, 40))
def test_pauses_double_up_to_the_longest_and_start_short_again(longest: float, attempts: int) -> None:
    backoff = Backoff(longest)
    pauses = [backoff.next() for _ in range(attempts)]
    for attempt, pause in enumerate(pauses):
        whole = min(longest, 0.5 * 2**attempt)
        assert whole / 2 <= pause <= whole
    backoff.reset()
    assert backoff.next() <= min(longest, 0.5)
