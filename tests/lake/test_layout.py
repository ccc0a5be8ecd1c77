"""Names of objects and claims."""

from __future__ import annotations

import re
from datetime import date
from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.lake.format.keys import Layout, bucket_name, claim_key, parse_claim, parse_object, parts_of, ticker_slug
from stockctl.lake.format.record_placement import day_of

TRADES = Layout("trades", "America/New_York", "ticker", "gzip")
BUCKETS = Layout("trades", "America/New_York", "bucket", "gzip", 64)
EVENTS = Layout("feed_events", "America/New_York", "none", "zstd")


@given(st.text(min_size=1, max_size=100))
def test_no_symbol_leaves_its_folder(symbol: str) -> None:
    """Whatever a symbol contains, its folder is one plain name below the date."""
    folder = TRADES.folder(symbol, date(2026, 11, 23))
    assert re.fullmatch(r"trades/trade_date=2026-11-23/ticker=[A-Za-z0-9._-]{1,64}", folder)
    folder = BUCKETS.folder(symbol, date(2026, 11, 23))
    assert re.fullmatch(r"trades/trade_date=2026-11-23/bucket=0[0-6][0-9]-of-064", folder)


def test_a_symbols_bucket_never_changes() -> None:
    """Buckets come from the CRC-32 of the symbol's UTF-8: lakes outlive versions."""
    assert bucket_name("AAPL", 64) == "bucket=028-of-064"
    assert bucket_name("BINANCE:BTCUSDT", 4096) == "bucket=3124-of-4096"
    assert bucket_name("日経", 7) == "bucket=004-of-007"


@given(st.lists(st.tuples(st.text(min_size=1, max_size=8), st.integers(0, 300)), max_size=20), st.text(min_size=1, max_size=8))
def test_a_symbols_folders_are_found_however_they_were_cut(others: list[tuple[str, int]], symbol: str) -> None:
    """Among folders of tickers and of buckets of several counts, exactly those that its records would lie in."""
    today = msgspec.structs.replace(TRADES, lines="normalized")
    day, cuts = date(2026, 11, 23), [TRADES, today, BUCKETS, Layout("trades", "UTC", "bucket", "gzip", 300)]
    own = {cut.folder(symbol, day).rpartition("/")[2] for cut in cuts}
    known = own | {
        Layout("trades", "UTC", "bucket" if n else "ticker", "gzip", n).folder(s, day).rpartition("/")[2] for s, n in others
    }
    found = parts_of(symbol, [*known, "bucket=000-of-000", "notes"])
    assert own <= found
    for part in found - own:
        count = int(part.rpartition("-of-")[2])
        assert part == bucket_name(symbol, count)


def test_slug_keeps_plain_tickers_and_replaces_the_rest() -> None:
    """Tickers stay readable; what a path or a query could trip over does not."""
    assert ticker_slug("BRK.B") == "BRK.B"
    assert ticker_slug("BINANCE:BTCUSDT") == "BINANCE_BTCUSDT"
    assert ticker_slug("../../ETC") == ".._.._ETC"


@given(st.sets(st.text(st.sampled_from("Aaß:_é") | st.characters(), min_size=1, max_size=3), min_size=2, max_size=8))
def test_no_two_folders_differ_in_case_alone(symbols: set[str]) -> None:
    """A disk that ignores case, as those of macOS and Windows do, holds them as one."""
    slugs = {ticker_slug(symbol) for symbol in symbols}
    assert len({slug.casefold() for slug in slugs}) == len(slugs)
    assert ticker_slug("AAPL") != ticker_slug("aapl")


@pytest.mark.parametrize(("lines", "folder"), [("raw", "ticker=aApl"), ("normalized", "ticker=AAPL_")])
def test_a_repeat_of_an_older_claim_keeps_the_small_letters_of_its_folders(
    lines: Literal["raw", "normalized"], folder: str
) -> None:
    layout = Layout("trades", "UTC", "ticker", "gzip", lines=lines)
    assert layout.folder("aApl", date(2026, 11, 23)).endswith(f"/{folder}")
    assert folder in parts_of("aApl", [folder, "ticker=AAPL"])


@given(st.sampled_from([TRADES, BUCKETS, EVENTS]), st.dates(), st.integers(1, 99), st.integers(0, 5000), st.integers(0, 10**18))
def test_an_object_key_has_what_it_was_made_of(layout: Layout, day: date, generation: int, number: int, start: int) -> None:
    """Keys and their parts convert into each other, and lead to the claim."""
    name = parse_object(layout.object_key(layout.folder("AAPL", day), generation, number, start))
    assert name is not None
    assert name[:2] == (layout.table, day)
    assert name[3:] == (generation, number, start)
    assert name.part == {TRADES: "ticker=AAPL", BUCKETS: bucket_name("AAPL", 64), EVENTS: ""}[layout]
    assert name.claim == claim_key(layout.table, generation, number, start)
    assert parse_claim(name.claim) == (layout.table, generation, number, start)


def test_strangers_are_no_objects() -> None:
    """What we didn't write is not taken for ours."""
    for key in (
        "trades/x.gz",
        "trades/trade_date=2026-11-23/ticker=A/other-g1-000-00000000000000000000.jsonl.gz",
        "_log/a.json",
    ):
        assert parse_object(key) is None
        assert parse_claim(key) is None


def test_object_keys_sort_by_offset() -> None:
    """Listing a folder gives a partition's objects in the order of their records."""
    keys = [claim_key("trades", 1, 3, start) for start in (5, 50, 500, 10**15)]
    assert keys == sorted(keys)


def test_a_day_is_the_exchanges_day() -> None:
    """20:30 in New York is the next day in UTC, and still today's trade_date; the day the clocks change has 25 hours."""
    late = 1_795_483_800_000  # 2026-11-23 20:30 in New York
    day, since, until = day_of(late, "America/New_York")
    assert day == date(2026, 11, 23)
    assert since <= late < until
    _, since, until = day_of(1_793_548_800_000, "America/New_York")  # 2026-11-01
    assert until - since == 25 * 3_600_000
