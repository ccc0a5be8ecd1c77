"""What the reports of a company said at a point in time: standard items of reported periods, and of combinations of them.

If several reports cover one period, the last accepted one counts; the values of earlier ones stay with the figure. Only flows
are combined from several periods. Shares and amounts per share exist for reported periods alone. Reports of two companies that
had the ticker one after the other are never combined.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

from stockctl.filings.fundamentals import registrants
from stockctl.filings.fundamentals.periods import Part, Span, add_up, formula
from stockctl.filings.fundamentals.reported_dates import correct_dates
from stockctl.filings.fundamentals.splits import SplitCandidate, split_candidates
from stockctl.filings.model import STATEMENTS, Filing, Statement, bare
from stockctl.filings.standardize.standard_items import Figure, StandardItem, digits, minus, table
from stockctl.filings.standardize.statement import StandardStatement, concept_figure, merge_amendment, standardize

FiguresByPeriod = dict[Span, dict[str, Figure]]
"""Standard items by reported period. A balance sheet's period starts and ends on its day."""

_PARTIAL_ITEMS = frozenset(("revenue", "net_income"))
"""Items of which one concept may be only a part."""
_TOLERANCE = 0.02  # relative: a concept that differs more from the item is a part of it
_NEAR_DAYS = 400  # companies change their concepts over the years


