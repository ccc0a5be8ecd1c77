"""Corrections of amounts per share: EPS cut to an integer, shares in thousands or millions, several classes of shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stockctl.filings.model import Item
from stockctl.filings.standardize.reported_lines import StatementLines, describe
from stockctl.filings.standardize.standard_items import Figure, income_to_common, minus, table

_HALF_CENT = 0.005
_SCALES = (1e3, 1e6)
_MIN_EPS = 0.006  # below a cent, EPS does not even show the scale
_PREFERRED = ("PreferredStockDividendsIncomeStatementImpact", "DividendsPreferredStock", "PreferredStockDividends")
_SHARES = {"eps": "diluted_shares", "eps_basic": "basic_shares"}


def correct_units(lines: StatementLines, figures: dict[str, Figure], unclear: dict[str, str]) -> dict[str, Figure]:
    """The figures with shares in single units, and with EPS computed where Finnhub cut it to an integer.

    Both are marked as derived. Otherwise the reported EPS stays: it is based on income to common shares, which a report may not
    have, so net income over shares would differ. Companies with several classes of shares have several lines of EPS or shares;
    one is taken if income proves it. ``unclear`` are the items with several lines.
    """
    figures = figures | _income_to_common(lines, figures)
    for eps, shares in _SHARES.items():
        figures = figures | _of_classes(lines, figures, eps, shares, unclear)
    if "eps_basic" in unclear and "eps" in unclear and "eps" in figures:
        figures = figures | _same_class(lines, figures["eps"])
    figures = figures | {name: _scaled(figures, eps, name) for eps, name in _SHARES.items() if name in figures}
    # Correct both from the reported values: one that is already computed would look as if it had never been cut.
    return figures | {name: _uncut(figures, name) for name in _SHARES if name in figures}


def _income_to_common(lines: StatementLines, figures: dict[str, Figure]) -> dict[str, Figure]:
    """Income to common shares as net income minus preferred dividends, if the report has only these two."""
    if "income_to_common" in figures or "net_income" not in figures:
        return {}
    preferred = lines.first(table()["net_income"], *_PREFERRED)
    if not isinstance(preferred, Item) or not preferred.value:
        return {}
    dividends = lines.figure(table()["net_income"], [preferred])
    common = minus(table()["income_to_common"], figures["net_income"], dividends)
    if common is None:
        return {}
    return {"income_to_common": common.changed(common.value, derived=f"net_income − {preferred.concept}")}


def _proves_other(figures: dict[str, Figure], name: str) -> bool:
    """Whether the other EPS has cents and is income over its own shares. Then this one would be too, had it not been cut."""
    other = next(one for one in _SHARES if one != name)
    eps, shares, income = figures.get(other), figures.get(_SHARES[other]), income_to_common(figures)
    if eps is None or shares is None or income is None or shares.value <= 0 or eps.value == int(eps.value):
        return False
    return abs(income.value / shares.value - eps.value) <= 2 * _HALF_CENT


def _of_classes(
    lines: StatementLines, figures: dict[str, Figure], eps: str, shares: str, unclear: dict[str, str]
) -> dict[str, Figure]:
    """EPS or shares with several lines: the one line, or the sum of the shares, with which EPS times shares is income."""
    income = income_to_common(figures)
    if income is None or not {eps, shares} & unclear.keys():
        return {}
    if eps in unclear and shares in unclear:
        return _as_converted(lines, income, eps, shares)
    several = eps if eps in unclear else shares
    one = figures.get(shares if several is eps else eps)
    if one is None or not one.value:
        return {}
    item = table()[several]
    candidates = _candidates(lines, several)
    choices: list[Sequence[Item]] = [[line] for line in {line.value: line for line in candidates}.values()]
    if several is shares:
        choices.append(candidates)
    proved = []
    for some in choices:
        total = sum(line.value or 0.0 for line in some)
        per_share, count = (total, one.value) if several is eps else (one.value, total)
        if count > 0 and abs(income.value / count - per_share) <= 2 * _HALF_CENT:
            proved.append(some)
    if len(proved) != 1:
        return {}
    note = f"{several}: chosen from {describe(candidates)}, because it fits income"
    return {several: lines.figure(item, proved[0], note=note)}


def _candidates(lines: StatementLines, name: str) -> list[Item]:
    """The lines of the first of the item's concepts that the statement has."""
    item = table()[name]
    return next((named for concept in item.concepts if (named := lines.named(item, concept))), [])


