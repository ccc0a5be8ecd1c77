"""Amounts per share that are spoilt or several: EPS cut to an integer, shares in thousands or millions, classes of shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stockctl.filings.model import Item
from stockctl.filings.standardize.line_items import Figure, income_to_common, minus, table
from stockctl.filings.standardize.statement_lines import Lines, listed

_CENT = 0.005  # half a cent: what rounding to cents may change
_SCALES = (1e3, 1e6)
_LEAST_EPS = 0.006  # below a cent, EPS tells not even the scale
_PREFERRED = ("PreferredStockDividendsIncomeStatementImpact", "DividendsPreferredStock", "PreferredStockDividends")
_SHARES = {"eps": "diluted_shares", "eps_basic": "basic_shares"}


def mended(lines: Lines, found: dict[str, Figure], unclear: dict[str, str]) -> dict[str, Figure]:
    """The income statement's figures with shares in ones, and with EPS computed where the reported one was cut to an integer.

    Both are marked as derived. Everywhere else the reported EPS stands: it is on income to common shares, which a report need
    not give, so net income over shares would come out differently. Of several lines of EPS or of shares, as companies with
    classes of shares have them, one is taken where income proves it; ``unclear`` are the items that have several.
    """
    if "income_to_common" not in found and "net_income" in found:
        preferred = lines.first(table()["net_income"], *_PREFERRED)
        if isinstance(preferred, Item) and preferred.value:
            less = lines.figure(table()["net_income"], [preferred])
            common = minus(table()["income_to_common"], found["net_income"], less)
            found = found | (
                {"income_to_common": common.changed(common.value, derived=f"net_income − {preferred.concept}")}
                if common
                else {}
            )
    for eps, shares in _SHARES.items():
        found = found | _of_classes(lines, found, eps, shares, unclear)
    if "eps_basic" in unclear and "eps" in unclear and "eps" in found:
        found = found | _same_class(lines, found["eps"])
    found = found | {name: _scaled(found, eps, name) for eps, name in _SHARES.items() if name in found}
    # Each is judged by what was reported: the other one, once computed, would look like one that was never cut.
    return found | {name: _uncut(found, name) for name in _SHARES if name in found}


def _tells_the_other(found: dict[str, Figure], name: str) -> bool:
    """Whether the other EPS, which has cents, is income over its own shares: then so is this one, had it not been cut."""
    other = next(one for one in _SHARES if one != name)
    eps, shares, income = found.get(other), found.get(_SHARES[other]), income_to_common(found)
    if eps is None or shares is None or income is None or shares.value <= 0 or eps.value == int(eps.value):
        return False
    return abs(income.value / shares.value - eps.value) <= 2 * _CENT


def _of_classes(lines: Lines, found: dict[str, Figure], eps: str, shares: str, unclear: dict[str, str]) -> dict[str, Figure]:
    """EPS or shares of which there are several lines: that of them, or the sum of shares, which makes income of the other."""
    income = income_to_common(found)
    if income is None or not {eps, shares} & unclear.keys():
        return {}
    if eps in unclear and shares in unclear:
        return _as_converted(lines, income, eps, shares)
    several = eps if eps in unclear else shares
    one = found.get(shares if several is eps else eps)
    if one is None or not one.value:
        return {}
    item = table()[several]
    held = _held(lines, several)
    ways: list[Sequence[Item]] = [[line] for line in {line.value: line for line in held}.values()]
    if several is shares:
        ways.append(held)
    good = []
    for way in ways:
        total = sum(line.value or 0.0 for line in way)
        per_share, count = (total, one.value) if several is eps else (one.value, total)
        if count > 0 and abs(income.value / count - per_share) <= 2 * _CENT:
            good.append(way)
    if len(good) != 1:
        return {}
    return {several: lines.figure(item, good[0], note=f"{several}: of {listed(held)}, as income proves")}


def _held(lines: Lines, name: str) -> list[Item]:
    """The lines of the first of the item's concepts that the statement has."""
    item = table()[name]
    return next((named for concept in item.concepts if (named := lines.named(item, concept))), [])


def _as_converted(lines: Lines, income: Figure, eps: str, shares: str) -> dict[str, Figure]:
    """EPS and shares of the class that counts all others as converted into it: its shares and EPS make up all of income."""
    both = list(zip(_held(lines, eps), _held(lines, shares), strict=False))
    if len(_held(lines, eps)) != len(_held(lines, shares)):
        return {}
    good = {
        (line.value, count.value): (line, count)
        for line, count in both
        if count.value and count.value > 0 and abs(income.value / count.value - (line.value or 0.0)) <= 2 * _CENT
    }
    if len(good) != 1:
        return {}
    line, count = next(iter(good.values()))
    note = f"{line.label or line.name}: of several classes of shares, with the others as converted into it, as income proves"
    return {eps: lines.figure(table()[eps], [line], note=note), shares: lines.figure(table()[shares], [count], note=note)}


def _same_class(lines: Lines, diluted: Figure) -> dict[str, Figure]:
    """Basic EPS of the class of which ``diluted`` is the diluted one, where the two are listed alike."""
    basics, all_diluted = _held(lines, "eps_basic"), _held(lines, "eps")
    if [line.label for line in basics] != [line.label for line in all_diluted]:
        return {}
    same = [basic for basic, line in zip(basics, all_diluted, strict=True) if line.value == diluted.value]
    if len(same) != 1:
        return {}
    return {"eps_basic": lines.figure(table()["eps_basic"], same, note=f"{same[0].label}: of several classes of shares")}


def _scaled(found: dict[str, Figure], per_share: str, name: str) -> Figure:
    """Share counts in thousands or millions as counts, where income and EPS prove the scale."""
    shares, income = found[name], income_to_common(found)
    eps = found.get(per_share) or found.get("eps")
    if income is None or eps is None or shares.value <= 0 or abs(eps.value) < _LEAST_EPS:
        return shares
    implied = income.value / eps.value / shares.value
    for scale in _SCALES:
        if 0.4 * scale <= implied <= 2.5 * scale:
            note = f"{name}: reported in units of {scale:,.0f}, as income and EPS show"
            return shares.changed(shares.value * scale, derived=f"{shares.concept} × {scale:,.0f}", note=note)
    return shares


def _uncut(found: dict[str, Figure], name: str) -> Figure:
    """EPS computed, if the reported one is an integer and income over shares is not."""
    eps, income, shares = found[name], income_to_common(found), found.get(_SHARES[name])
    if eps.value != int(eps.value):
        return eps
    others = [found[other].value for other in _SHARES if other in found]
    # A report has all its amounts per share cut, or none: one with cents proves that an integer is what was reported. But
    # diluted EPS is never more than basic.
    below = name == "eps_basic" and "eps" in found and eps.value < found["eps"].value
    if any(value != int(value) for value in others) and not below and not _tells_the_other(found, name):
        return eps
    if income is None or shares is None or shares.value <= 0:
        note = f"{name}: an integer, which may have been cut"
        return replace(eps, notes=(*eps.notes, note))
    computed = income.value / shares.value
    if abs(computed - eps.value) <= _CENT or int(computed) != eps.value:
        # Equal to the cent: an integer by nature. Another whole part: cutting, which goes towards 0, is not what made it.
        return eps
    return replace(
        eps,
        value=computed,
        sources=income.sources + shares.sources,
        derived=f"{income.item} / {shares.item}",
        replaced=(*eps.sources, *eps.replaced),
        notes=(*eps.notes, f"{name}: the reported {eps.value:g} was cut to an integer, so it is computed"),
    )
