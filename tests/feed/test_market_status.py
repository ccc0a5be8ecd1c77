"""Market status from frames and their absence: closed, quiet, and symbols without trades."""

from __future__ import annotations

from datetime import date

from stockctl.exchange.calendar import ALWAYS_OPEN, EXCHANGE, Calendar, sessions_of
from stockctl.exchange.time_parsing import parse_moment
from stockctl.feed.decoder import Decoder, Frame
from stockctl.feed.market_status import CLOSED_AFTER, QUIET_AFTER, MarketStatus

PING = Frame("ping", [], [])
TRADE = Decoder("sim").frame(b'{"data":[{"p":1,"s":"AAPL","t":1680286538064,"v":1}],"type":"trade"}', 1_700_000_000_000)
PRE, REGULAR, POST = sessions_of(date(2026, 11, 23))


class Market:
    """A market status connected at a time, polled with pings in between."""

    def __init__(self, at: int, *symbols: str, calendar: Calendar = EXCHANGE) -> None:
        self.status = MarketStatus(symbols, calendar)
        self.status.connected(at)
        self.at = at

    def after(self, ms: int, frame: Frame = PING, seen: tuple[str, ...] = ()) -> list[str]:
        self.at += ms
        return [*self.status.frame(frame, self.at), *self.status.messages(self.at, set(seen))]


def test_only_pings_after_hours_mean_a_closed_market_and_when_it_opens_is_logged_once() -> None:
    market = Market(POST.until, "AAPL", "MSFT")
    assert market.after(CLOSED_AFTER) == []
    (remark,) = market.after(1)
    assert remark == ("market closed: only pings arrive; the pre session opens Tue 2026-11-24 04:00 New York time, in 7h 58m")
    assert market.after(3_600_000) == []


def test_trades_after_a_closed_market_are_reported_and_the_next_close_again() -> None:
    market = Market(POST.until, "AAPL")
    assert market.after(CLOSED_AFTER + 1)[0].startswith("market closed")
    assert market.after(1_000, TRADE) == ["trades arrive again"]
    assert market.after(1_000, TRADE) == []
    assert market.after(CLOSED_AFTER + 1)[0].startswith("market closed")


def test_without_a_ping_nothing_is_logged_about_the_market() -> None:
    market = Market(POST.until, "AAPL")
    market.at += 10 * CLOSED_AFTER
    assert list(market.status.messages(market.at, set())) == []


def test_a_market_with_symbols_that_trade_around_the_clock_is_never_closed() -> None:
    market = Market(POST.until, "AAPL", "BINANCE:BTCUSDT")
    assert market.after(CLOSED_AFTER + 1) == []
    (remark,) = market.after(QUIET_AFTER)
    assert "no trade for 6m 30s, though the market is open" in remark


def test_an_open_market_without_trades_is_quiet() -> None:
    market = Market(REGULAR.since, "AAPL")
    assert market.after(QUIET_AFTER) == []
    assert "though the market is open" in market.after(1)[0]
    assert market.after(QUIET_AFTER) == []


def test_before_hours_few_trades_are_not_reported() -> None:
    market = Market(PRE.since, "AAPL")
    assert market.after(2 * QUIET_AFTER) == []


def test_symbols_without_a_trade_are_named_once_while_others_trade() -> None:
    market = Market(REGULAR.since - 3_600_000, "AAPL", "NOSUCH", "ZZZZ")
    assert market.after(3_600_000 + QUIET_AFTER, TRADE, seen=("AAPL",)) == []
    (remark,) = market.after(1, TRADE, seen=("AAPL",))
    assert remark.startswith("no trade yet of NOSUCH, ZZZZ: an unknown US ticker gets silence")
    assert market.after(60_000, TRADE, seen=("AAPL",)) == []


def test_symbols_are_given_time_after_each_connect() -> None:
    market = Market(REGULAR.since, "AAPL", "NOSUCH")
    market.status.connected(REGULAR.since + QUIET_AFTER)
    assert market.after(QUIET_AFTER + 1, TRADE, seen=("AAPL",)) == []
    assert len(market.after(QUIET_AFTER, TRADE, seen=("AAPL",))) == 1


def test_when_no_symbol_trades_none_is_suspected() -> None:
    market = Market(REGULAR.since, "AAPL", "NOSUCH")
    assert not any("NOSUCH" in remark for remark in market.after(2 * QUIET_AFTER))


def test_a_market_that_never_closes_is_quiet_and_not_closed() -> None:
    market = Market(POST.until, "AAPL", "MSFT", calendar=ALWAYS_OPEN)
    assert market.after(CLOSED_AFTER + 1) == []
    (remark, unseen) = market.after(QUIET_AFTER, seen=("AAPL",))
    assert remark.startswith("pings arrive, but no trade for")
    assert unseen.startswith("no trade yet of MSFT")


def test_currencies_close_from_friday_to_sunday_at_five() -> None:
    friday, sunday = (parse_moment(f"{day} 17:00") for day in ("2026-11-20", "2026-11-22"))
    market = Market(friday, "OANDA:EUR_USD")
    (remark,) = market.after(CLOSED_AFTER + 1)
    assert "the currency market opens Sun 2026-11-22 17:00 New York time" in remark
    assert Market(sunday, "OANDA:EUR_USD").after(CLOSED_AFTER + 1) == []
    assert Market(friday, "OANDA:EUR_USD", "BINANCE:BTCUSDT").after(CLOSED_AFTER + 1) == []
    assert "the market is open" in Market(sunday, "OANDA:EUR_USD").after(QUIET_AFTER + 1)[0]
