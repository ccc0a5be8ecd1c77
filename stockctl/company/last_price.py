"""The price for KPIs that need one: the lake's last trade of a company."""

from __future__ import annotations

from datetime import datetime, time
from zoneinfo import ZoneInfo

from stockctl.exchange.calendar import from_ms, to_ms
from stockctl.filings.fundamentals.kpis import TRADE_CURRENCY, Price
from stockctl.lake.reader.duckdb_session import duck
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.settings import Settings

_LAST = """
SELECT price, ts_event, source FROM trades
WHERE symbol = $symbol AND volume > 0 AND contains(updates, 'l') AND ($as_of IS NULL OR ts_recv <= $as_of)
ORDER BY ts_event DESC, ts_recv DESC, id DESC LIMIT 1
"""


def last_price(settings: Settings, symbol: str, as_of: datetime | None = None) -> Price | None:
    """The price of the last trade that may update the last price, received by ``as_of``. None if the lake has no such trade."""
    bound = None if as_of is None else to_ms(as_of)
    zone = ZoneInfo(settings.timezone)
    with LakeReader(settings) as lake:
        # Newest date first. The first and the last folder have no bound on one side: they may contain trades whose date is
        # the day before or after in the present time zone.
        dates, until = lake.dates("trades"), None
        for number, day in reversed(list(enumerate(dates))):
            since = to_ms(datetime.combine(day, time(), lake.zone)) if number else None
            if bound is not None and since is not None and since > bound:
                until = since
                continue
            files, until = lake.find("trades", symbols=[symbol], since=since, until=until), since
            if not files:
                continue
            with duck() as connection:
                lake.view(connection, "trades", files)
                row = connection.execute(_LAST, {"symbol": symbol, "as_of": bound}).fetchone()
            if row is not None:
                price, ms, source = row
                return Price(
                    price, f"the lake's last trade, {from_ms(ms, zone):%Y-%m-%d %H:%M:%S %Z}, source {source}", TRADE_CURRENCY
                )
    return None
