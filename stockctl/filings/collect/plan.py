"""What a fetch requests for one symbol, and what it records afterwards. Nothing here does I/O.

The lake decides what to request, so that any machine may run the next fetch: a symbol's state (``_log/filings/``) has what
earlier fetches covered, and the listing has what the lake really contains.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import NamedTuple

from stockctl.filings.repository import Links, State
from stockctl.records import Source

LOOK_BACK = timedelta(days=550)
"""How far before the newest period a later fetch starts: late reports and amendments of the last year are found there."""


class FetchRequest(NamedTuple):
    """What to fetch.

    ``since`` is the first period end to request. ``full`` requests the complete history, even of a symbol that is fresh.
    ``fresh_for`` (seconds) overrides the setting. ``dry_run`` requests everything and writes nothing.
    """

    since: date | None = None
    full: bool = False
    dry_run: bool = False
    fresh_for: float | None = None


class FetchPlan(NamedTuple):
    """How to bring one symbol up to date.

    ``fresh``: the last fetch is recent enough, so nothing is requested. ``since`` is the first period end to request, None for
    the complete history. ``lower_bound`` is the period end from which on the lake should have all reports (ISO date, empty for
    the complete history), ``newest`` the newest period end of earlier fetches (ISO date, empty without one). ``link_all``: get
    the SEC's links of every received report, not of the new ones alone.
    """

    fresh: bool
    since: date | None
    lower_bound: str
    newest: str
    link_all: bool


def plan_fetch(state: State | None, stored: int, request: FetchRequest, fresh_for: float, now: datetime) -> FetchPlan:
    """The plan for a symbol whose last fetch left ``state``, and of which the lake has ``stored`` reports now."""
    # A period that ends in the future is a typing error in the report. It must not hide later reports until that day.
    newest = min(state.newest, now.date().isoformat()) if state is not None else ""
    lower_bound = request.since.isoformat() if request.since else ""
    if state is None:
        return FetchPlan(False, _first_end(lower_bound, ""), lower_bound, newest, link_all=True)
    # Reports were deleted from the lake, or it is a partial copy: fetch again from where the first fetch began.
    reports_lost = stored < state.kept
    if reports_lost:
        lower_bound = min(lower_bound, state.since)
    covered = state.since <= lower_bound and not reports_lost and not request.full
    return FetchPlan(
        fresh=covered and age_of(state, now) < fresh_for,
        since=_first_end(lower_bound, newest if covered else ""),
        lower_bound=lower_bound,
        newest=newest,
        # Reports of an interrupted fetch have no links yet.
        link_all=stored > state.kept or request.full,
    )


def next_state(
    plan: FetchPlan,
    before: State | None,
    *,
    symbol: str,
    source: Source,
    stored: int,
    period_ends: Iterable[date | None],
    links: Mapping[str, Links],
    times: Mapping[str, int | None],
    now: datetime,
) -> State:
    """The state after a fetch by ``plan`` that received reports with these ``period_ends``."""
    today = now.date().isoformat()
    ends = [plan.newest, *(end.isoformat() for end in period_ends if end is not None and end.isoformat() <= today)]
    # A later --since leaves a gap between the newest period and itself. The next fetch starts before that gap.
    has_gap = "" < plan.newest < plan.lower_bound
    return State(
        symbol=symbol,
        fetched=now.isoformat(timespec="milliseconds"),
        source=source,
        since=before.since if before is not None and before.since <= plan.lower_bound else plan.lower_bound,
        newest=plan.newest if has_gap else max(ends),
        kept=stored,
        links=dict(links),
        documented=before is None or before.documented,
        stored=dict(times),
    )


def stored_times(before: State | None, changed: Mapping[str, int], put: Mapping[str, int]) -> dict[str, int | None]:
    """When each report was put into the lake: as ``before`` says, else as this fetch ``put`` it.

    ``changed`` has the reports that were there when this fetch began, with their times by the store. Those that are new to
    ``before`` are of a fetch that was interrupted. A state without times is an older version's: then it is not known.
    """
    if before is not None and before.stored is None:
        return dict(put) | dict.fromkeys(changed)
    known = before.stored if before is not None and before.stored is not None else {}
    return {**put, **changed, **known}


def merged_links(before: State | None, received: Collection[str], links: Mapping[str, Links]) -> dict[str, Links]:
    """The links by accession number that a state had, and those of the ``received`` reports."""
    return (dict(before.links) if before else {}) | {number: links[number] for number in received if number in links}


def age_of(state: State, now: datetime) -> float:
    """Seconds since the symbol was fetched."""
    return max(0.0, (now - state.at).total_seconds())


def _first_end(lower_bound: str, newest: str) -> date | None:
    """The first period end to request, when earlier fetches covered everything from ``lower_bound`` to ``newest``."""
    bounds = [date.fromisoformat(lower_bound)] if lower_bound else []
    if newest:
        bounds.append(date.fromisoformat(newest) - LOOK_BACK)
    return max(bounds, default=None)
