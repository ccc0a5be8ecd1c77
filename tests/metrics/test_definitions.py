"""The SQL agrees with plain Python on any trades, to 1e-9 relative and 1e-12 absolute."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stockctl.exchange.calendar import EXCHANGE_ZONE
from stockctl.metrics import definitions
from stockctl.metrics.live import MetricsAccumulator
from stockctl.metrics.query import Query
from stockctl.metrics.results import Result, Row
from stockctl.metrics.trade_policies import POLICIES, Policy, counts, reasons
from stockctl.records import Trade
from stockctl.settings import Settings, load_settings
from tests.command import clean_environment
from tests.conftest import examples
from tests.lakes import at, covered, lay, trade
from tests.metrics import plain

OPEN, CLOSE = at("2026-11-23 09:30"), at("2026-11-23 16:00")
SYMBOLS = ("AAPL", "MSFT", "NVDA")
MINUTES = 4
CODES = ("", "1", "1,12", "1,8", "1,8,12", "1,24,12", "1,3", "1,22", "16", "39", "1,99", "1,2", "25", "1,36", "1,30")

prices = st.integers(1, 2_000_000).map(lambda cents: cents / 100)
volumes = st.one_of(st.just(0.0), st.integers(1, 10_000).map(float), st.floats(1e-6, 1e3))


@st.composite
def trades_of(draw: st.DrawFn, symbol: str) -> list[Trade]:
    """Trades of some minutes after the open, many in the same ms, in any order, with any conditions."""
    edges = st.integers(1, 2 * MINUTES - 1).flatmap(lambda half: st.integers(half * 30_000 - 1, half * 30_000 + 1))
    moments = st.one_of(st.integers(0, 2), edges, st.integers(0, MINUTES * 60_000 - 1))
    near = draw(prices)
    level = st.one_of(prices, st.integers(-50, 50).map(lambda ticks: max(0.01, near + ticks / 100)), st.just(near))
    ids = draw(st.permutations(range(60)))
    rows = []
    for number in ids[: draw(st.one_of(st.integers(1, 3), st.integers(30, 60)))]:
        ts = OPEN + draw(moments)
        received = ts + draw(st.sampled_from([0, 0, 0, 1]))
        other = {"id": f"{number:x}", "ts_recv": received}
        rows.append(trade(symbol, ts, draw(level), draw(volumes), draw(st.sampled_from(CODES)), **other))
    return rows


def some_trades() -> st.SearchStrategy[dict[str, list[Trade]]]:
    """Trades of each symbol. One lake serves several symbols, because creating a lake is expensive."""
    return st.fixed_dictionaries({symbol: trades_of(symbol) for symbol in SYMBOLS})


@st.composite
def intervals(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Disjoint covered intervals of the same minutes."""
    length = MINUTES * 60_000
    edges = sorted(draw(st.sets(st.integers(0, length), max_size=3)))
    cuts = [(since + draw(st.integers(min(since, 1), 20_000)), until) for since, until in pairwise([0, *edges, length])]
    return [(OPEN + since, OPEN + until) for since, until in cuts if since < until]


def some_coverage() -> st.SearchStrategy[dict[str, list[tuple[int, int]]]]:
    """Covered intervals of each symbol."""
    return st.fixed_dictionaries({symbol: intervals() for symbol in SYMBOLS})


@contextmanager
def a_lake(trades: dict[str, list[Trade]], coverage: dict[str, list[tuple[int, int]]] | None = None) -> Iterator[Settings]:
    """A lake with these trades in two batches; with coverage, a later record proves that all earlier ones are stored."""
    records = [row for symbol in SYMBOLS for row in trades[symbol]]
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(environ=clean_environment(), flags={"lake.url": (Path(folder) / "lake").as_uri()})
        if coverage is not None:
            events = [covered(symbol, *stretch) for symbol, held in coverage.items() for stretch in held]
            records.append(trade("LATE", OPEN + 1_000_000, 1.0))
            lay(settings, events, table="feed_events")
        lay(settings, records, batches=2)
        yield settings


def ask(**named: Any) -> Query:
    """A query of every symbol's regular session of the day."""
    query = Query(SYMBOLS, "standard", "regular", EXCHANGE_ZONE, now=OPEN + 40_000_000)
    return replace(query, **named)


def by_symbol(result: Result) -> dict[str, list[Row]]:
    """Each symbol's rows."""
    return {symbol: [row for row in result.rows if row["symbol"] == symbol] for symbol in SYMBOLS}


