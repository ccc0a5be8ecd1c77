"""The registry of engines."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stockctl.cli.metrics import app
from stockctl.exchange.calendar import EXCHANGE_ZONE
from stockctl.exchange.trade_conditions import TABLE_VERSION
from stockctl.metrics import definitions, engines
from stockctl.metrics.engines.base import Engine
from stockctl.metrics.engines.registry import ENGINES, engine_class
from stockctl.metrics.query import Query
from stockctl.settings import Settings
from tests.lakes import at, lay, trade


@pytest.mark.parametrize("name", ENGINES)
def test_each_registered_engine_is_complete(name: str) -> None:
    """Its class implements every method of ``Engine`` and names its place."""
    chosen = engine_class(name)
    assert issubclass(chosen, Engine)
    assert not inspect.isabstract(chosen)
    assert chosen.place


def test_the_registry_lists_every_engine_module() -> None:
    shared = {"__init__", "base", "duckdb_base", "registry", "relations"}
    assert {path.stem for path in Path(engines.__file__).parent.glob("*.py")} - shared == set(ENGINES)


@pytest.mark.parametrize("command", ["vwap", "volatility", "rate", "bars", "summary"])
def test_the_commands_offer_every_registered_engine(command: str) -> None:
    refused = CliRunner().invoke(app, [command, "AAPL", "--engine", "other"], env={"COLUMNS": "200"})
    assert refused.exit_code == 2
    assert f"is not one of {', '.join(map(repr, ENGINES))}" in refused.output


def test_each_row_names_the_version_of_the_condition_table(lake_settings: Settings) -> None:
    """Also the row of a symbol without trades."""
    lay(lake_settings, [trade("AAPL", "2026-11-20 09:30", 1.0)])
    query = Query(("AAPL", "NVDA"), "standard", "regular", EXCHANGE_ZONE, now=at("2026-11-20 17:00"))
    rows = definitions.vwap(lake_settings, query).rows
    assert [(row["symbol"], row["condition_table"]) for row in rows] == [("AAPL", TABLE_VERSION), ("NVDA", TABLE_VERSION)]
