"""Amounts per share that the wire has spoilt: EPS cut to an integer, and share counts in thousands or millions."""

from __future__ import annotations

from dataclasses import replace

from stockctl.filings.items import Figure

_CENT = 0.005  # half a cent: what rounding to cents may change
_SCALES = (1e3, 1e6)


def mended(found: dict[str, Figure]) -> dict[str, Figure]:
    """The income statement's figures with shares in ones, and with EPS computed where the reported one was cut to an integer.

    Both are marked as derived. Everywhere else the reported EPS stands: it is on income to common shares, which a report need
    not give, so net income over shares would come out differently.
    """
    if "diluted_shares" in found:
        found = found | {"diluted_shares": _scaled(found)}
    # Each is judged by what was reported: the other one, once computed, would look like one that was never cut.
    return found | {name: _uncut(found, name) for name in ("eps", "eps_basic") if name in found}


def _income(found: dict[str, Figure]) -> Figure | None:
    return found.get("income_to_common") or found.get("net_income")


def _scaled(found: dict[str, Figure]) -> Figure:
    """Share counts in thousands or millions as counts, where income and EPS prove the scale."""
    shares, income, eps = found["diluted_shares"], _income(found), found.get("eps")
    if income is None or eps is None or shares.value <= 0 or abs(eps.value) < 0.1:
        return shares
    implied = income.value / eps.value / shares.value
    for scale in _SCALES:
        if 0.4 * scale <= implied <= 2.5 * scale:
            words = f"{shares.concept} × {scale:,.0f}"
            note = f"diluted_shares: reported in units of {scale:,.0f}, as income and EPS show"
            return replace(shares, value=shares.value * scale, derived=words, notes=(*shares.notes, note))
    return shares


def _uncut(found: dict[str, Figure], name: str) -> Figure:
    """EPS computed, if the reported one is an integer and income over shares is not."""
    eps, income, shares = found[name], _income(found), found.get("diluted_shares")
    others = [found[other].value for other in ("eps", "eps_basic") if other in found]
    # A report has all its amounts per share cut, or none: one with cents proves that an integer is what was reported.
    if any(value != int(value) for value in others):
        return eps
    if income is None or shares is None or shares.value <= 0 or name == "eps_basic":
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
        derived=f"{income.item} / diluted_shares",
        replaced=(*eps.sources, *eps.replaced),
        notes=(*eps.notes, f"{name}: the reported {eps.value:g} was cut to an integer, so it is computed"),
    )
