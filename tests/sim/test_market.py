"""The seeded market: lifelike, the same for a seed, and fast."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date
from itertools import pairwise, product

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stockctl.exchange.calendar import session_at, sessions_of
from stockctl.sim import Market, Row, encode_frame, frames, numbered_rows
from stockctl.sim.market import activity_at
from tests.conftest import examples
from tests.exchange.test_trade_sessions import session_of

SYMBOLS = ["AAPL", "MSFT", "NVDA", "TSLA", "ACME", "BINANCE:BTCUSDT", "OANDA:EUR_USD"]
DAY = date(2026, 11, 20)


@pytest.fixture(scope="module")
def day() -> list[Row]:
    """A day of 200,000 rows."""
    return list(Market(SYMBOLS, seed=7).day(DAY, 200_000))


def stocks(rows: list[Row]) -> list[Row]:
    return [row for row in rows if ":" not in row.s and row.v]


def test_a_seed_gives_the_same_frames_again_and_another_seed_others() -> None:
    """Every byte follows from the seed."""
    one, two, other = (b"\n".join(frames(Market(SYMBOLS, seed=seed).day(DAY, 5000))) for seed in (1, 1, 2))
    assert one == two
    assert one != other


@given(
    cuts=st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 60)), min_size=1, max_size=20),
    seed=st.integers(0, 10),
)
@settings(max_examples=examples(0.5))
def test_rows_do_not_depend_on_how_time_is_sliced(cuts: list[tuple[int, int]], seed: int) -> None:
    """Symbols, prices, volumes and codes come in the same order however the clock cuts the time; times stay in their slice."""
    opening = sessions_of(DAY)[1].since + 60_000
    whole = Market(SYMBOLS, seed=seed).rows(opening, opening + 60_000, sum(count for _, count in cuts))
    market, since, sliced = Market(SYMBOLS, seed=seed), opening, []
    for length, count in cuts:
        rows = market.rows(since, since + length, count)
        assert len(rows) == count
        # A repetition may carry the time of the row that it repeats, out of the slice before.
        assert all(since - 1000 <= row.t < since + length for row in rows)
        sliced += rows
        since += length
    assert [(r.s, r.p, r.v, r.c) for r in sliced] == [(r.s, r.p, r.v, r.c) for r in whole]


def test_a_day_has_exactly_the_trades_asked_for_inside_its_sessions(day: list[Row]) -> None:
    """200,000 asked, 200,000 given, all between 04:00 and 20:00 in New York, most of them in the regular session."""
    sessions = Counter(session.name if (session := session_at(row.t)) else None for row in day)
    assert len(day) == 200_000
    assert set(sessions) == {"pre", "regular", "post"}
    assert 0.8 < sessions["regular"] / len(day) < 0.97


def test_one_session_alone() -> None:
    """Only the sessions named have rows."""
    rows = list(Market(SYMBOLS).day(DAY, 1000, sessions=["regular"]))
    session = sessions_of(DAY)[1]
    assert len(rows) == 1000
    assert all(session.since <= row.t < session.until for row in rows)


def test_a_closed_day_is_refused() -> None:
    """Thanksgiving has no trades."""
    with pytest.raises(ValueError, match="2026-11-26 is no trading day"):
        next(Market(SYMBOLS).day(date(2026, 11, 26), 10))


def test_the_day_is_shaped_like_a_u_with_bursts(day: list[Row]) -> None:
    """The open and the close are busier than noon, and minutes vary far more than independent trades would."""
    opening = sessions_of(DAY)[1].since
    minutes = Counter((row.t - opening) // 60_000 for row in day)
    half_hours = [sum(minutes[30 * n + m] for m in range(30)) for n in range(13)]
    assert half_hours[0] > 1.5 * half_hours[6]
    assert half_hours[12] > 1.5 * half_hours[6]
    noon = [minutes[m] for m in range(150, 240)]
    mean = sum(noon) / len(noon)
    assert sum((count - mean) ** 2 for count in noon) / len(noon) > 5 * mean
    assert activity_at(opening - 1) < activity_at(opening)
    assert activity_at(sessions_of(DAY)[2].until) == 0


def test_symbols_are_active_by_rank(day: list[Row]) -> None:
    """The first symbol trades most, the last least, and all of them trade."""
    counts = Counter(row.s for row in day)
    assert [symbol for symbol, _ in counts.most_common()] == SYMBOLS


def test_shares_of_codes_and_sizes_are_lifelike(day: list[Row]) -> None:
    """About half odd lots, a quarter sweeps, 17 % exact repetitions, few volume-0 rows, some rare codes."""
    rows = stocks(day)
    share = {code: sum(code in (row.c or ()) for row in rows) / len(rows) for code in ("1", "12", "8", "14", "37", "41", "10")}
    assert share["1"] == 1
    assert 0.45 < share["12"] < 0.58
    assert 0.2 < share["8"] < 0.33
    assert all(0.0005 < share[code] < 0.02 for code in ("14", "37", "41", "10"))
    keys = Counter((row.s, row.t, row.p, row.v, row.c) for row in rows)
    assert 0.15 < 1 - len(keys) / len(rows) < 0.20
    zero = [row for row in day if row.v == 0 and ":" not in row.s]
    assert 0.0005 < len(zero) / len(rows) < 0.005
    assert {row.c for row in zero} == {()}


def test_codes_follow_their_rules(day: list[Row]) -> None:
    """12 if and only if the volume is below 100; 24 if and only if it is of extended hours; none for other venues."""
    for row in stocks(day):
        session = session_at(row.t)
        assert session is not None
        assert row.c is not None
        assert ("12" in row.c) == (row.v < 100)
        assert ("24" in row.c) == (session_of(row.t, ",".join(row.c)) != "regular" and "16" not in row.c)
        assert isinstance(row.v, int)
    assert {row.c for row in day if ":" in row.s} == {None}


def test_exchanges_print_their_auctions_and_official_prices_some_ms_after_the_bell(day: list[Row]) -> None:
    """Each stock once, by its exchange's codes; the official price is the auction's, and the auctions are regular trades."""
    _, regular, post = sessions_of(DAY)
    symbols = sorted(symbol for symbol in SYMBOLS if ":" not in symbol)
    rows = stocks(day)
    for codes, official, bell in ((("18", "19"), "20", regular.since), (("35", "36"), "16", post.since)):
        crosses = {row.s: row for row in rows if row.c and row.c[-1] in codes}
        prints = [row for row in rows if official in (row.c or ())]
        assert sum(row.c is not None and row.c[-1] in codes for row in rows) == len(crosses) == len(symbols)
        assert sorted(row.s for row in prints) == symbols
        assert all(bell < row.t < bell + 1000 for row in (*crosses.values(), *prints))
        assert [row.p for row in prints] == [crosses[row.s].p for row in prints]
        assert {session_of(row.t, ",".join(row.c or ())) for row in crosses.values()} == {"regular"}


def test_a_half_day_closes_at_one() -> None:
    rows = list(Market(["AAPL"]).day(date(2026, 11, 27), 2000))
    (cross,) = [row for row in rows if row.c == ("1", "36")]
    assert 0 < cross.t - sessions_of(date(2026, 11, 27))[1].until < 1000


def test_rows_are_nearly_sorted(day: list[Row]) -> None:
    """A few percent of rows come later than a younger one, by less than a second."""
    back = [a.t - b.t for a, b in pairwise(day) if b.t < a.t]
    assert 0.01 < len(back) / len(day) < 0.1
    assert max(back) < 2000


def test_prices_walk_on_a_grid(day: list[Row]) -> None:
    """Stocks have two decimals, or four for trades off the exchanges; whole prices are ints; a day's range is small."""
    for symbol in SYMBOLS[:5]:
        prices = [row.p for row in day if row.s == symbol]
        assert all(price == round(price, 4) for price in prices)
        assert 0.7 < sum(price == round(price, 2) for price in prices) / len(prices) < 0.9
        assert 0.001 < max(prices) / min(prices) - 1 < 0.15
        assert any(isinstance(price, int) for price in prices)
        assert not any(isinstance(price, float) and price.is_integer() for price in prices)


