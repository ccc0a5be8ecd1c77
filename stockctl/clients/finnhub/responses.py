"""Responses of Finnhub's REST API: the fields that stockctl reads."""

from __future__ import annotations

import msgspec


class Reported(msgspec.Struct):
    """The response of /stock/financials-reported; each report keeps the bytes as received."""

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
    """The response of /quote: ``c`` is the last price, ``t`` its time in seconds since the epoch; both are 0 if unknown."""

    c: float | None = None
    t: int | None = None
