"""The relations that the metrics' SQL reads besides the trades."""

from __future__ import annotations

from stockctl.exchange.trade_conditions import LATE_EXTENDED, LATE_REGULAR, NEVER_PRICE_FORMING, table

RELATIONS: dict[str, dict[str, str]] = {
    "slices": dict.fromkeys(("span", "part"), "BIGINT")
    | dict.fromkeys(("symbol", "session", "kinds"), "VARCHAR")
    | dict.fromkeys(("quotes", "since_ms", "until_ms", "origin_ms", "every_ms"), "BIGINT"),
    "codes": {"code": "VARCHAR"} | dict.fromkeys(("never_price_forming", "late_extended", "late_regular"), "BIGINT"),
    "covered": dict.fromkeys(("span", "bar_ms", "since_ms", "until_ms"), "BIGINT"),
    "segments": dict.fromkeys(("segment", "span"), "BIGINT")
    | {"session": "VARCHAR"}
    | dict.fromkeys(("since_ms", "until_ms", "late_until_ms", "origin_ms", "opening_edge", "last_edge"), "BIGINT"),
    "anchors": dict.fromkeys(("span", "anchor_ms"), "BIGINT"),
    "offsets": {"steps": "BIGINT"},
    "coverage_intervals": {"symbol": "VARCHAR", "trade_date": "DATE"}
    | dict.fromkeys(("since_ms", "until_ms"), "BIGINT")
    | {"covered": "BOOLEAN", "reason": "VARCHAR"},
}
"""The columns of each relation, with their types.

- ``slices``: the time and the kinds of trades that belong to each span (``stockctl.metrics.query.Slice``)
- ``codes``: the condition codes with a special meaning
- ``covered``: covered time, cut at the edges of bars
- ``segments``: covered time within one session (``stockctl.metrics.return_intervals.Segment``)
- ``anchors``: the time from which the steps of a window count backwards
- ``offsets``: the offsets of a window's steps from its end, in steps
- ``coverage_intervals``: session time that the feed covered or missed
"""


def condition_codes() -> list[tuple[str, int, int, int]]:
    """The rows of ``codes``."""
    return [(code, int(code in NEVER_PRICE_FORMING), int(code in LATE_EXTENDED), int(code in LATE_REGULAR)) for code in table()]
