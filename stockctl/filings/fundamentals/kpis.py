"""KPIs of a company: formulas over standard items, each with its inputs. A KPI with a missing input has no value.

Flows are those of the newest twelve months, balances those of the newest report, EPS that of the newest year, because EPS of
quarters cannot be added. The caller provides the price.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, NamedTuple

from stockctl.filings.fundamentals.kpi_definitions import KPIS, Kpi
from stockctl.filings.fundamentals.periods import Span, ending
from stockctl.filings.fundamentals.point_in_time import PointInTimeView
from stockctl.filings.standardize.standard_items import Figure, digits, table
from stockctl.settings import ValuationSettings
from stockctl.units import format_price

Row = dict[str, Any]

_MAX_APART = 457  # days: fifteen months
_MIN_EPS = 0.1  # below it, rounding to cents is too coarse

TRADE_CURRENCY = "usd"
"""The currency of trades: only US listings file the reports that KPIs are computed from."""


class Price(NamedTuple):
    """A price, its origin, and its currency (empty: that of the statements)."""

    value: float
    origin: str
    currency: str = ""


@dataclass(frozen=True)
class Input:
    """An input of a KPI. A value of None is missing, and ``notes`` may say why.

    An ``old`` input does not fit a price: it is from before a split, or from years before the newest report.
    """

    name: str
    value: float | None
    unit: str = ""
    start: date | None = None
    end: date | None = None
    origin: str = ""
    derived: bool = False
    notes: tuple[str, ...] = ()
    old: bool = False


class KpiValue(NamedTuple):
    """A KPI with its value and inputs. Without a value, ``notes`` say what is missing or why it is meaningless."""

    kpi: Kpi
    value: float | None
    unit: str
    inputs: list[Input]
    notes: list[str]

    @property
    def period(self) -> tuple[date | None, date | None]:
        """The first and the last day of the inputs."""
        starts = [one.start for one in self.inputs if one.start]
        ends = [one.end for one in self.inputs if one.end]
        return min(starts, default=None), max(ends, default=None)


class Basis(NamedTuple):
    """The periods of the inputs; None if the reports have none."""

    twelve_months: Span | None
    balance: date | None
    year: Span | None
    shares: Span | None


def basis(known: PointInTimeView) -> tuple[Basis, list[str]]:
    """The newest known periods, and notes if they are not those of the newest report."""
    income, balance = known.spans("ic"), known.spans("bs")
    years = [span for span in income if span.lasts("year")]
    newest = income[-1].end if income else None
    twelve = ending(income, newest, "year") if newest else None
    words = []
    if newest and twelve is None:
        twelve = years[-1] if years else None
        instead = f"the flows are those of the year {twelve}" if twelve else "there are no flows"
        words.append(f"the reports do not give the twelve months to {newest}: {instead}")
    if years:
        words += [jump.words for jump in known.splits() if jump.after.end > years[-1].end]
    with_shares = [span for span in income if "diluted_shares" in known.reported("ic")[span]]
    found = Basis(
        twelve_months=twelve,
        balance=balance[-1].end if balance else None,
        year=years[-1] if years else None,
        shares=with_shares[-1] if with_shares else None,
    )
    return found, words


def kpis(known: PointInTimeView, settings: ValuationSettings, price: Price | None = None) -> tuple[list[KpiValue], list[str]]:
    """Every KPI, and notes on the periods of the inputs."""
    found, words = basis(known)
    return compute(inputs_of(known, found, settings, price)), words


def compute(inputs: Mapping[str, Input], wanted: Iterable[Kpi] = KPIS) -> list[KpiValue]:
    """The KPIs ``wanted`` from ``inputs``; each may be an input of later ones."""
    held = dict(inputs)
    values: list[KpiValue] = []
    for kpi in wanted:
        one = _value(kpi, [held[name] for name in kpi.inputs])
        values.append(one)
        if kpi.name not in kpi.inputs:
            start, end = one.period
            held[kpi.name] = Input(kpi.name, one.value, one.unit, start, end, kpi.formula, True, tuple(one.notes))
    return values


def _value(kpi: Kpi, inputs: list[Input]) -> KpiValue:
    money = {one.unit.removesuffix("/share") for one in inputs if one.unit not in ("", "%", "x", "shares")}
    unit = next(iter(money), "") if kpi.unit == "money" else kpi.unit
    if kpi.name == "eps":
        unit = inputs[0].unit
    values = [one.value for one in inputs if one.value is not None]
    apart = [one.name for one in inputs if one.old] if "price" in kpi.inputs else []
    below = [one.name for one in inputs if one.name in kpi.positive and one.value is not None and one.value <= 0]
    value, reason = None, None
    if len(values) < len(inputs):
        # Only name inputs whose own notes do not say why they are missing.
        silent = [one.name for one in inputs if one.value is None and not one.notes]
        reason = f"missing: {', '.join(silent)}" if silent else None
    elif below:
        reason = f"not meaningful: {', '.join(below)} is not above 0"
    elif apart:
        reason = f"price and {', '.join(apart)} do not go together"
    elif len(money) > 1:
        reason = f"amounts in {' and '.join(sorted(money))} do not go together"
    elif (reason := _far_apart(inputs)) is None:
        value = kpi.compute(*values) * (100 if kpi.unit == "%" else 1)
    notes = dict.fromkeys(note for one in inputs for note in one.notes)
    return KpiValue(kpi, value, unit, inputs, [*([reason] if reason else []), *notes])


def _far_apart(inputs: Iterable[Input]) -> str | None:
    """A note if inputs are more than fifteen months apart; else None."""
    dated = sorted((one.end, one.name) for one in inputs if one.end is not None)
    if not dated or (dated[-1][0] - dated[0][0]).days <= _MAX_APART:
        return None
    (first, old), (last, new) = dated[0], dated[-1]
    return f"{old} to {first} and {new} at {last} are more than 15 months apart"


def inputs_of(known: PointInTimeView, found: Basis, settings: ValuationSettings, price: Price | None) -> dict[str, Input]:
    """Every input of the KPIs by its name."""
    split = max((jump.after.end for jump in known.splits() if jump.sure), default=None)
    newest = max((one.end for one in known.filings if one.end is not None), default=None)
    inputs = {}
    for item in table().values():
        if item.kind == "instant":
            span = Span(found.balance, found.balance) if found.balance else None
            figure = known.at(item.name, found.balance) if found.balance else None
        else:
            span = {"money": found.twelve_months, "per_share": found.year, "shares": found.shares}[item.amount]
            figure = known.over(item.name, span) if span else None
        one = _input(item.name, figure)
        if one.value is None and (asked := span or found.year) is not None:
            one = replace(one, notes=known.why(item.name, asked))
        if item.amount != "money" and split is not None and one.end is not None and one.end < split:
            note = f"{item.name}: from before what looks like a split, in the diluted shares of the report to {split}"
            one = replace(one, notes=(*one.notes, note), old=True)
        elif one.end is not None and newest is not None and (newest - one.end).days > _MAX_APART:
            note = f"{item.name}: to {one.end}, more than 15 months before the newest report, to {newest}"
            one = replace(one, notes=(*one.notes, note), old=True)
        inputs[item.name] = one
    if inputs["diluted_shares"].value is None:
        inputs["diluted_shares"] = _shares_by_eps(inputs["diluted_shares"], known, found, inputs["eps"])
    if inputs["total_debt"].value is None and not inputs["total_debt"].notes:
        inputs["total_debt"] = Input("total_debt", None, notes=("missing: total_debt, the report has no line of debt",))
    currency = inputs["eps"].unit.removesuffix("/share") or inputs["revenue"].unit
    return inputs | valuation(settings, price and price._replace(currency=price.currency or currency))


def _shares_by_eps(missing: Input, known: PointInTimeView, found: Basis, eps: Input) -> Input:
    """Diluted shares as income over EPS of the newest year, if no report has them and EPS is more than a few cents."""
    income = None
    if found.year is not None:
        income = known.over("income_to_common", found.year) or known.over("net_income", found.year)
    if income is None or eps.value is None or abs(eps.value) < _MIN_EPS or income.value / eps.value <= 0:
        return missing
    origin = f"{income.item} / eps"
    note = f"diluted_shares: no report has them, so they are {origin}, as exact as EPS"
    notes = (*missing.notes, *eps.notes, note)
    return Input(missing.name, income.value / eps.value, "shares", eps.start, eps.end, origin, True, notes, eps.old)


def valuation(settings: ValuationSettings, price: Price | None) -> dict[str, Input]:
    """The inputs that are not in statements: the price and the parameters of the cost of capital."""
    inputs = {"price": Input("price", None)}
    if price is not None:
        inputs["price"] = Input("price", price.value, price.currency, origin=price.origin)
    for name, value in settings.model_dump().items():
        rate = (value, "x") if name == "beta" else (value * 100, "%")
        inputs[name] = Input(name, *rate, origin=f"setting valuation.{name}")
    return inputs


def _input(name: str, figure: Figure | None) -> Input:
    if figure is None:
        return Input(name, None)
    origin = f"{figure.concept} in {figure.accession}" + (f": {figure.derived}" if figure.derived else "")
    return Input(name, figure.value, figure.measure, figure.start, figure.end, origin, bool(figure.derived), figure.notes)


def rows(values: list[KpiValue], symbol: str, *, explain: bool, flat: bool = False) -> list[Row]:
    """One row per KPI. ``explain`` adds its formula and ``inputs``: as rows, or with ``flat`` as text."""
    made = []
    for one in values:
        start, end = one.period
        row: Row = {"symbol": symbol, "kpi": one.kpi.name, "value": one.value, "unit": one.unit}
        row |= {"period_start": start, "period_end": end, "derived": any(each.derived for each in one.inputs)}
        row |= {"notes": "; ".join(one.notes) or None}
        if explain:
            inputs = [_input_row(each) for each in one.inputs]
            row |= {"formula": one.kpi.formula, "inputs": "; ".join(map(_input_text, inputs)) if flat else inputs}
        made.append(row)
    return made


def shown(made: Iterable[Row], *, explain: bool, as_text: Callable[[float, str], str] | None = None) -> list[Row]:
    """Rows for a table; ``explain`` adds each KPI's inputs below it, with their origin.

    ``as_text`` writes a value with its unit; digits by default.
    """
    lines: list[Row] = []
    for row in made:
        lines.append(row | ({"from": f"= {row['formula']}"} if explain else {}))
        for one in row["inputs"] if explain else ():
            lines.append(one | {"kpi": f"    {one['name']}", "from": one["from"] + (" (derived)" if one["derived"] else "")})
    # Show billions in digits, not in powers of ten.
    write = as_text or (lambda value, _: digits(value))
    # Beta is a plain number to people.
    units = ["" if line["kpi"].strip() == "beta" else line["unit"] or "" for line in lines]
    texts = ["" if line["value"] is None else write(line["value"], unit) for line, unit in zip(lines, units, strict=True)]
    width = max(map(len, texts), default=0)
    return [line | {"value": text.rjust(width)} for line, text in zip(lines, texts, strict=True)]


def assumptions(settings: ValuationSettings, symbol: str, price: Price | None) -> Iterator[str]:
    """The price and the other assumptions that do not come from statements."""
    if price is None:
        yield f"no price: the lake holds no trade of {symbol} with one"
    else:
        yield f"price {format_price(price.value)}: {price.origin}"
    one = settings
    yield (
        f"the cost of capital assumes a risk-free rate of {100 * one.risk_free_rate:.2f}%, an equity premium of "
        f"{100 * one.equity_premium:.2f}% and a beta of {one.beta:.2f}: the settings valuation.* change them"
    )
    yield "flows are of the newest twelve months, balances of the newest report, EPS of the newest year, as reported"


def _input_row(one: Input) -> Row:
    return {
        "name": one.name,
        "value": one.value,
        "unit": one.unit,
        "period_start": one.start and one.start.isoformat(),
        "period_end": one.end and one.end.isoformat(),
        "derived": one.derived,
        "from": one.origin,
    }


def _input_text(row: Row) -> str:
    value = "missing" if row["value"] is None else f"{digits(row['value'])} {row['unit']}".rstrip()
    return f"{row['name']} {value}" + (f" ({row['from']})" if row["from"] else "")
