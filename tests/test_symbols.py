"""Symbols are taken in any case and split at commas; what is exactly there wins, and what is nowhere has near ones named."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.errors import UsageError
from stockctl.symbols import SymbolLookup, UnknownSymbolError, parse_symbols, resolve_symbol, resolve_symbols, split_symbols


class Shelf(SymbolLookup):
    """Names some symbols, and holds others that it does not name at once."""

    place = "the shelf"

    def __init__(self, named: str = "", held: str = "") -> None:
        self._named, self._held = split_symbols(named), split_symbols(held)

    def all_symbols(self) -> Collection[str]:
        return self._held

    def symbols(self) -> Collection[str]:
        return self._named

    def has_symbol(self, symbol: str) -> bool:
        return symbol in self._held


@pytest.mark.parametrize(
    ("written", "symbols"),
    [
        ("aapl", ["AAPL"]),
        ("aapl, Msft,,", ["AAPL", "MSFT"]),
        (["aapl", "MSFT,aapl"], ["AAPL", "MSFT"]),
        ("binance:btcusdt,oanda:eur_usd", ["BINANCE:BTCUSDT", "OANDA:EUR_USD"]),
        (["ic markets:1"], ["IC MARKETS:1"]),
        ("brk.b", ["BRK.B"]),
        (" , ", []),
        ([], []),
    ],
)
def test_symbols_are_taken_in_any_case_and_split_at_commas(written: str | list[str], symbols: list[str]) -> None:
    assert parse_symbols(written) == symbols


@given(st.lists(st.text()))
def test_what_was_parsed_is_parsed_to_the_same(written: list[str]) -> None:
    once = parse_symbols(written)
    assert parse_symbols(once) == once
    assert len(set(once)) == len(once)


@pytest.mark.parametrize(
    ("written", "shelf", "meant"),
    [
        ("aapl", Shelf(), "AAPL"),
        ("ibm", Shelf(named="IBM"), "IBM"),
        ("ibm", Shelf(held="IBM"), "IBM"),
        ("abc", Shelf(named="abc,ABC"), "abc"),
        ("ABC", Shelf(named="abc,ABC"), "ABC"),
        ("aapl", Shelf(named="aapl"), "aapl"),
        ("abc", Shelf(held="abc,ABC"), "abc"),
        ("ABC", Shelf(named="abc"), "abc"),
        ("ABC", Shelf(held="Abc"), "Abc"),
    ],
)
def test_what_is_exactly_there_wins_over_capitals(written: str, shelf: Shelf, meant: str) -> None:
    assert resolve_symbols([written], ["AAPL"], shelf, hint="") == [meant]


def test_an_unknown_symbol_among_known_ones_is_named_with_near_ones() -> None:
    with pytest.raises(UnknownSymbolError, match="there is nothing of APPL in the shelf") as raised:
        resolve_symbols(["msft,APPL"], ["AAPL", "MSFT"], Shelf(), hint="look there")
    assert raised.value.hint == "did you mean AAPL?"
    assert raised.value.exit_code == 2
    with pytest.raises(UnknownSymbolError) as raised:
        resolve_symbols(["GOOGL"], ["AAPL"], Shelf(named="GOOG", held="GOOGLE"), hint="look there")
    assert raised.value.hint == "did you mean GOOGLE or GOOG?"
    with pytest.raises(UnknownSymbolError) as raised:
        resolve_symbols(["ZZZZ"], ["AAPL"], Shelf(), hint="look there")
    assert raised.value.hint == "look there"


def test_near_ones_are_compared_without_regard_to_case() -> None:
    for written in ("LOWWER", "lowwer"):
        with pytest.raises(UnknownSymbolError) as raised:
            resolve_symbols([written], [], Shelf(held="lower"), hint="look there")
        assert raised.value.hint == "did you mean lower?"
    with pytest.raises(UnknownSymbolError) as raised:
        resolve_symbols(["aBC"], [], Shelf(held="Abc,abc"), hint="look there")
    assert raised.value.hint == "did you mean Abc or abc?"


@pytest.mark.parametrize("written", ["", " , ", [], [","]])
def test_no_symbol_is_a_usage_error(written: str | list[str]) -> None:
    with pytest.raises(UsageError, match="there is no symbol"):
        resolve_symbols(written, ["AAPL"], Shelf(), hint="")


def test_where_one_symbol_is_meant_several_are_refused() -> None:
    assert resolve_symbol("aapl", ["AAPL"], Shelf(), hint="") == "AAPL"
    for written in ("AAPL,MSFT", ","):
        with pytest.raises(UsageError, match="is not one symbol"):
            resolve_symbol(written, ["AAPL", "MSFT"], Shelf(), hint="")