def near(value: float | None) -> Any:
    """The value within the tolerance between engines."""
    return None if value is None else pytest.approx(value, rel=1e-9, abs=1e-12)


def regular(trades: list[Trade]) -> list[Trade]:
    """The trades of the regular session."""
    return plain.regular(trades, CLOSE)


# Each example creates a lake: shrinking a failing one would exceed the time limit.
few = hypothesis_settings(max_examples=examples(0.06), phases=[Phase.explicit, Phase.reuse, Phase.generate])


@few
@given(some_trades(), st.sampled_from(POLICIES))
def test_vwap(trades: dict[str, list[Trade]], policy: Policy) -> None:
    """VWAP, volume and count are of the trades that the policy counts; what it leaves out is reported."""
    with a_lake(trades) as settings:
        found = by_symbol(definitions.vwap(settings, ask(policy=policy)))
    for symbol, (row,) in found.items():
        chosen = plain.counted(regular(trades[symbol]), policy)
        assert row["vwap"] == near(plain.vwap(chosen))
        assert row["trades"] == (len(chosen) or None)
        assert row["left_out"] == len(regular(trades[symbol])) - len(chosen)


@few
@given(some_trades(), st.integers(2, 12))
def test_volatility_of_the_last_trades(trades: dict[str, list[Trade]], window: int) -> None:
    """At each minute's edge and at the last trade: the deviation of the last N prices up to then."""
    with a_lake(trades) as settings:
        wholes = by_symbol(definitions.volatility(settings, ask(), definitions.Window(window)))
        series = by_symbol(definitions.volatility(settings, ask(every_ms=60_000), definitions.Window(window)))
    for symbol, (whole,) in wholes.items():
        chosen = plain.counted(regular(trades[symbol]))
        assert whole["volatility"] == near(plain.deviation([trade.price for trade in chosen][-window:]))
        for row in series[symbol]:
            if row["at"] is not None:
                by_then = [trade.price for trade in chosen if trade.ts_event <= row["at"].timestamp() * 1000][-window:]
                assert (row["volatility"], row["trades"]) == (near(plain.deviation(by_then)), len(by_then))


