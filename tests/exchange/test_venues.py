"""Trading hours by venue and currency pair."""

from __future__ import annotations

import pytest

from stockctl.exchange.calendar import calendar_of
from stockctl.exchange.venues import CRYPTO_VENUES, CURRENCY_VENUES


@pytest.mark.parametrize(
    ("symbol", "hours"),
    [
        ("AAPL", "exchange"),
        ("EURUSD", "exchange"),
        ("BRK.B", "exchange"),
        ("OANDA:EUR_USD", "currency"),
        ("oanda:eur_usd", "currency"),
        ("OANDA:SPX500_USD", "currency"),
        ("IC MARKETS:1", "currency"),
        ("FOREX:401484347", "currency"),
        ("FX:EURUSD", "currency"),
        ("FX_IDC:USDJPY", "currency"),
        ("FXOPEN:7", "currency"),
        ("FOREXCOM:SPXUSD", "currency"),
        ("TICKMILLFX:7", "currency"),
        ("SAXO:EUR/USD", "currency"),
        ("SAXO:USDJPY", "currency"),
        ("TVC:XAU-USD", "currency"),
        ("SAXO:ABCUSD", "always"),
        ("BINANCE:BTCUSDT", "always"),
        ("BITFINEX:tBTCUSD", "always"),
        ("BITSTAMP:EURUSD", "always"),
        ("KRAKEN:GBP/USD", "always"),
        ("X:Y#Z", "always"),
    ],
)
def test_venue_or_currency_pair_decides_the_trading_hours(symbol: str, hours: str) -> None:
    assert calendar_of("finnhub").hours(symbol) == hours
    assert calendar_of("sim").hours(symbol) == "always"


def test_every_listed_venue_has_its_hours() -> None:
    calendar = calendar_of("finnhub")
    assert {calendar.hours(f"{venue}:1") for venue in CURRENCY_VENUES} == {"currency"}
    assert {calendar.hours(f"{venue}:1") for venue in CRYPTO_VENUES} == {"always"}