def test_other_venues_have_their_own_volumes(day: list[Row]) -> None:
    """Crypto volumes are fractions, currencies are price updates of volume 0."""
    assert all(row.v > 0 for row in day if row.s == "BINANCE:BTCUSDT")
    assert any(row.v != int(row.v) for row in day if row.s == "BINANCE:BTCUSDT")
    assert {row.v for row in day if row.s == "OANDA:EUR_USD"} == {0}


def test_prices_stay_within_their_bounds() -> None:
    """However long it runs, no price leaves a quarter about where it began: here a cheap one, whose steps are large for it."""
    start, symbol = min((Market([symbol]).rows(0, 1000, 1)[0].p, symbol) for symbol in map(str, range(100)))
    market = Market([symbol])
    prices = [row.p for n in range(40) for row in market.rows(n * 1000, n * 1000 + 1000, 25_000)]
    assert start * 0.74 < min(prices) < max(prices) < start * 1.26
    assert max(prices) / min(prices) > 1.4


def test_a_symbol_goes_on_from_its_last_price() -> None:
    """Leaving and coming back does not move the price."""
    market = Market(["AAPL"], seed=1)
    last = [row for row in market.rows(0, 1000, 5000) if row.v][-1].p
    market.set_symbols(["MSFT"])
    market.rows(1000, 2000, 100)
    market.set_symbols(["MSFT", "AAPL"])
    again = next(row.p for row in market.rows(2000, 3000, 100) if row.s == "AAPL")
    assert again == pytest.approx(last, abs=0.2)