class PointInTimeView:
    """The reports of one company that were public at ``as_of`` (None: all reports).

    ``undated`` are reports without a known time of publication, which are left out; ``later`` those accepted after ``as_of``.
    If reports have several CIKs and none is a successor of another, the company is the one with the newest period, and
    ``others`` are the views of the other companies, the newest first. ``ciks`` selects reports, as those of one company.
    """

    def __init__(self, filings: Iterable[Filing], as_of: datetime | None = None, ciks: Collection[str] = ()) -> None:
        unique = list({filing.accession: filing for filing in filings}.values())
        self.as_of = as_of
        self.undated = [one for one in unique if as_of is not None and one.known is None]
        self.later = [one for one in unique if as_of is not None and one.known is not None and one.known > as_of]
        left_out = {one.accession for one in (*self.undated, *self.later)}
        public = sorted((one for one in unique if one.accession not in left_out), key=_acceptance)
        chosen = [one for one in public if registrants.cik_of(one) in ciks]
        companies = [chosen] if ciks else registrants.companies(public) or [[]]
        self.filings, self.date_notes = correct_dates(companies[-1])
        self.by_accession = {one.accession: one for one in self.filings}
        self.others = [PointInTimeView(group) for group in reversed(companies[:-1])]

    def reported(self, statement: Statement) -> FiguresByPeriod:
        """The standard items of each reported period."""
        return self._reported[statement]

    @cached_property
    def _statements(self) -> dict[Statement, list[tuple[Filing, StandardStatement]]]:
        return {name: [*self._standardized(name)] for name in STATEMENTS}

    def _standardized(self, statement: Statement) -> Iterator[tuple[Filing, StandardStatement]]:
        """The statement of each report. An amendment of a part is merged with the report that it amends."""
        previous: dict[tuple[date | None, date | None], tuple[list[Filing], StandardStatement]] = {}
        for filing in self.filings:
            period = (None if statement == "bs" else filing.start, filing.end)
            earlier, original = previous.get(period, ([], StandardStatement({}, {})))
            standard = standardize(filing, statement)
            count = len(standard.figures)
            is_part = (count > 0 or bool(standard.unclear)) and 2 * count <= len(original.figures)
            if is_part:
                merged = standardize(filing, statement, earlier)
                standard = merge_amendment(original, standard, merged, filing.accession)
            previous[period] = ([filing, *earlier] if is_part else [filing], standard)
            yield filing, standard

    @cached_property
    def _reported(self) -> dict[Statement, FiguresByPeriod]:
        return {name: self._newest(name) for name in STATEMENTS}

    def _newest(self, statement: Statement) -> FiguresByPeriod:
        periods: FiguresByPeriod = {}
        for _, standard in self._statements[statement]:
            for name, figure in standard.figures.items():
                if name in self._partial_concepts and self._why_partial(figure) is not None:
                    continue
                figures = periods.setdefault(Span(figure.start or figure.end, figure.end), {})
                figures[name] = _replacing(figure, figures.get(name))
        return periods

    @cached_property
    def _partial_concepts(self) -> dict[str, dict[str, Filing]]:
        """By item, the concepts that are not the item in one of the reports, with that report."""
        partial: dict[str, dict[str, Filing]] = {}
        for filing, standard in self._statements["ic"]:
            for name in _PARTIAL_ITEMS & standard.figures.keys():
                figure = standard.figures[name]
                for concept in table()[name].concepts:
                    values = [line.value for line in filing.ic if line.name == concept and line.value is not None]
                    if values and all(abs(value - figure.value) > _TOLERANCE * abs(figure.value) for value in values):
                        partial.setdefault(name, {}).setdefault(concept, filing)
        return partial

    def _why_partial(self, figure: Figure) -> str | None:
        """The reason why a figure may be only a part: its one concept is not the item in a report of about the same time."""
        if len(figure.sources) > 1 or figure.proved:
            return None
        filing = self._partial_concepts.get(figure.item, {}).get(bare(figure.sources[0].concept))
        if filing is None or filing.end is None or abs((filing.end - figure.end).days) > _NEAR_DAYS:
            return None
        source = f"{figure.sources[0].concept} {digits(figure.value)}"
        return f"{figure.item}: {source} may be only a part: in {filing.accession} the concept is not {figure.item}"

    @cached_property
    def _unclear(self) -> dict[str, dict[Span, str]]:
        """Why items are unclear, by item and period; from the last accepted report."""
        unclear: dict[str, dict[Span, str]] = {}
        for statement, standards in self._statements.items():
            for filing, standard in standards:
                if filing.end is None:
                    continue
                span = Span(filing.end if statement == "bs" else filing.start or filing.end, filing.end)
                candidates = [one for name in self._partial_concepts if (one := standard.figures.get(name)) is not None]
                partial = {one.item: reason for one in candidates if (reason := self._why_partial(one)) is not None}
                for name, reason in (standard.unclear | partial).items():
                    if name not in self.reported(statement).get(span, {}):
                        unclear.setdefault(name, {})[span] = f"{reason} ({filing.accession})"
        return unclear

    def why(self, name: str, span: Span) -> tuple[str, ...]:
        """Why an item of a period has no value, if one of the reports for that period leaves the item unclear."""
        item = table()[name]
        ends = (span.start, span.end, span.start - timedelta(days=1))
        reasons = [
            text
            for period, text in self._unclear.get(name, {}).items()
            if period.end in ends or span.start <= period.end <= span.end
        ]
        for other in item.minus or ():
            reasons += self.why(other, span)
        return tuple(dict.fromkeys(reasons))

    def spans(self, statement: Statement) -> list[Span]:
        """The reported periods of a statement, in order of their ends."""
        return sorted(self.reported(statement), key=lambda span: (span.end, span.start))

    def at(self, name: str, day: date) -> Figure | None:
        """An item of the balance sheet at the end of ``day``."""
        return self.reported(table()[name].statement).get(Span(day, day), {}).get(name)

    def over(self, name: str, span: Span) -> Figure | None:
        """An item over a period: as reported, or for flows also as a combination of reported periods."""
        item = table()[name]
        reported = {period: figures[name] for period, figures in self.reported(item.statement).items() if name in figures}
        if span in reported or item.kind != "flow":
            return reported.get(span)
        parts = add_up(reported, span)
        figure = _combined(reported, span, parts)
        if figure is None or item.minus or len(concepts := _concepts(reported, parts)) < 2:
            return figure or self._difference(item, span)
        # The reports use different concepts for the item, which may differ in meaning. Prefer one concept for all of them.
        for concept in item.concepts:
            same = self._by_concept(item, concept, reported)
            consistent = _combined(same, span, add_up(same, span))
            if consistent is not None:
                return consistent
        note = f"{name} to {span.end}: combined from different concepts: {' and '.join(concepts)}"
        return replace(figure, notes=(*figure.notes, note))

    def _difference(self, item: StandardItem, span: Span) -> Figure | None:
        return minus(item, *(self.over(name, span) for name in item.minus)) if item.minus else None

    def _by_concept(self, item: StandardItem, concept: str, reported: Mapping[Span, Figure]) -> dict[Span, Figure]:
        """The item by one concept, for the periods where that concept is the item and not a part of it."""
        figures: dict[Span, Figure] = {}
        for filing in self.filings:
            figure = concept_figure(filing, item, concept)
            if figure is None:
                continue
            span = Span(figure.start or figure.end, figure.end)
            if span in reported and abs(figure.value - reported[span].value) <= _TOLERANCE * abs(reported[span].value):
                figures[span] = _replacing(figure, figures.get(span))
        return figures

    def accepted(self, figure: Figure) -> datetime | None:
        """The time from which the figure was known: the last acceptance among its reports; None if one is unknown."""
        times = [one.known for source in figure.sources if (one := self.by_accession.get(source.accession)) is not None]
        known = [moment for moment in times if moment is not None]
        return max(known) if known and len(known) == len(times) else None

    def report_on(self, end: date) -> Filing | None:
        """The last accepted report with a balance sheet at the end of ``end``. Amendments may have none."""
        return next((one for one in reversed(self.filings) if one.end == end and one.bs), None)

    def splits(self) -> Iterator[SplitCandidate]:
        """Changes of the share count between reports that look like a split, in order of time."""
        income, balances = self.reported("ic"), self.reported("bs")
        # The shortest reported period to each end.
        shortest = {span.end: span for span in sorted(income, key=lambda span: span.days, reverse=True)}
        periods = [(span, income[span], balances.get(Span(end, end), {})) for end, span in sorted(shortest.items())]
        return split_candidates(periods, self._earned)

    def _earned(self, after: date, end: date) -> float:
        """Net income from the day after ``after`` to ``end``; if unknown, that of the report to ``end``; else 0."""
        income = self.over("net_income", Span(after + timedelta(days=1), end))
        if income is None:
            spans = [span for span in self.spans("ic") if span.end == end]
            income = next((one for span in spans if (one := self.over("net_income", span)) is not None), None)
        return income.value if income is not None else 0.0


