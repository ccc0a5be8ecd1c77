"""The settings of ``signals run``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from stockctl.settings.resource_names import GroupName
from stockctl.settings.types import Duration, Section


class SignalsSettings(Section):
    """The service that runs a strategy on the topic of trades: ``signals run``."""

    strategy: Annotated[str, StringConstraints(strip_whitespace=True)] = Field(
        "vwap-reversion", description="Strategy of the service: name, module:Class or file. Empty: none runs."
    )
    group: GroupName = Field(
        "stockctl-signals", description="Prefix of consumer group and transactional id; the strategy's name follows."
    )
    transactions: bool = Field(
        True,
        description="Publish signals and commit offsets in one transaction. Else a crash repeats signals, with equal ids.",
    )
    commit_every: Duration = Field(5.0, gt=0, description="Longest time between two commits while there are no signals.")
    heartbeat: Duration = Field(10.0, gt=0, description="Time of data after which the state of a symbol is published.")
    max_errors: int = Field(100, ge=0, description="Errors of the strategy after which the run stops.")