def test_no_symbols_no_rows() -> None:
    """A market without symbols, or asked for no rows, gives none."""
    assert Market([]).rows(0, 1000, 5) == []
    assert Market(["AAPL"]).rows(0, 1000, 0) == []


def test_frames_hold_ten_rows_and_wait_a_second(day: list[Row]) -> None:
    """Cut into frames and read back, the rows are all there, in order, at most ten a frame, compact with sorted keys."""
    texts = list(frames(day[:5000]))
    cut = [json.loads(text) for text in texts]
    assert max(len(frame["data"]) for frame in cut) == 10
    assert [row for frame in cut for row in frame["data"]] == [json.loads(msgspec.json.encode(row)) for row in day[:5000]]
    for text, frame in zip(texts, cut, strict=True):
        assert list(frame) == ["data", "type"]
        assert frame["type"] == "trade"
        assert all(list(row) == ["c", "p", "s", "t", "v"] for row in frame["data"])
        assert b" " not in text
        assert frame["data"][-1]["t"] <= frame["data"][0]["t"] + 1000
    assert list(frames([])) == []


def test_a_frame_is_byte_for_byte_what_was_captured() -> None:
    """The first rows of a captured frame, written by the simulator."""
    rows = [Row(("1", "12"), 164.0601, "AAPL", 1680286537580, 5), Row(None, 1731, "BINANCE:ETHUSDT", 1696250801782, 0.014)]
    assert encode_frame(rows) == (
        b'{"data":[{"c":["1","12"],"p":164.0601,"s":"AAPL","t":1680286537580,"v":5},'
        b'{"c":null,"p":1731,"s":"BINANCE:ETHUSDT","t":1696250801782,"v":0.014}],"type":"trade"}'
    )
    assert encode_frame([{"v": 1, "s": "AAPL"}, rows[1]]).startswith(b'{"data":[{"s":"AAPL","v":1},{"c":null,"p":1731,')


def test_numbered_rows_are_distinct() -> None:
    """Row n has the volume n, and follows the code rule."""
    rows = numbered_rows(150, symbol="MSFT", first=50)
    assert [row.v for row in rows] == list(range(50, 200))
    assert all(("12" in (row.c or ())) == (row.v < 100) and row.s == "MSFT" for row in rows)


@pytest.mark.parametrize(("count", "length"), list(product([1, 7, 1000], [1, 1000])))
def test_times_stay_inside_the_slice(count: int, length: int) -> None:
    """Even one row, and even in one millisecond."""
    rows = Market(SYMBOLS, seed=count).rows(10_000, 10_000 + length, count)
    assert len(rows) == count
    assert all(10_000 <= row.t < 10_000 + length for row in rows)