def _as_converted(lines: StatementLines, income: Figure, eps: str, shares: str) -> dict[str, Figure]:
    """EPS and shares of the class that counts all others as converted into it: its EPS times its shares is all of income."""
    all_eps, all_shares = _candidates(lines, eps), _candidates(lines, shares)
    if len(all_eps) != len(all_shares):
        return {}
    proved = {
        (line.value, count.value): (line, count)
        for line, count in zip(all_eps, all_shares, strict=True)
        if count.value and count.value > 0 and abs(income.value / count.value - (line.value or 0.0)) <= 2 * _HALF_CENT
    }
    if len(proved) != 1:
        return {}
    line, count = next(iter(proved.values()))
    note = f"{line.label or line.name}: one of several classes of shares; it counts the others as converted, as income proves"
    return {eps: lines.figure(table()[eps], [line], note=note), shares: lines.figure(table()[shares], [count], note=note)}


def _same_class(lines: StatementLines, diluted: Figure) -> dict[str, Figure]:
    """Basic EPS of the class whose diluted EPS is ``diluted``, if both are listed with the same labels."""
    basics, all_diluted = _candidates(lines, "eps_basic"), _candidates(lines, "eps")
    if [line.label for line in basics] != [line.label for line in all_diluted]:
        return {}
    same = [basic for basic, line in zip(basics, all_diluted, strict=True) if line.value == diluted.value]
    if len(same) != 1:
        return {}
    note = f"{same[0].label}: one of several classes of shares"
    return {"eps_basic": lines.figure(table()["eps_basic"], same, note=note)}


def _scaled(figures: dict[str, Figure], per_share: str, name: str) -> Figure:
    """Share counts in thousands or millions as single shares, if income and EPS prove the scale."""
    shares, income = figures[name], income_to_common(figures)
    eps = figures.get(per_share) or figures.get("eps")
    if income is None or eps is None or shares.value <= 0 or abs(eps.value) < _MIN_EPS:
        return shares
    implied = income.value / eps.value / shares.value
    for scale in _SCALES:
        if 0.4 * scale <= implied <= 2.5 * scale:
            note = f"{name}: reported in units of {scale:,.0f}, as income and EPS show"
            return shares.changed(shares.value * scale, derived=f"{shares.concept} × {scale:,.0f}", note=note)
    return shares


def _uncut(figures: dict[str, Figure], name: str) -> Figure:
    """EPS as income over shares, if the reported EPS is an integer and the computed one is not."""
    eps, income, shares = figures[name], income_to_common(figures), figures.get(_SHARES[name])
    if eps.value != int(eps.value):
        return eps
    others = [figures[other].value for other in _SHARES if other in figures]
    # Finnhub cuts all amounts per share of a report, or none: one with cents proves that an integer is correct, unless basic
    # EPS would be below diluted EPS, which cannot be.
    below = name == "eps_basic" and "eps" in figures and eps.value < figures["eps"].value
    if any(value != int(value) for value in others) and not below and not _proves_other(figures, name):
        return eps
    if income is None or shares is None or shares.value <= 0:
        note = f"{name}: an integer, possibly cut"
        return replace(eps, notes=(*eps.notes, note))
    computed = income.value / shares.value
    if abs(computed - eps.value) <= _HALF_CENT or int(computed) != eps.value:
        # Either the integer is exact to the cent, or it is not what cutting (towards 0) would give.
        return eps
    return replace(
        eps,
        value=computed,
        sources=income.sources + shares.sources,
        derived=f"{income.item} / {shares.item}",
        replaced=(*eps.sources, *eps.replaced),
        notes=(*eps.notes, f"{name}: the reported {eps.value:g} was cut to an integer, so it is computed"),
    )
