"""Reports in every form the wire has had: they come out as the same ``Filing``, and what is no report is rejected."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.filings.model import STATEMENTS, FilingError, bare, line_item_records, measure_of, parse_filing, value_of

WIRE: dict[str, Any] = {
    "accessNumber": "0000320193-23-000077",
    "symbol": "AAPL",
    "cik": "320193",
    "year": 2023,
    "quarter": 3,
    "form": "10-Q",
    "startDate": "2022-09-25 00:00:00",
    "endDate": "2023-07-01 00:00:00",
    "filedDate": "2023-08-04 00:00:00",
    "acceptedDate": "2023-08-03 18:04:43",
    "report": {
        "bs": [{"concept": "us-gaap_Assets", "unit": "usd", "label": "Total assets", "value": 335038000000}],
        "ic": [
            {
                "concept": "us-gaap_RevenueFromContractWithCustomer",
                "unit": "usd",
                "label": "Sales",
                "value": "293787000000",
            },
            {"concept": "us-gaap_EarningsPerShareDiluted", "unit": "usd/share", "label": "Diluted", "value": 4.67},
            {"concept": "us-gaap_Nothing", "unit": "usd", "label": "None", "value": "N/A"},
        ],
        "cf": [],
    },
}


def test_a_report_as_finnhub_sends_it() -> None:
    filing = parse_filing(json.dumps(WIRE).encode())
    assert (filing.accession, filing.symbol, filing.form, filing.year, filing.quarter) == (
        *("0000320193-23-000077", "AAPL", "10-Q"),
        *(2023, 3),
    )
    assert (filing.start, filing.end, filing.filed) == (date(2022, 9, 25), date(2023, 7, 1), date(2023, 8, 4))
    # Accepted on the evening before it was filed, by New York's clock: four hours behind UTC in summer.
    assert filing.accepted == datetime(2023, 8, 3, 22, 4, 43, tzinfo=UTC)
    assert filing.known == filing.accepted
    assert [(item.name, item.value) for item in filing.ic] == [
        ("RevenueFromContractWithCustomer", 293787000000.0),
        ("EarningsPerShareDiluted", 4.67),
        ("Nothing", None),
    ]
    assert (filing.ic[1].concept, filing.ic[1].unit, filing.ic[1].measure) == (
        *("us-gaap_EarningsPerShareDiluted", "usd/share"),
        "usd/share",
    )
    assert filing.cf == ()


@pytest.mark.parametrize(
    "balance",
    [
        {"Assets": 335038000000},
        {"Assets": "335038000000"},
        {"us-gaap_Assets": {"value": 335038000000.0, "unit": "usd", "label": "Total assets"}},
        [{"concept": "Assets", "unit": "USD", "label": "Total assets", "value": 335038000000}],
    ],
)
def test_the_balance_sheet_of_any_form(balance: object) -> None:
    filing = parse_filing(WIRE | {"report": {"bs": balance}})
    assert [(item.name, item.value) for item in filing.bs] == [("Assets", 335038000000.0)]
    assert filing.ic == filing.cf == ()


@pytest.mark.parametrize("report", [None, {}, {"bs": None, "ic": [], "cf": {}}, {"bs": "N/A"}])
def test_a_report_without_statements_is_a_report(report: object) -> None:
    filing = parse_filing(WIRE | {"report": report})
    assert [filing.statement(name) for name in STATEMENTS] == [(), (), ()]
    assert line_item_records(filing) == []


@pytest.mark.parametrize(
    ("unit", "measure"),
    [
        *((unit, "usd") for unit in ("usd", "USD", "_usd", "u_usd", "unit_usd", " U_USD_", "iso4217:USD", "iso4217_usd")),
        *((unit, "usd/share") for unit in ("usd/share", "usd/shares", "_usd_/_shares", "USD_per_Share", "usdPerShare")),
        *((unit, "shares") for unit in ("shares", "Shares", "_shares", "u_shares", "unit_shares", "share")),
        *((unit, "") for unit in ("unit12", "", "u_unit1", "1", "item")),
        ("u_iso4217USD_xbrlishares", ""),
        ("pure", "pure"),
        ("EUR", "eur"),
    ],
)
def test_units_in_one_spelling(unit: str, measure: str) -> None:
    assert measure_of(unit) == measure


@pytest.mark.parametrize(
    ("concept", "name"),
    [
        ("us-gaap_GrossProfit", "GrossProfit"),
        ("GrossProfit", "GrossProfit"),
        ("aapl_NetSales", "NetSales"),
        ("tsla:CostOfServices", "CostOfServices"),
        ("us-gaap:Assets_Current", "Assets_Current"),
        ("_odd", "_odd"),
        ("odd_", "odd_"),
    ],
)
def test_concepts_without_their_prefix(concept: str, name: str) -> None:
    assert bare(concept) == name


@pytest.mark.parametrize("value", ["N/A", "", " ", "-", "see note 5", "1,234", "NaN", "inf", "1e999", None, True, "٣"])
def test_what_is_no_number_is_no_value(value: object) -> None:
    assert value_of(value) is None


def test_missing_is_missing_and_nought_is_nought() -> None:
    assert value_of("0") == value_of(0) == 0.0
    assert value_of(10**400) is None


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "is not JSON"),
        (b"<html>502 Bad Gateway</html>", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "this is a list"),
        (b"null", "this is null"),
        (b"{}", "no accession number"),
        (WIRE | {"accessNumber": "../../etc/passwd"}, "no accession number"),
        (WIRE | {"accessNumber": None}, "no accession number"),
        (WIRE | {"symbol": ""}, "has no symbol"),
        (WIRE | {"report": []}, "has no statements"),
        (WIRE | {"report": {"ic": "garbage"}}, "not a list of items"),
        (WIRE | {"report": {"ic": [7]}}, "a number where an item should be"),
        (WIRE | {"report": {"ic": [{"value": 7}]}}, "without a concept"),
        (WIRE | {"report": {"ic": [{"concept": "Assets", "value": [1]}]}}, "value of Assets"),
        (WIRE | {"endDate": "yesterday"}, "endDate"),
    ],
)
def test_what_is_no_report_is_rejected(raw: Any, words: str) -> None:
    with pytest.raises(FilingError, match=words):
        parse_filing(raw)


def test_the_moment_from_which_a_report_was_known() -> None:
    def known(**more: object) -> datetime | None:
        return parse_filing(WIRE | more).known

    # Where only days are known, a report is known when the day is over.
    assert known(acceptedDate="2023-08-03 00:00:00") == datetime(2023, 8, 4, 4, tzinfo=UTC)
    assert known(acceptedDate=None) == datetime(2023, 8, 5, 4, tzinfo=UTC)
    assert known(acceptedDate="", filedDate="") is None
    # Of the hour that comes twice in autumn, the later one; in winter New York is five hours behind.
    assert known(acceptedDate="2023-11-05 01:30:00") == datetime(2023, 11, 5, 6, 30, tzinfo=UTC)
    assert known(acceptedDate="2021-02-08 07:27:23") == datetime(2021, 2, 8, 12, 27, 23, tzinfo=UTC)


@pytest.mark.parametrize("moment", ["0001-01-01 00:00:00", "9999-12-31 23:59:59"])
def test_ends_of_time_are_no_dates(moment: str) -> None:
    filing = parse_filing(WIRE | dict.fromkeys(("startDate", "endDate", "filedDate", "acceptedDate"), moment))
    assert (filing.start, filing.end, filing.filed, filing.accepted) == (None, None, None, None)


def test_a_symbol_that_the_report_does_not_name() -> None:
    assert parse_filing(WIRE | {"symbol": None}, "AAPL").symbol == "AAPL"
    assert parse_filing(WIRE | {"accessNumber": "000032019323000077"}).accession == WIRE["accessNumber"]


def test_lines_are_flat_and_their_floats_are_floats() -> None:
    rows = line_item_records(parse_filing(WIRE))
    assert len(rows) == 4
    assert "ticker" not in rows[0]
    assert rows[0] | {"label": ""} == {
        "symbol": "AAPL",
        "accession": "0000320193-23-000077",
        "cik": "320193",
        "form": "10-Q",
        "year": 2023,
        "quarter": 3,
        "period_start": "2022-09-25",
        "period_end": "2023-07-01",
        "filed": "2023-08-04",
        "accepted": 1691100283000,
        "statement": "bs",
        "position": 0,
        "concept": "us-gaap_Assets",
        "name": "Assets",
        "label": "",
        "unit": "usd",
        "measure": "usd",
        "value": 335038000000.0,
    }
    assert b'"value":335038000000.0' in msgspec.json.encode(rows[0])


PREFIXES = st.sampled_from(["us-gaap_", "", "aapl_", "tsla:", "us-gaap:"])
NAMES = st.from_regex(r"[A-Z][A-Za-z0-9]{0,30}", fullmatch=True)
UNITS = st.sampled_from(
    [
        ("usd", ["usd", "USD", "_usd", "u_usd", "unit_usd"]),
        ("usd/share", ["usd/share", "usd/shares", "_usd_/_shares"]),
        ("shares", ["shares"]),
    ]
)
WHOLE = st.integers(-(10**15), 10**15)


@st.composite
def items(draw: st.DrawFn) -> tuple[dict[str, Any], str, str, float | None]:
    """An item on the wire, and the name, measure and value that it says."""
    name = draw(NAMES)
    measure, units = draw(UNITS)
    number: float | None
    value, number = draw(
        WHOLE.map(lambda n: (n, float(n)))
        | WHOLE.map(lambda n: (str(n), float(n)))
        | st.floats(-1e15, 1e15).map(lambda x: (x, x))
        | st.sampled_from([("N/A", None), (None, None), ("", None)])
    )
    fields = {"concept": draw(PREFIXES) + name, "unit": draw(st.sampled_from(units)), "label": draw(st.text(max_size=20))}
    return fields | {"value": value}, name, measure, number


@given(st.fixed_dictionaries({name: st.lists(items(), max_size=6) for name in STATEMENTS}))
def test_all_forms_say_the_same(report: dict[str, list[tuple[dict[str, Any], str, str, float | None]]]) -> None:
    wire = WIRE | {"report": {name: [item[0] for item in made] for name, made in report.items()}}
    filing = parse_filing(json.dumps(wire).encode())
    for name in STATEMENTS:
        found = [(item.name, item.measure, item.value) for item in filing.statement(name)]
        assert found == [item[1:] for item in report[name]]
    rows = line_item_records(filing)
    assert len({(row["statement"], row["position"]) for row in rows}) == len(rows) == sum(map(len, report.values()))
    assert all(row["value"] is None or type(row["value"]) is float for row in rows)
    # The model goes through JSON and back unchanged.
    assert msgspec.json.decode(msgspec.json.encode(filing), type=type(filing)) == filing


@given(st.datetimes(datetime(1994, 1, 1), datetime(2040, 1, 1)))  # noqa: DTZ001 - the wire names no zone
def test_acceptance_is_new_yorks_time_and_never_early(wall: datetime) -> None:
    wall = wall.replace(microsecond=0)
    accepted = parse_filing(WIRE | {"acceptedDate": f"{wall:%Y-%m-%d %H:%M:%S}"}).accepted
    assert accepted is not None
    assert accepted >= wall.replace(tzinfo=ZoneInfo("America/New_York")).astimezone(UTC)
    assert timedelta(hours=4) <= accepted - wall.replace(tzinfo=UTC) <= timedelta(hours=29)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8), lambda inner: (
    st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from([*WIRE, "bs", "ic", "concept", "value", "x"]), inner, max_size=5)
), max_leaves=12))  # fmt: skip
def test_garbage_is_a_report_or_a_filing_error(garbage: Any) -> None:
    for raw in (json.dumps(garbage).encode(), garbage, WIRE | {"report": garbage}):
        with contextlib.suppress(FilingError):
            parse_filing(raw)


@given(st.binary(max_size=60))
def test_bytes_are_a_report_or_a_filing_error(raw: bytes) -> None:
    with pytest.raises(FilingError):
        parse_filing(raw)
