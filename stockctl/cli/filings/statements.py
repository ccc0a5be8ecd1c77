"""``stockctl filings statement``, ``kpis`` and ``check``: what filings say once they are understood."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from stockctl.cli.options import AsOfOption, TimezoneOption, as_of_moment, settings_of
from stockctl.cli.output import Format, View, amount, amounts, row_options, say, write_rows
from stockctl.errors import UnhealthyError, UsageError
from stockctl.units import counted

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from stockctl.filings.fundamentals.point_in_time import PointInTimeView
    from stockctl.settings import Settings


class Which(StrEnum):
    """Which statement."""

    income = "income"
    balance = "balance"
    cashflow = "cashflow"


class Period(StrEnum):
    """How long its periods are."""

    annual = "annual"
    quarter = "quarter"
    ttm = "ttm"


Symbol = Annotated[str, typer.Argument(metavar="SYMBOL", help="Symbol of the company, in any case.")]
Ciks = Annotated[
    list[str] | None,
    typer.Option(
        "--cik", metavar="CIK", help="Reports of this company alone, where others had the ticker; several count as one company."
    ),
]


@row_options()
def statement(
    ctx: typer.Context,
    symbol: Symbol,
    which: Annotated[Which, typer.Argument(metavar="income|balance|cashflow", help="Which statement.")],
    period: Annotated[Period, typer.Option(help="Years, quarters, or twelve months to each quarter's end.")] = Period.annual,
    last: Annotated[int, typer.Option(min=1, metavar="N", help="How many periods, the newest first.")] = 8,
    as_of: AsOfOption = None,
    cik: Ciks = None,
    tz: TimezoneOption = None,
    *,
    view: View,
) -> None:
    """Show a statement by standard items.

    Each value has the concept and the filing that it comes from.

    Example: stockctl filings statement AAPL income --period quarter --last 8
    """
    from zoneinfo import ZoneInfo

    from stockctl.filings.fundamentals import statements
    from stockctl.filings.repository import resolve_stored_symbol

    settings = settings_of(ctx, {"timezone": tz})
    moment = as_of_moment(as_of, ZoneInfo(settings.timezone))
    symbol = resolve_stored_symbol(settings, symbol)
    known = _known(settings, symbol, moment, cik)
    answer = statements.statement(known, symbol, which.value, period.value, last, ZoneInfo(settings.timezone))
    if view.is_table:
        lines, columns = statements.wide(answer, amounts if view.on_terminal else None)
        write_rows(lines, view, _columns(columns, view))
    else:
        write_rows(answer.rows, view)
    flags = ["-o json shows how values are derived"] if view.is_table and any(row["derived"] for row in answer.rows) else []
    _say_all([*answer.words, *flags], known)


@row_options()
def kpis(
    ctx: typer.Context,
    symbol: Symbol,
    price: Annotated[
        float | None, typer.Option(metavar="PRICE", help="Price of a share; default: the lake's last trade.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show how each value is computed.")] = False,
    as_of: AsOfOption = None,
    cik: Ciks = None,
    risk_free_rate: Annotated[
        float | None, typer.Option(metavar="NUMBER", help="In place of the setting valuation.risk_free_rate.")
    ] = None,
    equity_premium: Annotated[
        float | None, typer.Option(metavar="NUMBER", help="In place of the setting valuation.equity_premium.")
    ] = None,
    beta: Annotated[float | None, typer.Option(metavar="NUMBER", help="In place of the setting valuation.beta.")] = None,
    tz: TimezoneOption = None,
    *,
    view: View,
) -> None:
    """Show a company's KPIs.

    Those that need a price use the lake's last trade, unless --price gives one.

    Example: stockctl filings kpis AAPL --price 264.5 --explain
    """
    from zoneinfo import ZoneInfo

    from stockctl.company.last_price import last_price
    from stockctl.filings.fundamentals import kpis as fundamentals
    from stockctl.filings.fundamentals.statements import caveats
    from stockctl.filings.repository import resolve_stored_symbol

    if price is not None and not 0 < price < float("inf"):
        raise UsageError(f"--price {price:g} is no price", hint="a number above 0")
    flags = {"risk_free_rate": risk_free_rate, "equity_premium": equity_premium, "beta": beta}
    settings = settings_of(ctx, {"timezone": tz} | {f"valuation.{name}": value for name, value in flags.items()})
    moment = as_of_moment(as_of, ZoneInfo(settings.timezone))
    symbol = resolve_stored_symbol(settings, symbol)
    known = _known(settings, symbol, moment, cik)
    used = fundamentals.Price(price, "given by --price") if price is not None else last_price(settings, symbol, moment)
    found, words = fundamentals.kpis(known, settings.valuation, used)
    made = fundamentals.rows(found, symbol, explain=explain, flat=view.form is Format.csv)
    if view.is_table:
        columns = ["kpi", "value", "unit", "period_start", "period_end", *(["from"] if explain else []), "notes"]
        lines = fundamentals.shown(made, explain=explain, as_text=amount if view.on_terminal else None)
        write_rows(lines, view, _columns(columns, view))
    else:
        write_rows(made, view)
    assumptions = [
        *fundamentals.assumptions(settings.valuation, symbol, used),
        *(["--price gives one"] if used is None else []),
    ]
    _say_all([*words, *assumptions, *caveats(known, symbol, ZoneInfo(settings.timezone))], known)


def _say_all(words: Iterable[str], known: PointInTimeView) -> None:
    """Print the notes on what was computed from ``known``."""
    for line in words:
        say(line)
    if known.others:
        say("--cik selects one of the companies, or several as one")


def _columns(columns: list[str], view: View) -> list[str]:
    """The ``columns`` that the user sees: on a terminal amounts have their units."""
    return [name for name in columns if name != "unit"] if view.on_terminal and not view.wide else columns


@row_options()
def check(
    ctx: typer.Context,
    symbol: Symbol,
    everything: Annotated[
        bool, typer.Option("--all", help="Show identities that hold, too; -o json, csv and parquet do.")
    ] = False,
    cik: Ciks = None,
    *,
    view: View,
) -> None:
    """Check the accounting identities of a company's filings.

    Exit code 10 if one does not hold.

    Example: stockctl filings check AAPL
    """
    from stockctl.filings.fundamentals import identities
    from stockctl.filings.repository import resolve_stored_symbol

    settings = settings_of(ctx)
    symbol = resolve_stored_symbol(settings, symbol)
    known = _known(settings, symbol, None, cik)
    found = identities.check(known)
    wrong = [one for one in found if one.holds is False]
    unknown = sum(one.holds is None for one in found)
    shown = identities.rows(found if everything or not view.is_table else wrong, symbol)
    columns = ["identity", "period_end", "holds", "detail", "accession"]
    view.check(columns if view.is_table else list(shown[0]) if shown else columns)
    write_rows(shown, view, (columns if shown else None) if view.is_table else None)
    say(
        f"{counted(len(known.filings), 'filing')} of {symbol}: "
        f"{counted(len(found) - len(wrong) - unknown, 'identity holds', 'identities hold')}, {len(wrong)} do not, "
        f"{unknown} cannot be checked: the reports lack a term"
    )
    if wrong:
        raise UnhealthyError(
            counted(
                len(wrong),
                f"accounting identity of {symbol} does not hold",
                f"accounting identities of {symbol} do not hold",
            )
            + f": {'; '.join(one.summary for one in wrong)}",
            hint="`stockctl filings show` prints a filing as it was reported",
        )


def _known(settings: Settings, symbol: str, moment: datetime | None, ciks: list[str] | None) -> PointInTimeView:
    """What the lake's filings of the symbol report that were accepted by ``moment``."""
    from stockctl.filings.fundamentals.statements import view_of
    from stockctl.filings.repository import read_filings

    return view_of(read_filings(settings, symbol), symbol, moment, ciks or ())
