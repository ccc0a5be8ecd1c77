"""The server: subscriptions, frames, errors, pings, one connection per key, faults."""

from __future__ import annotations

import json

import pytest
import websocket

from stockctl.errors import StockctlError, TimedOutError
from stockctl.sim import Simulator, numbered_rows
from stockctl.sim.server import FeedServer
from tests.command import HANG
from tests.sim.conftest import Connect

SYMBOLS = [f"{a}{b}" for a in "ABCDEFGH" for b in "ABCDEFGH"]


def test_a_subscription_is_not_acknowledged_and_brings_its_symbol_alone(connect: Connect) -> None:
    """The first text is a trade frame."""
    with Simulator(rate=500, symbols=["AAPL", "MSFT", "NVDA"]) as sim:
        client = connect(sim, "AAPL", "NVDA")
        connect(sim, "MSFT", token="another")
        assert {row["s"] for row in client.rows(200)} == {"AAPL", "NVDA"}


def test_frames_mix_symbols_and_hold_at_most_ten(connect: Connect) -> None:
    """Stocks and crypto alike, in one frame."""
    with Simulator(rate=1000) as sim:
        client = connect(sim, "AAPL", "MSFT", "BINANCE:BTCUSDT")
        frames = [client.frame() for _ in range(50)]
    assert max(len(frame["data"]) for frame in frames) == 10
    assert any({"AAPL", "BINANCE:BTCUSDT"} <= {row["s"] for row in frame["data"]} for frame in frames)


def test_unsubscribing_stops_a_symbol(connect: Connect) -> None:
    """From then on only the other one comes."""
    with Simulator(rate=500) as sim:
        client = connect(sim, "AAPL", "MSFT")
        client.rows(20)
        client.ask("unsubscribe", "AAPL")
        sim.wait_for(lambda counters: counters.subscribed == ["MSFT"])
        before = sim.rows_sent
        client.rows(before)  # whatever was on its way
        client.rows(50)
        assert {row["s"] for row in client.rows(100)} == {"MSFT"}


def test_the_symbol_over_the_limit_is_an_error_and_a_slot_comes_free(connect: Connect) -> None:
    """The error names no symbol, the connection stays, unsubscribing frees a slot."""
    with Simulator(rate=0, symbol_limit=2) as sim:
        client = connect(sim, "AAPL", "MSFT")
        client.ask("subscribe", "AAPL", "NVDA")
        assert client.text() == '{"msg":"Subscribing to too many symbols","type":"error"}'
        client.ask("unsubscribe", "MSFT")
        client.ask("subscribe", "NVDA")
        sim.wait_for(lambda counters: counters.subscribed == ["AAPL", "NVDA"])
        assert sim.counters.errors == 1


def test_fifty_symbols_are_the_default(connect: Connect) -> None:
    """The 51st is one too many."""
    with Simulator(rate=0) as sim:
        client = connect(sim, *SYMBOLS[:50])
        client.ask("subscribe", SYMBOLS[50])
        assert "too many" in client.text()
        assert len(sim.counters.subscribed) == 50


def test_an_invalid_symbol_is_an_error_and_an_unknown_ticker_is_silence(connect: Connect) -> None:
    """As captured: a venue that doesn't know its symbol says so, a ticker that nobody knows says nothing."""
    with Simulator(rate=200, symbols=["AAPL", "BINANCE:BTCUSDT"]) as sim:
        client = connect(sim, "NOSUCH")
        client.ask("subscribe", "FX:EURUSD")
        assert client.text() == '{"msg":"Invalid symbol FX:EURUSD","type":"error"}'
        client.ask("subscribe", "BINANCE:NOSUCH")
        assert "BINANCE:NOSUCH" in client.text()
        assert sim.counters.subscribed == ["NOSUCH"]
        client.ask("subscribe", "AAPL")
        assert {row["s"] for row in client.rows(20)} == {"AAPL"}


def test_nonsense_from_a_client_is_ignored(connect: Connect) -> None:
    """The connection stays as it is."""
    with Simulator(rate=0) as sim:
        client = connect(sim, "AAPL")
        client.socket.send("hello")
        client.socket.send('{"type":"subscribe"}')
        client.socket.send_binary(b"\xff\x00")
        sim.send_rows(numbered_rows(1))
        assert len(client.rows(1)) == 1
        assert sim.counters.errors == 0


def test_pings_come_without_trades_and_need_no_answer(connect: Connect) -> None:
    """As text frames; outside hours they are the only traffic."""
    with Simulator(rate=0, ping_interval=0.05) as sim:
        client = connect(sim, "AAPL")
        assert [client.text() for _ in range(3)] == ['{"type":"ping"}'] * 3
        assert sim.counters.pings >= 3
        assert sim.counters.frames == 0


def test_a_second_connection_with_the_same_key_drops_the_first(connect: Connect) -> None:
    """Without a goodbye; another key does no harm."""
    with Simulator(rate=0) as sim:
        first, other = connect(sim, "AAPL"), connect(sim, "AAPL", token="other")
        second = connect(sim, "AAPL")
        assert first.ended()
        assert sim.wait_for(lambda counters: counters.open == 2).connections == 3
        sim.send_rows(numbered_rows(1))
        assert len(second.rows(1)) == len(other.rows(1)) == 1


