"""Trade conditions against the rules of the published table, derived by hand."""

from __future__ import annotations

import pytest

from stockctl.exchange.trade_conditions import EXTENDED_HOURS, NEVER_PRICE_FORMING, ODD_LOT, table, unknown_codes, updates_of

# Letters of vhl per code, read off the table by hand: N1 (first of the day only) denies, Y2 and an empty cell allow.
BY_HAND = {
    "1": "vhl", "2": "vhl", "3": "v", "4": "vhl", "5": "v", "6": "vhl", "7": "vhl", "8": "vhl", "9": "vh", "10": "v",
    "11": "v", "12": "v", "13": "vhl", "14": "vhl", "15": "vhl", "16": "", "17": "v", "18": "vh", "19": "vhl", "20": "",
    "21": "vh", "22": "vh", "23": "vhl", "24": "v", "25": "v", "26": "v", "27": "v", "28": "vhl", "29": "vhl", "30": "vh",
    "31": "vhl", "32": "vh", "33": "vhl", "34": "vhl", "35": "vhl", "36": "vhl", "37": "v", "38": "vhl", "39": "hl",
    "40": "vhl", "41": "vhl",
}  # fmt: skip


@pytest.mark.parametrize(("code", "letters"), BY_HAND.items())
def test_each_code_alone_allows_what_the_table_lists(code: str, letters: str) -> None:
    assert updates_of(code) == letters


def test_the_table_holds_exactly_finnhubs_codes() -> None:
    assert set(table()) == set(BY_HAND) == {str(code) for code in range(1, 42)}


@pytest.mark.parametrize(
    ("joined", "letters"),
    [
        ("1,8,12", "v"),  # an odd lot in any company stays an odd lot
        ("1,8", "vhl"),
        ("1,9", "vh"),
        ("16,39", ""),  # each forbids what the other allows
        ("39,3", ""),
        ("24,39", ""),
        ("18,39", "h"),
        ("12,24", "v"),
    ],
)
def test_a_trade_updates_a_statistic_only_if_all_codes_allow_it(joined: str, letters: str) -> None:
    assert updates_of(joined) == letters


@pytest.mark.parametrize(("joined", "letters"), [("", "vhl"), ("99", "vhl"), ("99,12", "v"), ("1,x", "vhl")])
def test_no_code_and_unknown_codes_allow_every_update(joined: str, letters: str) -> None:
    assert updates_of(joined) == letters


def test_unknown_codes_are_listed() -> None:
    assert unknown_codes(["1", "12", "99", "", "x", "99"]) == {"99", "x"}


def test_the_code_constants_match_the_table() -> None:
    assert table()[ODD_LOT].name == "Odd Lot Trade"
    assert table()[EXTENDED_HOURS].name == "Form-T Trade"
    assert set(table()) >= NEVER_PRICE_FORMING
