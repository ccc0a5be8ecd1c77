"""Reports for tests, in the documented shape of ``data[]``, and companies whose figures follow from daily amounts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from stockctl.filings.fundamentals.periods import Span
from stockctl.filings.model import Filing, parse_filing

UNITS = {"EarningsPerShare": "usd/shares", "WeightedAverageNumber": "shares"}

# Figures of Tesla's annual report for 2020 (form 10-K, 0001564590-21-004599), in USD.
TSLA_2020: dict[str, dict[str, Any]] = {
    "bs": {
        "CashAndCashEquivalentsAtCarryingValue": 19384000000,
        "AccountsReceivableNetCurrent": 1886000000,
        "InventoryNet": 4101000000,
        "AssetsCurrent": 26717000000,
        "Assets": 52148000000,
        "tsla:LongTermDebtAndFinanceLeasesCurrent": 2132000000,
        "LiabilitiesCurrent": 14248000000,
        "tsla:LongTermDebtAndFinanceLeasesNoncurrent": 9556000000,
        "Liabilities": 28418000000,
        "CommitmentsAndContingencies": "N/A",
        "RedeemableNoncontrollingInterestEquityCarryingAmount": 604000000,
        "TemporaryEquityCarryingAmountAttributableToParent": 51000000,
        "StockholdersEquity": 22225000000,
        "MinorityInterest": 850000000,
        "LiabilitiesAndStockholdersEquity": 52148000000,
    },
    "cf": {
        "ProfitLoss": 862000000,
        "NetCashProvidedByUsedInOperatingActivities": 5943000000,
        "PaymentsToAcquirePropertyPlantAndEquipment": 3157000000,
        "NetCashProvidedByUsedInInvestingActivities": -3132000000,
        "NetCashProvidedByUsedInFinancingActivities": 9973000000,
        "EffectOfExchangeRateOnCashCashEquivalentsRestrictedCashAndRestrictedCashEquivalentsIncludingDisposalGroup"
        "AndDiscontinuedOperations": 334000000,
        "CashCashEquivalentsRestrictedCashAndRestrictedCashEquivalentsPeriodIncreaseDecreaseIncludingExchangeRateEffect": (
            13118000000
        ),
    },
    "ic": {
        "tsla:SalesRevenueAutomotive": 27236000000,
        "Revenues": 31536000000,
        "CostOfRevenue": 24906000000,
        "GrossProfit": 6630000000,
        "OperatingIncomeLoss": 1994000000,
        "InterestExpense": 748000000,
        "IncomeLossFromContinuingOperationsBeforeIncomeTaxesExtraordinaryItemsNoncontrollingInterest": 1154000000,
        "IncomeTaxExpenseBenefit": 292000000,
        "ProfitLoss": 862000000,
        "NetIncomeLoss": 721000000,
        "NetIncomeLossAvailableToCommonStockholdersBasic": 690000000,
        "EarningsPerShareBasic": 0.74,
        "EarningsPerShareDiluted": 0.64,
        "WeightedAverageNumberOfDilutedSharesOutstanding": 1083000000,
    },
}


def wire(
    accession: str,
    span: Span,
    statements: Mapping[str, Mapping[str, Any]],
    *,
    form: str = "10-Q",
    accepted: str | None = None,
    symbol: str = "ACME",
    prefix: str = "us-gaap_",
) -> dict[str, Any]:
    """A report on the wire. ``statements`` give values by concept; accepted 30 days after the period's end by default."""
    moment = accepted or f"{span.end + timedelta(days=30)} 16:30:00"
    report = {
        name: [
            {
                "concept": concept if ":" in concept else prefix + concept,
                "unit": next((unit for start, unit in UNITS.items() if start in concept), "usd"),
                "label": concept,
                "value": value,
            }
            for concept, value in values.items()
        ]
        for name, values in statements.items()
    }
    return {
        "accessNumber": accession,
        "symbol": symbol,
        "cik": "1234567",
        "year": span.end.year,
        "quarter": 0 if form.startswith("10-K") else 1,
        "form": form,
        "startDate": f"{span.start} 00:00:00",
        "endDate": f"{span.end} 00:00:00",
        "filedDate": f"{moment[:10]} 00:00:00",
        "acceptedDate": moment,
        "report": report,
    }


Line = tuple[str, str, float]
"""A concept, its label, and its value."""


def report_of_lines(
    number: int, span: Span, statements: Mapping[str, Sequence[Line]], *, cik: str = "1234567", **more: Any
) -> dict[str, Any]:
    """A report on the wire with these lines: a concept may be there more than once."""
    built = wire(f"0001234567-24-{number:06d}", span, {}, **more)
    built["report"] = {
        name: [
            {
                "concept": concept if ":" in concept else f"us-gaap_{concept}",
                "unit": next((unit for start, unit in UNITS.items() if start in concept), "usd"),
                "label": label or concept,
                "value": value,
            }
            for concept, label, value in lines
        ]
        for name, lines in statements.items()
    }
    return built | {"cik": cik}


def report(number: int, span: Span, statements: Mapping[str, Mapping[str, Any]], **more: Any) -> Filing:
    """A report as parsed; accession numbers are made of ``number``."""
    return parse_filing(wire(f"0001234567-20-{number:06d}", span, statements, **more))


def tesla(**more: Any) -> dict[str, Any]:
    """Tesla's annual report for 2020 on the wire."""
    span = Span(date(2020, 1, 1), date(2020, 12, 31))
    options = {"form": "10-K", "accepted": "2021-02-08 07:27:23", "symbol": "TSLA", "prefix": ""} | more
    return wire("0001564590-21-004599", span, TSLA_2020, **options)


class Books:
    """A company whose money flows day by day: what any report must say, and what any answer should be."""

    def __init__(self, first: date, daily: list[int]) -> None:
        self.first, self.daily = first, daily

    def over(self, span: Span) -> float:
        """The true sum over a period."""
        return float(sum(self.daily[(span.start - self.first).days : (span.end - self.first).days + 1]))

    def report(self, number: int, span: Span, form: str = "10-Q", **more: Any) -> Filing:
        """The report on a period."""
        total = self.over(span)
        statements = {
            "ic": {
                "Revenues": total,
                "CostOfRevenue": total / 2,
                "WeightedAverageNumberOfDilutedSharesOutstanding": 1000 + span.days,
                "EarningsPerShareDiluted": 1.25,
            },
            "cf": {"NetCashProvidedByUsedInOperatingActivities": total},
            "bs": {"Assets": 5000.0},
        }
        return report(number, span, statements, form=form, **more)


def to_date(quarters: Iterable[Span]) -> list[Span]:
    """Periods from the start of the fiscal year to the end of each of its quarters."""
    records = list(quarters)
    return [Span(records[0].start, quarter.end) for quarter in records]
