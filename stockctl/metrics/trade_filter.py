"""Which trades count, by the name of a policy, and why the others do not.

The rule itself stands in ``sql/metrics/placed.sql``; here it is told trade by trade, for live data and for words.

- ``all``: may update volume, and its volume is above 0. A row of volume 0 is a price update: of a symbol with a venue, which
  may send nothing else, its price counts, and of a US stock it does not.
- ``standard``: as ``all``, and none of its codes says that the price was not made by that moment's market. Odd lots count.
- ``price-forming``: as ``standard``, and it may update the last price or the high and low. Odd lots don't, nor do trades
  outside regular hours (code 24).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, get_args

from stockctl.exchange.trade_conditions import NEVER_PRICE_FORMING, table

Policy = Literal["standard", "all", "price-forming"]
POLICIES: tuple[Policy, ...] = get_args(Policy)

NO_VOLUME = "volume 0"


@lru_cache(maxsize=65_536)
def counts(policy: Policy, conditions: str, updates: str, *, update: bool = False) -> bool:
    """Whether a trade with a volume above 0 counts; or the price of an ``update`` without, of a venue that sends prices."""
    return (
        ("v" in updates or update)
        and (policy == "all" or NEVER_PRICE_FORMING.isdisjoint(conditions.split(",")))
        and (policy != "price-forming" or "l" in updates or "h" in updates)
    )


def reasons(policy: Policy, conditions: str, updates: str) -> list[str]:
    """The codes, each with its name, for which a trade with a volume above 0 is left out."""
    formless = policy == "price-forming" and "l" not in updates and "h" not in updates
    causes = [
        f"{code} {condition.name}"
        for code in conditions.split(",")
        if (condition := table().get(code)) is not None
        and (
            not condition.volume
            or (policy != "all" and code in NEVER_PRICE_FORMING)
            or (formless and not (condition.last and condition.high_low))
        )
    ]
    # The letters were written at receipt, by the table of then.
    return causes or [f"updates {updates or 'nothing'}"]
