"""LiveSource rows and replay."""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from datetime import date
from pathlib import Path

from stockctl.exchange.calendar import session_at, sessions_of
from stockctl.sim import Simulator
from stockctl.sim.trade_source import in_real_hours
from tests.sim.conftest import Connect

SAMPLE = [
    '{"data":[{"c":["1","12"],"p":164.0601,"s":"AAPL","t":1680286537580,"v":5}],"type":"trade"}',
    '{"type":"ping"}',
    "{broken",
    '{"type":"trade","data":[{"s":"BINANCE:BTCUSDT","p":7296.89,"t":1575526691134,"v":0.011467}]}',
]


def test_the_same_seed_gives_the_same_rows_in_the_same_order(connect: Connect) -> None:
    """Times are the clock's, everything else the seed's."""
    seen = []
    for seed in (5, 5, 6):
        with Simulator(rate=1000, seed=seed) as sim:
            rows = connect(sim, "AAPL", "BINANCE:BTCUSDT", "MSFT").rows(300)[:300]
        seen.append([(row["s"], row["p"], row["v"]) for row in rows])
    assert seen[0] == seen[1] != seen[2]


def test_rows_are_of_now_without_codes_of_extended_hours(connect: Connect) -> None:
    """Never of the future, nor of the time before; the market of the simulator never closes."""
    began = time.time() * 1000
    with Simulator(rate=200) as sim:
        client = connect(sim, "AAPL")
        for _ in range(20):
            rows, now = client.rows(1), time.time() * 1000
            for row in rows:
                assert began - 1 < row["t"] <= now
                assert not {"24", "15", "16", "20"} & set(row["c"])


def test_the_rate_holds_on_average(connect: Connect) -> None:
    """Bursts come and go: within a factor of two over whole seconds, each of which is laid out before it comes."""
    with Simulator(rate=1000) as sim:
        rows = connect(sim, "AAPL", "MSFT").rows(3000)
    seconds = list(Counter(row["t"] // 1000 for row in rows).values())[1:-1]
    assert 500 < statistics.mean(seconds) < 2000


def test_a_thin_market_sends_frames_that_are_not_full(connect: Connect) -> None:
    """About each second, whatever there is."""
    began = time.time() * 1000
    with Simulator(rate=4) as sim:
        client = connect(sim, "AAPL")
        frame = client.frame()
        assert 1 <= len(frame["data"]) < 10
        assert began - 1 < frame["data"][0]["t"] <= time.time() * 1000


def test_the_rate_can_change_while_it_runs(connect: Connect) -> None:
    """0 is a closed market: pings alone; then trades again."""
    with Simulator(rate=0, ping_interval=0.1) as sim:
        client = connect(sim, "AAPL")
        assert client.text() == '{"type":"ping"}'
        sim.set_rate(500)
        sim.wait_for(lambda counters: counters.rows > 20)
        sim.set_rate(0)
        quiet = sim.counters
        sim.wait_for(lambda counters: counters.pings >= quiet.pings + 15)
        end = sim.rows_sent
        sim.wait_for(lambda counters: counters.pings >= quiet.pings + 20)
        assert sim.rows_sent == end


def test_in_real_hours_stocks_follow_the_exchange_and_crypto_never_stops(connect: Connect) -> None:
    """Whatever the time of the day is now."""
    with Simulator(rate=1000, real_hours=True) as sim:
        rows = connect(sim, "AAPL", "BINANCE:BTCUSDT").rows(30)
    stocks = [row for row in rows if row["s"] == "AAPL"]
    assert all(session_at(row["t"]) is not None for row in stocks)
    assert any(row["s"] == "BINANCE:BTCUSDT" for row in rows)


def test_outside_hours_stocks_sleep_and_within_them_all_follow_the_day() -> None:
    """In the middle of the regular session, at its open, before hours, at night and at the weekend."""
    symbols = ("AAPL", "MSFT", "BINANCE:BTCUSDT", "OANDA:EUR_USD")
    pre, regular, post = sessions_of(date(2026, 11, 20))
    noon = (regular.since + regular.until) // 2
    assert in_real_hours(symbols, noon)[0] == in_real_hours(symbols, pre.since)[0] == symbols
    assert in_real_hours(symbols, pre.since)[1] < 0.1 < in_real_hours(symbols, noon)[1] < 1
    assert in_real_hours(symbols, regular.since)[1] > 1.5
    assert in_real_hours(symbols, pre.since - 1) == (symbols[2:], 0.5)
    for closed in (post.until, post.until + 86_400_000):
        assert in_real_hours(symbols, closed) == (symbols[2:3], 0.25), "currencies sleep from Friday 17:00 on"
        assert in_real_hours(("AAPL",), closed) == ((), 0)


def test_captured_frames_are_replayed_as_they_are(connect: Connect, tmp_path: Path) -> None:
    """Byte for byte, broken lines too, to whatever is subscribed; at the end only pings are left."""
    file = tmp_path / "frames.jsonl"
    file.write_text("\n".join(SAMPLE) + "\n\n")
    with Simulator(replay=file, rate=100, ping_interval=0.3) as sim:
        client = connect(sim, "MSFT")
        assert [client.text() for _ in range(5)] == [*SAMPLE, '{"type":"ping"}']
        assert (sim.counters.frames, sim.rows_sent) == (2, 2)


def test_a_replay_waits_for_a_subscriber_and_goes_on_after_a_drop(connect: Connect, tmp_path: Path) -> None:
    """It keeps its pace and its place."""
    file = tmp_path / "frames.jsonl"
    file.write_text("".join(SAMPLE[0].replace('"v":5', f'"v":{n}') + "\n" for n in range(200)))
    with Simulator(replay=file, rate=200) as sim:
        assert sim.rows_sent == 0
        start = time.monotonic()
        client = connect(sim, "AAPL")
        seen = [row["v"] for row in client.rows(20)]
        sim.drop()
        while not client.ended():
            pass
        again = connect(sim, "AAPL")
        rest: list[int] = []
        while 199 not in rest:
            rest += [row["v"] for row in json.loads(again.text())["data"]]
        assert time.monotonic() - start > 0.8
    assert seen == list(range(20))
    assert rest == list(range(rest[0], 200))
    assert rest[0] >= 20
