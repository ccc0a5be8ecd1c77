"""Which trades count under a named policy, and why the others do not.

The rule is defined in ``sql/metrics/placed.sql``. Here it applies to single trades, for live data and for messages.

- ``all``: the trade updates volume, and its volume is above 0. A row with volume 0 is a price update: its price counts for
  symbols with a venue, where feeds may send nothing else, but not for US stocks.
- ``standard``: as ``all``, and no code marks a price that the market did not form at that time. Odd lots count.
- ``price-forming``: as ``standard``, and the trade updates the last price or the high and low. Odd lots and trades outside
  regular hours (code 24) do not count.
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
    """Whether a trade with a volume above 0 counts. With ``update``: whether a venue's price update without volume counts."""
    return (
        ("v" in updates or update)
        and (policy == "all" or NEVER_PRICE_FORMING.isdisjoint(conditions.split(",")))
        and (policy != "price-forming" or "l" in updates or "h" in updates)
    )


def reasons(policy: Policy, conditions: str, updates: str) -> list[str]:
    """The codes, with their names, for which a trade with a volume above 0 is left out."""
    not_price_forming = policy == "price-forming" and "l" not in updates and "h" not in updates
    causes = [
        f"{code} {condition.name}"
        for code in conditions.split(",")
        if (condition := table().get(code)) is not None
        and (
            not condition.volume
            or (policy != "all" and code in NEVER_PRICE_FORMING)
            or (not_price_forming and not (condition.last and condition.high_low))
        )
    ]
    # Update letters are written at receipt, from the condition table at that time.
    return causes or [f"updates {updates or 'nothing'}"]
