"""Which store answers a view: the lake with MongoDB for what is newer, or the one of them that there is."""

from __future__ import annotations

from contextlib import suppress
from datetime import date

from stockctl.dashboard.view.combined_engine import CombinedEngine
from stockctl.dashboard.view.day import Day, read_day
from stockctl.dashboard.view.previous_close import previous_close
from stockctl.dashboard.view.views import View
from stockctl.errors import ConfigError, UnreachableError
from stockctl.exchange.calendar import now_ms, trade_date
from stockctl.lake.store import NoLakeError
from stockctl.metrics.engines.base import Engine
from stockctl.metrics.engines.lake import LakeEngine
from stockctl.metrics.engines.mongo import MongoEngine
from stockctl.settings import MongoSettings, Settings


def engine_of(settings: Settings, day: date | None) -> type[Engine]:
    """The engine for a date, or for the newest. ConfigError if the settings name neither store."""
    if settings.lake.url is None and settings.mongo.url is None:
        raise ConfigError("neither lake.url nor mongo.url is set", hint="set one of them, or `stockctl local up`")
    if settings.lake.url is None:
        return MongoEngine
    if settings.mongo.url is None or not _is_recent(settings.mongo, day):
        return LakeEngine
    return CombinedEngine


def _is_recent(mongo: MongoSettings, day: date | None) -> bool:
    """Whether MongoDB may have trades of the date that the lake does not have yet."""
    # A lake that is longer behind says so in `stockctl status`.
    return day is None or day >= trade_date(now_ms() - min(86_400_000, round(mongo.retention * 1000)))


def _day_of(view: View) -> date | None:
    return view.date or (trade_date(view.as_of) if view.as_of is not None else None)


def is_live(view: View) -> bool:
    """Whether new trades may change the view."""
    return view.as_of is None and (view.date is None or view.date >= trade_date(now_ms()))


def read_view(settings: Settings, view: View) -> Day:
    """Read ``view``: from one store alone if the other does not answer, which its notes say.

    Errors of the stores, and UnknownSymbolError if neither knows the symbol.
    """
    day = _read(settings, view)
    if day.span is not None and not day.empty:
        day.previous_close = previous_close(settings, day.span, view.as_of, in_bars=day.store is not LakeEngine)
    return day


def _read(settings: Settings, view: View) -> Day:
    store = engine_of(settings, _day_of(view))
    try:
        return read_day(settings, view, store)
    except (UnreachableError, NoLakeError) as error:
        if store is not CombinedEngine:
            raise
        problem = error
    if isinstance(problem, NoLakeError):
        # The first batch of a new pipeline is still to come.
        return read_day(settings, view, MongoEngine)
    for alone in (LakeEngine, MongoEngine):
        with suppress(UnreachableError):
            day = read_day(settings, view, alone)
            day.notes = [f"from {day.place} alone: {problem}", *day.notes]
            return day
    raise problem
