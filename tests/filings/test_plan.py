"""What a fetch requests: whatever fetches and losses came before, the lake ends up with what was asked for."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stockctl.filings.collect.plan import FetchPlan, FetchRequest, merged_links, next_state, plan_fetch, stored_times
from stockctl.filings.repository import Links, State

PERIOD_ENDS = [date(2015, 3, 31) + timedelta(days=91 * number) for number in range(44)]
NOW = datetime(2026, 6, 1, tzinfo=UTC)


class Lake:
    """The period ends of one symbol's reports in the lake, and its state."""

    def __init__(self) -> None:
        self.ends: set[date] = set()
        self.state: State | None = None

    def fetch(self, request: FetchRequest, fresh_for: float = 0.0) -> FetchPlan:
        """One fetch from a server that has all of ``PERIOD_ENDS``."""
        plan = plan_fetch(self.state, len(self.ends), request, fresh_for, NOW)
        if not plan.fresh:
            received = {end for end in PERIOD_ENDS if plan.since is None or end >= plan.since}
            self.ends |= received
            self.state = next_state(
                plan,
                self.state,
                symbol="ACME",
                source="sim",
                stored=len(self.ends),
                period_ends=received,
                links={},
                times={},
                now=NOW,
            )
        return plan


requests = st.builds(FetchRequest, since=st.none() | st.dates(date(2014, 1, 1), date(2027, 1, 1)), full=st.booleans())
losses = st.sets(st.sampled_from(PERIOD_ENDS))


@given(st.lists(st.tuples(losses, requests), max_size=6), requests)
def test_a_fetch_leaves_every_report_from_since_on(before: list[tuple[set[date], FetchRequest]], request: FetchRequest) -> None:
    """Earlier fetches may have had other bounds, and reports may have been deleted from the lake in between."""
    lake = Lake()
    for lost, earlier in before:
        lake.ends -= lost
        lake.fetch(earlier)
    lake.fetch(request)
    since = request.since or date.min
    assert {end for end in PERIOD_ENDS if end >= since} <= lake.ends
    lake.fetch(FetchRequest())
    assert lake.ends == set(PERIOD_ENDS)


@given(st.lists(requests, min_size=1, max_size=4))
def test_a_fetch_right_after_another_is_fresh_unless_it_wants_more(before: list[FetchRequest]) -> None:
    lake = Lake()
    for request in before:
        lake.fetch(request)
    last = before[-1]._replace(full=False)
    assert lake.fetch(last, fresh_for=60).fresh
    assert not lake.fetch(last._replace(full=True), fresh_for=60).fresh
    assert lake.state is not None
    has_complete_history = lake.state.since == ""
    assert lake.fetch(FetchRequest(), fresh_for=60).fresh == has_complete_history


def test_a_later_fetch_starts_a_year_and_a_half_before_the_newest_period() -> None:
    lake = Lake()
    assert lake.fetch(FetchRequest()).since is None
    plan = lake.fetch(FetchRequest())
    assert plan.since == PERIOD_ENDS[-1] - timedelta(days=550)
    assert not plan.link_all


def test_links_of_earlier_fetches_stay_and_received_ones_are_added() -> None:
    lake = Lake()
    lake.fetch(FetchRequest())
    old, new = Links("old"), Links("new")
    assert lake.state is not None
    assert merged_links(None, ["1"], {"1": new, "2": new}) == {"1": new}
    state = State("ACME", lake.state.fetched, "sim", links={"0": old, "1": old})
    assert merged_links(state, ["1"], {"1": new}) == {"0": old, "1": new}


def test_a_report_keeps_the_time_at_which_it_was_stored() -> None:
    """The first time stays; of reports that a state without times left, it is not known."""
    lake = Lake()
    lake.fetch(FetchRequest())
    assert lake.state is not None
    assert stored_times(None, {"a": 1}, {"b": 2}) == {"a": 1, "b": 2}
    older = msgspec.structs.replace(lake.state, stored=None)
    assert stored_times(older, {"a": 1}, {"b": 2}) == {"a": None, "b": 2}
    later = msgspec.structs.replace(older, stored={"a": None, "b": 2, "d": 4})
    assert stored_times(later, {"a": 9, "b": 9, "c": 3}, {"d": 9}) == {"a": None, "b": 2, "c": 3, "d": 4}
