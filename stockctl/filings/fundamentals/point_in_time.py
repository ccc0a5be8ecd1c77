"""What had been reported of a company by a moment: standard items of every period that they tell or add up to.

Of several reports on one period the last accepted tells an item; what the earlier ones said stays with it. Only flows are put
together from several periods; shares and amounts per share are told for the reported periods alone. Of two companies that had
the ticker one after the other nothing is put together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

from stockctl.filings.fundamentals import registrants
from stockctl.filings.fundamentals.periods import Part, Span, add_up
from stockctl.filings.fundamentals.reported_dates import put_right
from stockctl.filings.fundamentals.splits import Jump, jumps
from stockctl.filings.model import STATEMENTS, Filing, Statement, bare
from stockctl.filings.standardize.line_items import Figure, StandardItem, digits, minus, table
from stockctl.filings.standardize.standardize import Reading, amended, concept_figure, read

Told = dict[Span, dict[str, Figure]]
"""Standard items by the period of their reports; of balance sheets, which know one day, its start is its end."""

_SLICED = frozenset(("revenue", "net_income"))
_MUCH = 0.02  # of an item: what one of its concepts is off by where it is a part
_NEAR_DAYS = 400  # companies change their concepts with the years
_ALIKE = 0.02  # how far one of an item's concepts may be from what the report gives for the item, to stand in for it


class PointInTimeView:
    """The reports of one company that were public at ``as_of`` (None: all there are), and what follows from them.

    ``undated`` are reports left out because nothing tells when they became public, ``later`` those accepted afterwards. Where
    reports have several CIKs and none of them is a successor, the company is that of the newest period, and ``others`` are the
    others, the newest first. ``ciks`` chooses: reports of these alone, all of them as one company's.
    """

    def __init__(self, filings: Iterable[Filing], as_of: datetime | None = None, ciks: Collection[str] = ()) -> None:
        every = list({filing.accession: filing for filing in filings}.values())
        self.as_of = as_of
        self.undated = [one for one in every if as_of is not None and one.known is None]
        self.later = [one for one in every if as_of is not None and one.known is not None and one.known > as_of]
        left_out = {one.accession for one in (*self.undated, *self.later)}
        public = sorted((one for one in every if one.accession not in left_out), key=_acceptance)
        chosen = [one for one in public if registrants.cik_of(one) in ciks]
        held = [chosen] if ciks else registrants.companies(public) or [[]]
        self.filings, self.dates = put_right(held[-1])
        self.by_accession = {one.accession: one for one in self.filings}
        self.others = [PointInTimeView(group) for group in reversed(held[:-1])]

    def told(self, statement: Statement) -> Told:
        """The standard items of each period that has a report."""
        return self._told[statement]

    @cached_property
    def _readings(self) -> dict[Statement, list[tuple[Filing, Reading]]]:
        return {name: [*self._read(name)] for name in STATEMENTS}

    def _read(self, statement: Statement) -> Iterator[tuple[Filing, Reading]]:
        """The reports' readings; one that gives a part of an earlier one anew is read together with that."""
        before: dict[tuple[date | None, date | None], tuple[list[Filing], Reading]] = {}
        for filing in self.filings:
            period = (None if statement == "bs" else filing.start, filing.end)
            earlier, old = before.get(period, ([], Reading({}, {})))
            reading = read(filing, statement)
            told = len(reading.figures)
            is_part = (told > 0 or bool(reading.unclear)) and 2 * told <= len(old.figures)
            if is_part:
                reading = amended(old, reading, read(filing, statement, earlier), filing.accession)
            before[period] = ([filing, *earlier] if is_part else [filing], reading)
            yield filing, reading

    @cached_property
    def _told(self) -> dict[Statement, Told]:
        return {name: self._newest(name) for name in STATEMENTS}

    def _newest(self, statement: Statement) -> Told:
        told: Told = {}
        for _, reading in self._readings[statement]:
            for name, figure in reading.figures.items():
                if name in self._slices and self._slice(figure) is not None:
                    continue
                of_period = told.setdefault(Span(figure.start or figure.end, figure.end), {})
                of_period[name] = _replacing(figure, of_period.get(name))
        return told

    @cached_property
    def _slices(self) -> dict[str, dict[str, Filing]]:
        """Concepts that tell something else than an item in one of the reports, by item, with that report."""
        found: dict[str, dict[str, Filing]] = {}
        for filing, reading in self._readings["ic"]:
            for name in _SLICED & reading.figures.keys():
                figure = reading.figures[name]
                for concept in table()[name].concepts:
                    values = [line.value for line in filing.ic if line.name == concept and line.value is not None]
                    if values and all(abs(value - figure.value) > _MUCH * abs(figure.value) for value in values):
                        found.setdefault(name, {}).setdefault(concept, filing)
        return found

    def _slice(self, figure: Figure) -> str | None:
        """Words on a figure by a concept alone that tells something else in a report of about the same time."""
        if len(figure.sources) > 1 or figure.proved:
            return None
        filing = self._slices.get(figure.item, {}).get(bare(figure.sources[0].concept))
        if filing is None or filing.end is None or abs((filing.end - figure.end).days) > _NEAR_DAYS:
            return None
        told = f"{figure.sources[0].concept} {digits(figure.value)}"
        return f"{figure.item}: {told} stands alone, and is another amount than it in {filing.accession}"

    @cached_property
    def _unclear(self) -> dict[str, dict[Span, str]]:
        """Words on items that reports leave unclear, by item and period; the last accepted report's."""
        found: dict[str, dict[Span, str]] = {}
        for statement, readings in self._readings.items():
            for filing, reading in readings:
                if filing.end is None:
                    continue
                span = Span(filing.end if statement == "bs" else filing.start or filing.end, filing.end)
                slices = [one for name in self._slices if (one := reading.figures.get(name)) is not None]
                alone = {one.item: words for one in slices if (words := self._slice(one)) is not None}
                for name, words in (reading.unclear | alone).items():
                    if name not in self.told(statement).get(span, {}):
                        found.setdefault(name, {})[span] = f"{words} ({filing.accession})"
        return found

    def why(self, name: str, span: Span) -> tuple[str, ...]:
        """Why an item of a period has no value, where a report that it stands on leaves the item unclear."""
        item = table()[name]
        beside = (span.start, span.end, span.start - timedelta(days=1))
        words = [
            text
            for period, text in self._unclear.get(name, {}).items()
            if period.end in beside or span.start <= period.end <= span.end
        ]
        for other in item.minus or ():
            words += self.why(other, span)
        return tuple(dict.fromkeys(words))

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
        parts = add_up(told, span)
        figure = _put_together(told, span, parts)
        if figure is None or item.minus or len(concepts := _concepts(told, parts)) < 2:
            return figure or self._difference(item, span)
        # The reports name the item by different concepts, which need not mean quite the same: better by one of them throughout.
        for concept in item.concepts:
            alike = self._by_concept(item, concept, told)
            same = _put_together(alike, span, add_up(alike, span))
            if same is not None:
                return same
        note = f"{name} to {span.end}: put together from {' and '.join(concepts)}"
        return replace(figure, notes=(*figure.notes, note))

    def _difference(self, item: StandardItem, span: Span) -> Figure | None:
        return minus(item, *(self.over(name, span) for name in item.minus)) if item.minus else None

    def _by_concept(self, item: StandardItem, concept: str, told: Mapping[Span, Figure]) -> dict[Span, Figure]:
        found: dict[Span, Figure] = {}
        for filing in self.filings:
            figure = concept_figure(filing, item, concept)
            if figure is None:
                continue
            span = Span(figure.start or figure.end, figure.end)
            # One that is a slice of the item in this report cannot stand in for it.
            if span in told and abs(figure.value - told[span].value) <= _ALIKE * abs(told[span].value):
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

    def jumps(self) -> Iterator[Jump]:
        """Jumps of the shares between reports that look like a split, in order of time."""
        held = [(span, found, self.told("bs").get(Span(span.end, span.end), {})) for span, found in self._in_order("ic")]
        return jumps(held, self._earned)

    def _earned(self, after: date, end: date) -> float:
        """Net income after one day to the end of another; of the report on the latter where that cannot be told, else 0."""
        told = self.over("net_income", Span(after + timedelta(days=1), end))
        if told is None:
            spans = [span for span in self.spans("ic") if span.end == end]
            told = next((one for span in spans if (one := self.over("net_income", span)) is not None), None)
        return told.value if told is not None else 0.0

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
    if figure.sources == earlier.sources:
        return replace(figure, replaced=earlier.replaced)
    return replace(figure, replaced=(*figure.replaced, *earlier.sources, *earlier.replaced))


def _concepts(told: Mapping[Span, Figure], parts: Iterable[Part] | None) -> list[str]:
    """The different concepts by which the periods that are put together name the item."""
    found = [told[part.span].concept for part in parts or ()]
    return list({bare(concept): concept for concept in found}.values())


def _put_together(told: Mapping[Span, Figure], span: Span, parts: Sequence[Part] | None) -> Figure | None:
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
