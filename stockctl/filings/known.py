"""What had been reported of a company by a moment: standard items of every period that they tell or add up to.

Of several reports on one period the last accepted tells an item; what the earlier ones said stays with it. Only flows are put
together from several periods; shares and amounts per share are told for the reported periods alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cached_property
from itertools import pairwise

from stockctl.filings.filing import STATEMENTS, Filing, Statement, bare
from stockctl.filings.items import Figure, Source, StandardItem, minus, table
from stockctl.filings.periods import Span, add_up
from stockctl.filings.standard import concept_figure, figures

Told = dict[Span, dict[str, Figure]]
"""Standard items by the period of their reports; of balance sheets, which know one day, its start is its end."""

SPLITS = (1.5, *range(2, 51))
_NEAR = 0.1


class Known:
    """The reports of one company that were public at ``as_of`` (None: all there are), and what follows from them.

    ``undated`` are reports left out because nothing tells when they became public, ``later`` those accepted afterwards.
    """

    def __init__(self, filings: Iterable[Filing], as_of: datetime | None = None) -> None:
        every = list({filing.accession: filing for filing in filings}.values())
        self.as_of = as_of
        self.undated = [one for one in every if as_of is not None and one.known is None]
        self.later = [one for one in every if as_of is not None and one.known is not None and one.known > as_of]
        left_out = {one.accession for one in (*self.undated, *self.later)}
        self.filings = sorted((one for one in every if one.accession not in left_out), key=_acceptance)
        self.by_accession = {one.accession: one for one in self.filings}

    def told(self, statement: Statement) -> Told:
        """The standard items of each period that has a report."""
        return self._told[statement]

    @cached_property
    def _told(self) -> dict[Statement, Told]:
        return {name: self._newest(name) for name in STATEMENTS}

    def _newest(self, statement: Statement) -> Told:
        told: Told = {}
        for filing in self.filings:
            for name, figure in figures(filing, statement).items():
                of_period = told.setdefault(Span(figure.start or figure.end, figure.end), {})
                of_period[name] = _replacing(figure, of_period.get(name))
        return told

    def spans(self, statement: Statement) -> list[Span]:
        """The periods of the reports with that statement, in order of their ends."""
        return sorted(self.told(statement), key=lambda span: (span.end, span.start))

    def at(self, name: str, day: date) -> Figure | None:
        """An item of the balance sheet at the end of ``day``."""
        return self.told(table()[name].statement).get(Span(day, day), {}).get(name)

    def over(self, name: str, span: Span) -> Figure | None:
        """An item over a period: as reported, else, if it is a flow, put together from reported periods."""
        item = table()[name]
        told = {period: found[name] for period, found in self.told(item.statement).items() if name in found}
        if span in told or item.kind != "flow":
            return told.get(span)
        figure = _put_together(told, span)
        if figure is None or len({_names(source) for source in figure.sources}) < 2 or item.minus:
            return figure or self._difference(item, span)
        # The reports name the item by different concepts, which need not mean quite the same: better by one of them throughout.
        for concept in item.concepts:
            same = _put_together(self._by_concept(item, concept), span)
            if same is not None:
                return same
        names = " and ".join(dict.fromkeys(source.concept for source in figure.sources))
        return replace(figure, notes=(*figure.notes, f"{name} to {span.end}: put together from {names}"))

    def _difference(self, item: StandardItem, span: Span) -> Figure | None:
        return minus(item, *(self.over(name, span) for name in item.minus)) if item.minus else None

    def _by_concept(self, item: StandardItem, concept: str) -> dict[Span, Figure]:
        found: dict[Span, Figure] = {}
        for filing in self.filings:
            figure = concept_figure(filing, item, concept)
            if figure is not None:
                span = Span(figure.start or figure.end, figure.end)
                found[span] = _replacing(figure, found.get(span))
        return found

    def accepted(self, figure: Figure) -> datetime | None:
        """The moment from which the figure was known: the last acceptance among its reports."""
        moments = [one.known for source in figure.sources if (one := self.by_accession.get(source.accession)) is not None]
        known = [moment for moment in moments if moment is not None]
        return max(known) if known and len(known) == len(moments) else None

    def report_on(self, end: date) -> Filing | None:
        """The last accepted report with a balance sheet at the end of ``end``: amendments may hold none."""
        return next((one for one in reversed(self.filings) if one.end == end and one.bs), None)

    def jumps(self) -> Iterator[tuple[Span, str]]:
        """Jumps of the diluted shares between reports that look like a split, with words, in order of time."""
        shares = [(span, found["diluted_shares"]) for span, found in self._in_order("ic") if "diluted_shares" in found]
        for (before, old), (after, new) in pairwise(shares):
            if old.value <= 0 or new.value <= 0:
                continue
            factor = max(new.value / old.value, old.value / new.value)
            if any(abs(factor / split - 1) <= _NEAR for split in SPLITS):
                way = "grew" if new.value > old.value else "shrank"
                yield (
                    after,
                    f"diluted shares {way} {factor:.3g}-fold between the reports to {before.end} and to {after.end}, which "
                    f"looks like a split: shares and EPS to {before.end} and before are as reported then",
                )

    def _in_order(self, statement: Statement) -> list[tuple[Span, Mapping[str, Figure]]]:
        """One reported period for each end, the shortest, in order of time."""
        shortest: dict[date, Span] = {}
        for span in self.spans(statement):
            shortest[span.end] = min(span, shortest.get(span.end, span), key=lambda one: one.days)
        return [(span, self.told(statement)[span]) for _, span in sorted(shortest.items())]


def _acceptance(filing: Filing) -> tuple[datetime, str]:
    return filing.known or datetime.min.replace(tzinfo=UTC), filing.accession


def _replacing(figure: Figure, earlier: Figure | None) -> Figure:
    if earlier is None:
        return figure
    return replace(figure, replaced=(*figure.replaced, *earlier.sources, *earlier.replaced))


def _names(source: Source) -> str:
    return bare(source.concept)


def _put_together(told: Mapping[Span, Figure], span: Span) -> Figure | None:
    parts = add_up(told, span)
    if parts is None:
        return None
    found = [told[part.span] for part in parts]
    if len(parts) == 1:
        return found[0]
    if len({figure.measure for figure in found}) > 1:
        # Two currencies have no sum.
        return None
    words = "".join(f" {'+' if part.sign > 0 else '−'} {part.span}" for part in parts).removeprefix(" + ")
    return Figure(
        item=found[0].item,
        value=sum(part.sign * figure.value for part, figure in zip(parts, found, strict=True)),
        measure=found[0].measure,
        start=span.start,
        end=span.end,
        sources=tuple(source for figure in found for source in figure.sources),
        derived=words,
        replaced=tuple(source for figure in found for source in figure.replaced),
        notes=tuple(dict.fromkeys(note for figure in found for note in figure.notes)),
    )
