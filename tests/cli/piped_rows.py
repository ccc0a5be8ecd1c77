"""Rows as commands write them into a pipe: what ``test_piped`` compares with recorded output."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pyarrow as pa

_NEW_YORK = ZoneInfo("America/New_York")

ROWS: list[dict[str, Any]] = [
    {
        "symbol": "AAPL",
        "trade_date": date(2026, 11, 20),
        "vwap": 264.123456789012,
        "volume": 1_234_567.0,
        "trades": 1_234_567,
        "coverage": 99.97,
        "bytes": 1_234_567_890,
        "latency_ms": 0.4,
        "uptime": 125.0,
        "through": datetime(2026, 11, 20, 9, 30, tzinfo=_NEW_YORK),
        "accession": "0001094812-26-000072",
        "report": "https://www.sec.gov/Archives/edgar/data/1094812/000109481226000072/report.htm",
        "whole": True,
        "detail": '[red]x[/red] :smile: two\nlines, "quoted" \x1b[31m 日本語 ' + "long " * 40,
    },
    {
        "symbol": "BINANCE:BTCUSDT",
        "trade_date": None,
        "vwap": 0.0000123456789,
        "volume": float("nan"),
        "trades": 0,
        "coverage": None,
        "bytes": 0,
        "latency_ms": None,
        "uptime": None,
        "through": datetime(2026, 11, 21, 9, 30, 0, 1000, tzinfo=_NEW_YORK),
        "accession": None,
        "report": None,
        "whole": False,
        "detail": "",
    },
]

RECORD: dict[str, Any] = ROWS[0] | {
    "digits": Decimal("36893488147419103232"),
    "part": Decimal("1.50"),
    "time": time(9, 30),
    "length": timedelta(days=1, seconds=2),
    "raw": b"\x00\xff",
    "nested": {"at": datetime(2026, 11, 20, 9, 30, tzinfo=UTC), "parts": [{"n": Decimal(2), "x": float("nan")}]},
    "id": UUID(int=1),
}

TABLE = pa.table(
    {
        "max": pa.array([1.5, None]),
        "symbol": ["AAPL", "MSFT"],
        "ts_event": pa.array([1_795_444_200_001, None], pa.timestamp("ms", "America/New_York")),
        "n": [1, 2**53],
    }
)
