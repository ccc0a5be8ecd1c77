"""A simulator of Finnhub: ``stockctl sim``, and a test double.

from stockctl.sim import Simulator, numbered_rows

with Simulator(rate=0) as sim:
    ...  # connect to f"{sim.url}?token={sim.token}" and subscribe
    sim.send_rows(numbered_rows(25))
    sim.drop()
"""

from __future__ import annotations

from stockctl.sim.counters import Counters
from stockctl.sim.faults import FAULTS, Fault, parse_fault
from stockctl.sim.market import Market, Row, encode_frame, frames, numbered_rows
from stockctl.sim.simulator import DEFAULT_TOKEN, Simulator

__all__ = [
    "DEFAULT_TOKEN",
    "FAULTS",
    "Counters",
    "Fault",
    "Market",
    "Row",
    "Simulator",
    "encode_frame",
    "frames",
    "numbered_rows",
    "parse_fault",
]