def test_rows_sent_on_order_arrive_as_they_are_ten_a_frame(connect: Connect) -> None:
    """So that a test knows exactly what was sent; even rows that are no trades."""
    with Simulator(rate=0, record=True) as sim:
        client = connect(sim, "AAPL")
        assert sim.send_rows(numbered_rows(25)) == 3
        frames = [client.text() for _ in range(3)]
        assert [len(json.loads(frame)["data"]) for frame in frames] == [10, 10, 5]
        assert [row["v"] for frame in frames for row in json.loads(frame)["data"]] == list(range(1, 26))
        assert sim.sent == frames
        sim.send_rows([{"p": None, "s": "AAPL"}])
        assert client.text() == '{"data":[{"p":null,"s":"AAPL"}],"type":"trade"}'
        sim.send_raw("hello")
        assert client.text() == "hello"
        assert (sim.counters.frames, sim.rows_sent) == (4, 26)


def test_a_drop_comes_after_what_was_sent_and_without_a_goodbye(connect: Connect) -> None:
    """All rows counted as sent arrive; then the connection ends."""
    with Simulator(rate=0) as sim:
        client = connect(sim, "AAPL")
        sim.send_rows(numbered_rows(2000))
        sim.drop()
        assert [row["v"] for row in client.rows(2000)] == list(range(1, 2001))
        assert client.ended()
        assert sim.counters.open == 0


def test_a_silent_connection_stays_open_and_sends_nothing(connect: Connect) -> None:
    """No rows, no pings, no answer to a protocol ping; a new connection works; after resume the old one does again."""
    with Simulator(rate=0, ping_interval=0.05) as sim:
        client = connect(sim, "AAPL")
        assert json.loads(client.text())["type"] == "ping"
        sim.go_silent()
        sent = sim.counters.pings
        for _ in range(1, sent):
            client.text()  # what was on its way
        client.socket.settimeout(0.3)
        with pytest.raises(websocket.WebSocketTimeoutException):
            client.text()
        client.socket.ping()
        with pytest.raises(websocket.WebSocketTimeoutException):
            client.socket.recv_data(control_frame=True)
        other = connect(sim, "AAPL", token="other")
        sim.send_rows(numbered_rows(1))
        while json.loads(text := other.text())["type"] == "ping":
            pass
        assert json.loads(text)["data"][0]["v"] == 1
        sim.resume()
        sim.send_rows(numbered_rows(1, first=7))
        client.socket.settimeout(HANG)
        seen, ponged = [], False
        while 7 not in seen or not ponged:
            kind, data = client.socket.recv_data(control_frame=True)
            ponged |= kind == websocket.ABNF.OPCODE_PONG
            if kind == websocket.ABNF.OPCODE_TEXT:
                seen += [row["v"] for row in json.loads(data).get("data", ())]
        assert seen == [7]


def test_a_silence_may_end_by_itself(connect: Connect) -> None:
    """After its span rows come again."""
    with Simulator(rate=200) as sim:
        client = connect(sim, "AAPL")
        client.rows(5)
        sim.go_silent(0.5)
        before = sim.rows_sent
        client.rows(before)
        assert sim.rows_sent > before


def test_the_next_frame_comes_three_times_and_only_that_one(connect: Connect) -> None:
    """As a server fault once did."""
    with Simulator(rate=0) as sim:
        client = connect(sim, "AAPL")
        sim.repeat_next(times=3)
        sim.send_rows(numbered_rows(20))
        frames = [client.text() for _ in range(4)]
        assert frames[0] == frames[1] == frames[2] != frames[3]
        assert sim.rows_sent == 40


def test_scheduled_faults_come_after_their_frames(connect: Connect) -> None:
    """The third frame is sent thrice, and after the fifth the connection ends: the rest is lost."""
    with Simulator(rate=0, faults=["drop@5frames", "triple@2frames"]) as sim:
        client = connect(sim, "AAPL")
        sim.send_rows(numbered_rows(100))
        assert [row["v"] for row in client.rows(50)] == [*range(1, 21), *range(21, 31), *range(21, 31), *range(21, 31)]
        assert client.ended()
        assert sim.rows_sent == 50


def test_scheduled_faults_come_at_their_time(connect: Connect) -> None:
    """Counted from the start of the simulator; one without a connection to act on does nothing."""
    with Simulator(rate=0, faults=["drop@0s", *[f"malformed@{second / 2}s" for second in range(1, 120)]]) as sim:
        client = connect(sim, "AAPL")
        with pytest.raises(json.JSONDecodeError):
            client.frame()


def test_acts_on_a_connection_need_one() -> None:
    """Nothing is lost in silence because a test forgot to wait."""
    with Simulator(rate=0) as sim:
        for act in (sim.drop, sim.go_silent, sim.repeat_next, sim.send_malformed, lambda: sim.send_rows(numbered_rows(1))):
            with pytest.raises(StockctlError, match="no connection is open"):
                act()


def test_a_client_that_does_not_read_is_dropped(connect: Connect) -> None:
    """Before the simulator's memory fills up."""
    with Simulator(rate=0) as sim:
        connect(sim, "AAPL")
        text = json.dumps("x" * 1_000_000)
        for _ in range(60):
            if not sim.counters.open:
                break
            sim.send_raw(text)
        assert sim.wait_for(lambda counters: counters.open == 0).connections == 1


def test_a_wait_times_out_and_a_faulty_condition_hurts_the_waiter_alone() -> None:
    """TimedOutError has the counters; what a condition raises reaches the one who waits."""
    with Simulator(rate=0) as sim:
        with pytest.raises(TimedOutError, match=r"did not get there within 0\.2 s: .*connections=0"):
            sim.wait_for(lambda counters: counters.connections > 0, timeout=0.2)
        with pytest.raises(ZeroDivisionError):
            sim.wait_for(lambda counters: 1 / counters.rows > 0)
        assert sim.counters.connections == 0


def test_a_server_that_never_started_closes() -> None:
    """Nothing to close is no error."""
    import asyncio

    async def close() -> None:
        await FeedServer().close()

    asyncio.run(close())