def _acceptance(filing: Filing) -> tuple[datetime, str]:
    return filing.known or datetime.min.replace(tzinfo=UTC), filing.accession


def _replacing(figure: Figure, earlier: Figure | None) -> Figure:
    if earlier is None:
        return figure
    if figure.sources == earlier.sources:
        return replace(figure, replaced=earlier.replaced)
    return replace(figure, replaced=(*figure.replaced, *earlier.sources, *earlier.replaced))


def _concepts(reported: Mapping[Span, Figure], parts: Iterable[Part] | None) -> list[str]:
    """The different concepts of the item in the combined periods."""
    concepts = [reported[part.span].concept for part in parts or ()]
    return list({bare(concept): concept for concept in concepts}.values())


def _combined(reported: Mapping[Span, Figure], span: Span, parts: Sequence[Part] | None) -> Figure | None:
    """The figure over ``span`` from its parts; None if there are none, or if their currencies differ."""
    if parts is None:
        return None
    figures = [reported[part.span] for part in parts]
    if len(parts) == 1:
        return figures[0]
    if len({figure.measure for figure in figures}) > 1:
        return None
    return Figure(
        item=figures[0].item,
        value=sum(part.sign * figure.value for part, figure in zip(parts, figures, strict=True)),
        measure=figures[0].measure,
        start=span.start,
        end=span.end,
        sources=tuple(source for figure in figures for source in figure.sources),
        derived=formula(parts),
        replaced=tuple(source for figure in figures for source in figure.replaced),
        notes=tuple(dict.fromkeys(note for figure in figures for note in figure.notes)),
    )