@few
@given(some_trades(), st.sampled_from([1_000, 7_000, 60_000, 90_000]))
def test_volatility_of_a_window_of_time(trades: dict[str, list[Trade]], window: int) -> None:
    """At each edge t with a price in its window: the deviation of the prices in (t - w, t]."""
    with a_lake(trades) as settings:
        wholes = by_symbol(definitions.volatility(settings, ask(), definitions.Window(None, window)))
        series = by_symbol(definitions.volatility(settings, ask(every_ms=30_000), definitions.Window(None, window)))

    def within(chosen: list[Trade], at_ms: float) -> list[float]:
        return [trade.price for trade in chosen if at_ms - window < trade.ts_event <= at_ms]

    # The newest claim's receipt time limits what is known, or the symbol's own newest trade.
    newest = trades[SYMBOLS[-1]][-1].ts_recv
    for symbol, (whole,) in wholes.items():
        if chosen := plain.counted(regular(trades[symbol])):
            last = within(chosen, chosen[-1].ts_event)
            assert (whole["volatility"], whole["trades"]) == (near(plain.deviation(last)), len(last))
            through = max(*(trade.ts_event + 1 for trade in regular(trades[symbol])), newest)
            # The edge after the last trade has a row too, once its time is over.
            behind = -(-chosen[-1].ts_event // 30_000) * 30_000
            edges = [edge for edge in range(OPEN + 30_000, max(through, behind) + 1, 30_000) if within(chosen, edge)]
            assert [(row["at"].timestamp() * 1000, row["volatility"]) for row in series[symbol] if row["at"]] == [
                (edge, near(plain.deviation(within(chosen, edge)))) for edge in edges
            ]


@few
@given(some_trades(), some_coverage(), st.sampled_from([5_000, 20_000]))
def test_volatility_of_returns(trades: dict[str, list[Trade]], coverage: dict[str, list[tuple[int, int]]], grid: int) -> None:
    """Log returns between edges of the grid within each covered interval, unchanged prices included; none crosses a gap."""
    with a_lake(trades, coverage) as settings:
        found = by_symbol(definitions.returns(settings, ask(), grid))
    for symbol, (row,) in found.items():
        moves = plain.returns(plain.counted(regular(trades[symbol])), coverage[symbol], grid, OPEN, CLOSE)
        expected = plain.deviation(moves)
        assert row["returns"] == (len(moves) or None)
        assert row["deviation"] == near(expected)
        if expected is not None:
            assert row["volatility"] == near(expected * (252 * 23_400_000 / grid) ** 0.5)


@few
@given(some_trades(), some_coverage())
def test_rate(trades: dict[str, list[Trade]], coverage: dict[str, list[tuple[int, int]]]) -> None:
    """Trades in covered time / covered seconds, for the session and for each minute."""
    with a_lake(trades, coverage) as settings:
        wholes = by_symbol(definitions.rate(settings, ask()))
        bars = by_symbol(definitions.rate(settings, ask(every_ms=60_000)))

    def expected(symbol: str, since: int, until: int) -> tuple[int, float]:
        cut = [(max(since, first), min(until, last)) for first, last in coverage[symbol]]
        chosen = plain.counted(regular(trades[symbol]))
        inside = [trade for trade in chosen for first, last in cut if first <= trade.ts_event < last]
        return len(inside), sum(max(0, last - first) for first, last in cut) / 1000

    for symbol, (whole,) in wholes.items():
        count, seconds = expected(symbol, OPEN, OPEN + 23_400_000)
        assert whole["rate"] == (near(count / seconds) if count else None)
        for row in bars[symbol]:
            if row["bar"] is not None:
                start = int(row["bar"].timestamp() * 1000)
                count, seconds = expected(symbol, start, start + 60_000)
                assert (row["trades"], row["covered_seconds"]) == (count, near(seconds))


@few
@given(some_trades(), st.sampled_from(POLICIES))
def test_bars(trades: dict[str, list[Trade]], policy: Policy) -> None:
    """Open and close by l, high and low by h, the rest by the policy; one row per minute with any trade."""
    with a_lake(trades) as settings:
        found = by_symbol(definitions.bars(settings, ask(policy=policy, every_ms=60_000)))
    for symbol, rows in found.items():
        starts = sorted({trade.ts_event // 60_000 * 60_000 for trade in regular(trades[symbol])})
        # Without a trade there is one row of nulls.
        bar_rows = [row for row in rows if row["bar"] is not None]
        assert len(rows) == len(starts or [None])
        assert [row["bar"].timestamp() * 1000 for row in bar_rows] == starts
        for start, row in zip(starts, bar_rows, strict=True):
            inside = plain.ordered(trade for trade in regular(trades[symbol]) if start <= trade.ts_event < start + 60_000)
            lasts: list[float | None] = [trade.price for trade in inside if "l" in trade.updates] or [None]
            ranged = [trade.price for trade in inside if "h" in trade.updates]
            chosen = plain.counted(inside, policy)
            assert (row["open"], row["close"]) == (lasts[0], lasts[-1])
            assert (row["high"], row["low"]) == ((max(ranged), min(ranged)) if ranged else (None, None))
            assert (row["vwap"], row["trades"]) == (near(plain.vwap(chosen)), len(chosen))
            assert row["volume"] == (near(sum(trade.volume for trade in chosen)) if chosen else None)


@few
@given(some_trades(), st.sampled_from(POLICIES))
def test_live_metrics_equal_the_lakes(trades: dict[str, list[Trade]], policy: Policy) -> None:
    """The same trades, added one by one in any order, give the SQL's values."""
    with a_lake(trades) as settings:
        vwaps = by_symbol(definitions.vwap(settings, ask(policy=policy, session="all")))
        volatilities = by_symbol(definitions.volatility(settings, ask(policy=policy, session="all"), definitions.Window(5)))
    for symbol, rows in trades.items():
        accumulator = MetricsAccumulator(window=5)
        for row in rows:
            accumulator.add(row, policy)
        metrics = accumulator.metrics(symbol, OPEN + 3_600_000, OPEN)
        (vwap,), (volatility,) = vwaps[symbol], volatilities[symbol]
        assert (metrics.trades or None, metrics.left_out) == (vwap["trades"], vwap["left_out"])
        assert (metrics.vwap, metrics.volume) == (near(vwap["vwap"]), near(vwap["volume"]))
        assert metrics.volatility == near(volatility["volatility"])


@given(st.sampled_from(CODES), st.sampled_from(POLICIES))
def test_every_trade_that_a_policy_leaves_out_has_a_reason(codes: str, policy: Policy) -> None:
    """A counted trade has no reason, any other at least one."""
    row = trade("AAPL", OPEN, 1.0, 1.0, codes)
    assert counts(policy, codes, row.updates) == bool(plain.counted([row], policy))
    if not counts(policy, codes, row.updates):
        assert reasons(policy, codes, row.updates)
