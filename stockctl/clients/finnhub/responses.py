"""What Finnhub's REST API answers, as far as stockctl reads it."""

from __future__ import annotations

import msgspec


class Reported(msgspec.Struct):
    """The answer of /stock/financials-reported; each report stays byte for byte as it came."""

    data: list[msgspec.Raw] | None


class FilingEntry(msgspec.Struct, rename="camel"):
    """One entry of /stock/filings."""

    access_number: str
    form: str | None = None
    report_url: str | None = None
    filing_url: str | None = None


class Listed(msgspec.Struct):
    """One entry of /stock/symbol: ``mic`` is the exchange (``XNYS``), ``type`` such as ``Common Stock``."""

    symbol: str
    mic: str | None = None
    currency: str | None = None
    type: str | None = None


class Quote(msgspec.Struct):
    """The answer of /quote: ``c`` the last price, ``pc`` the close before, ``t`` seconds since the epoch; all 0 if unknown."""

    c: float | None = None
    pc: float | None = None
    t: int | None = None


class Profile(msgspec.Struct, rename="camel"):
    """The answer of /stock/profile2: ``share_outstanding`` and ``market_capitalization`` in millions. A fund has none of it."""

    name: str | None = None
    ticker: str | None = None
    currency: str | None = None
    share_outstanding: float | None = None
    market_capitalization: float | None = None
