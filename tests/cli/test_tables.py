"""Tables on a terminal: every command that writes rows, at 80, 100 and 200 columns.

``CASES`` says how the rows of each command are obtained. Commands that read the lake or the settings do so.
Those that need a server get recorded rows, with values as long as they occur, in place of what the server answers: everything
from there on, which is what the command does with them, is its own code.
"""

from __future__ import annotations

import datetime
import math
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
import typer
from rich.cells import cell_len
from typer.core import TyperGroup

from stockctl.check_runner import CheckResult, SystemHealth
from stockctl.cli.main import app
from stockctl.cli.output import View, write_arrow, write_object, write_rows
from stockctl.cli.output.columns import Kind, kind_of
from stockctl.cli.output.numbers import aligned, amounts, sizes
from stockctl.filings.collect.collector import Outcome
from stockctl.filings.collect.schedule import FetchResult
from stockctl.infra.down import Deletion
from stockctl.infra.status import WorkloadStatus
from stockctl.lake.maintenance.compact import Compacted
from stockctl.lake.maintenance.issues import Issue
from stockctl.local.reset import DataFolder
from stockctl.local.status import ServiceStatus
from stockctl.metrics.live import Snapshot, SymbolMetrics
from stockctl.mongo.schema import CollectionStatus
from stockctl.reconcile import Change, Difference
from stockctl.settings import env_name, load_settings
from stockctl.signals.verification import Finding, Verification
from stockctl.stream.dead_letters.reader import Summary
from stockctl.stream.dead_letters.replay import ReplayResult
from stockctl.stream.kafka_connect.connector import PartStatus
from stockctl.stream.lag import Lag
from stockctl.stream.topics import TopicStatus
from stockctl.warehouse.glue.crawlers import Run
from stockctl.warehouse.glue.partition_sync import SyncResult, TableStatus
from stockctl.warehouse.spectrum.schema import ObjectStatus
from tests.cli.terminal import run, show
from tests.command import clean_environment
from tests.filings.kept import lake_of
from tests.filings.reports import tesla
from tests.lakes import at, covered, lay, signal, trade

NOW = 1_795_444_200_000
TOPIC = "market-data.trades.us-equities.normalized.v1"
URL = "s3://acme-market-data-prod-us-east-1/lake/v1/trades/trade_date=2026-11-20/ticker=BINANCE_BTCUSDT/"
ROLE = "arn:aws:iam::123456789012:role/service-role/AWSGlueServiceRole-stockctl-crawlers-production"
ERROR = (
    "org.apache.kafka.connect.errors.ConnectException: [mongo] server selection timed out after 30000 ms: "
    "mongodb+srv://stockctl:****@cluster0.example.mongodb.net/market: 認証に失敗しました [red]E11000[/red] :warning:"
)
CHANGES = [Change("topic", TOPIC, "changed", f"retention.ms 604800000 to 1800000; {ERROR}"), Change("role", ROLE, "unchanged")]
DIFFERENCES = [
    Difference("topic", TOPIC, "retention.ms", "1800000", "604800000", "`stockctl topics apply` changes it"),
    Difference("external table", "spectrum_market.trades", "location", URL, URL.replace("v1", "v0"), ERROR),
]
HEALTH = [
    SystemHealth(
        "Kafka", CheckResult("3 brokers, controller 2 at b-2.acme.c3.kafka.us-east-1.amazonaws.com", "ok", None, 0.0123)
    ),
    SystemHealth(f"topic {TOPIC}", CheckResult(ERROR, "fail", "`stockctl connect restart --failed`")),
]


def nothing(*_: Any, **__: Any) -> None:
    """In place of a client that the recorded rows do not need."""


def opened(*items: Any) -> Any:
    """In place of what opens clients: a context with them."""

    @contextmanager
    def context(*_: Any, **__: Any) -> Iterator[Any]:
        yield items[0] if len(items) == 1 else items

    return context


def gives(value: Any) -> Any:
    """In place of a function that asks a server: it returns ``value``."""
    return lambda *_, **__: value


SETTINGS = SimpleNamespace(
    connect=SimpleNamespace(connector="stockctl-mongo-sink"),
    infra=SimpleNamespace(namespace="stockctl"),
    glue=SimpleNamespace(database="market", role=ROLE),
    lake=None,
    topics=None,
)
PLACE = SimpleNamespace(place="mongodb://localhost", url="https://cluster.example:6443", query=None)
CONNECTOR = SimpleNamespace(url="http://connect.example:8083", delete=nothing)

TOPICS = {"stockctl.cli.topics._connect": gives((None, SETTINGS))}
CONNECT = {"stockctl.cli.connect._clients": opened(None, None, SETTINGS)}
MONGO = {"stockctl.cli.mongo.mongo_of": opened(PLACE)}
GLUE = {"stockctl.cli.warehouse.glue._glue": opened(None, SETTINGS), "stockctl.lake.store.existing_store": nothing}
SPECTRUM = {"stockctl.cli.warehouse.spectrum._lake": nothing, "stockctl.clients.redshift.client.connect": opened(PLACE)}
INFRA = {
    "stockctl.clients.kubernetes.client.Kubernetes": opened(PLACE),
    "stockctl.infra.render.render": nothing,
    "stockctl.cli.infra.render.cluster_settings": gives(SETTINGS),
    "stockctl.cli.infra.status.cluster_settings": gives(SETTINGS),
}


class Case(NamedTuple):
    """The arguments of a command, and what stands in place of a server; nothing does where the lake or a file has its rows."""

    arguments: str = ""
    instead: Mapping[str, Any] = MappingProxyType({})


class Schedule(SimpleNamespace):
    """A fetch of filings that ends at once, with recorded outcomes."""

    def __enter__(self) -> Schedule:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def once(self, _: Any) -> FetchResult:
        outcomes = [Outcome("AAPL", "fetched", 12, 72, ""), Outcome("BRK.B", "failed", 0, 1203, ERROR)]
        return FetchResult(outcomes, None, None)


CASES: dict[str, Case] = {
    "doctor": Case(instead={"stockctl.cli.doctor.check_functions": gives([]), "stockctl.check_runner.run": gives(HEALTH)}),
    "status": Case(instead={"stockctl.check_runner.run": gives(HEALTH)}),
    "config show": Case("--origin"),
    "local status": Case(
        instead={
            "stockctl.local.status.status": gives(
                [
                    ServiceStatus("supervisor", "running", "", 25_729, "", 5.25, 0, ""),
                    ServiceStatus("consume-mongo", "restarting", ERROR, 1_048_576, f"file://{URL}", 93_784.2, 12, ERROR),
                ]
            )
        }
    ),
    "topics apply": Case(instead=TOPICS | {"stockctl.stream.topics.apply": gives(CHANGES)}),
    "topics diff": Case(instead=TOPICS | {"stockctl.stream.topics.differences": gives(DIFFERENCES)}),
    "topics list": Case(
        instead=TOPICS
        | {
            "stockctl.stream.topics.listing": gives(
                [TopicStatus(TOPIC, 48, 3, 12_345_678_901, 2_592_000_000), TopicStatus("t" * 249, None, None, None, -1)]
            )
        }
    ),
    "topics lag": Case(
        instead=TOPICS
        | {
            "stockctl.stream.lag.read_lag": gives(
                [Lag("stockctl-lake-writer-production", TOPIC, 47, 9_876_543_210, 9_870_000_000, 9_876_600_000, 56_790, 0)]
            )
        }
    ),
    "dlq list": Case(
        instead={
            "stockctl.stream.dead_letters.reader.summaries": gives(
                [Summary(f"{TOPIC}-47-9876543210", NOW, "lake", f"{TOPIC}/47/9876543210", ERROR, 1203, NOW + 86_400_000)]
            )
        }
    ),
    "dlq replay": Case(
        "--all",
        {
            "stockctl.lake.writer.allowed_sources.refusal_of": nothing,
            "stockctl.stream.dead_letters.replay.Replay": gives(
                SimpleNamespace(run=gives([ReplayResult(f"{TOPIC}-47-9876543210", "rejected", ERROR)]))
            ),
        },
    ),
    "connect apply": Case(instead=CONNECT | {"stockctl.stream.kafka_connect.connector.apply": gives(CHANGES)}),
    "connect diff": Case(instead=CONNECT | {"stockctl.stream.kafka_connect.connector.differences": gives(DIFFERENCES)}),
    "connect status": Case(
        instead=CONNECT
        | {
            "stockctl.stream.kafka_connect.connector.status": gives(
                [
                    PartStatus("connector", "RUNNING", "10.0.12.34:8083", ""),
                    PartStatus("task 0", "FAILED", "10.0.12.34:8083", ERROR),
                ]
            )
        }
    ),
    "lake list": Case(),
    "lake read": Case(),
    "lake query": Case("'SELECT *, price AS bytes FROM trades'"),
    "lake gaps": Case("AAPL --date 2026-11-20 --session regular"),
    "lake compact": Case(
        instead={
            "stockctl.lake.maintenance.compact.compact": gives(
                [Compacted(datetime.date(2026, 11, 20), 3, 1_204, 123_456_789, 12_345, 9_876_543_210)]
            )
        }
    ),
    "local reset": Case(
        "--yes",
        {
            "stockctl.local.reset.data_folders": gives([DataFolder(f"/home/acme/state/{'lake/' * 9}", 12_345_678_901)]),
            "stockctl.local.reset.require_stopped": nothing,
            "stockctl.local.reset.reset": nothing,
        },
    ),
    "lake prune": Case("--before 2026-11-21 --yes", {"stockctl.lake.maintenance.prune.prune": nothing}),
    "lake verify": Case(
        instead={
            "stockctl.lake.maintenance.verify.verify": gives(
                SimpleNamespace(
                    issues=[Issue("orphan", f"{URL}part-00047-9876543210.jsonl.gz", ERROR)],
                    damage=[],
                    partitions=48,
                    claims=1,
                    objects=1,
                    bytes=1,
                    rows=1,
                    rejected=0,
                    compacted=0,
                    floor=None,
                )
            )
        }
    ),
    "connect delete": Case(
        "--yes",
        {"stockctl.cli.connect.settings_of": gives(SETTINGS), "stockctl.clients.kafka_connect.Connect": opened(CONNECTOR)},
    ),
    "mongo apply": Case(instead=MONGO | {"stockctl.mongo.schema.apply": gives(CHANGES)}),
    "mongo diff": Case(instead=MONGO | {"stockctl.mongo.schema.differences": gives(DIFFERENCES)}),
    "mongo status": Case(
        instead=MONGO
        | {
            "stockctl.mongo.schema.status": gives(
                [CollectionStatus("trades", 123_456_789, "_id_, symbol_1_ts_event_-1, ts_recv_1 (expires after 30d), source_1")]
            )
        }
    ),
    "filings fetch": Case("AAPL", {"stockctl.filings.collect.schedule.FetchSchedule": gives(Schedule())}),
    "filings list": Case("TSLA"),
    "filings show": Case("TSLA"),
    "filings statement": Case("TSLA income"),
    "filings kpis": Case("TSLA --price 264.5 --explain"),
    "filings check": Case("TSLA --all"),
    "metrics vwap": Case("AAPL BINANCE:BTCUSDT --date 2026-11-20 --every 1m"),
    "metrics volatility": Case("AAPL BINANCE:BTCUSDT --date 2026-11-20 --every 1m"),
    "metrics rate": Case("AAPL BINANCE:BTCUSDT --date 2026-11-20 --every 1m"),
    "metrics bars": Case("AAPL BINANCE:BTCUSDT --date 2026-11-20"),
    "metrics summary": Case("AAPL BINANCE:BTCUSDT --date 2026-11-20"),
    "signals list": Case(),
    "signals verify": Case(
        instead={
            "stockctl.signals.verification.verify": gives(
                (
                    datetime.date(2026, 11, 20),
                    Verification(
                        [Finding("inputs", "vwap-reversion", "BINANCE:BTCUSDT", NOW, "a" * 60, 0, "c" * 32, "d" * 32, ERROR)],
                        [],
                        1,
                        1,
                        12_345,
                        6_789,
                        3,
                    ),
                )
            )
        }
    ),
    "strategies list": Case(),
    "backtest check": Case("sma-cross WAVE --bars wave.csv --param fast=2 --param slow=5 --seed 1 --cuts 2"),
    "backtest sweep": Case("sma-cross WAVE --bars wave.csv --param fast=2,3 --param slow=5 --workers 1"),
    "backtest compare": Case("sma-cross,fast=2,slow=5 sma-cross,fast=2,slow=6 WAVE --bars wave.csv"),
    "backtest run": Case("sma-cross WAVE --bars wave.csv --param fast=2 --param slow=5 --show round-trips"),
    "glue apply": Case(instead=GLUE | {"stockctl.warehouse.glue.catalog.apply": gives(CHANGES)}),
    "glue diff": Case(instead=GLUE | {"stockctl.warehouse.glue.catalog.differences": gives(DIFFERENCES)}),
    "glue run": Case(
        "--wait",
        GLUE
        | {
            "stockctl.settings.require": nothing,
            "stockctl.warehouse.glue.crawlers.crawled": gives([]),
            "stockctl.warehouse.glue.crawlers.run": gives(
                [Run("stockctl-production-trades", "FAILED", None, 754.2, ROLE + ERROR)]
            ),
        },
    ),
    "glue status": Case(
        instead=GLUE
        | {
            "stockctl.warehouse.glue.partition_sync.status": gives(
                ([TableStatus("trades_bucket", 123_456, 123_455, 1, 0, 0, "READY, last SUCCEEDED 2026-11-20 09:30")], [])
            )
        }
    ),
    "glue sync": Case(
        instead=GLUE
        | {"stockctl.warehouse.glue.partition_sync.sync": gives(([], [SyncResult("trades", 1_204, 3, 0, 123_456, 0, 0)]))}
    ),
    "glue delete": Case("--yes", GLUE | {"stockctl.warehouse.glue.catalog.delete": gives(CHANGES)}),
    "spectrum apply": Case(instead=SPECTRUM | {"stockctl.warehouse.spectrum.schema.apply": gives(CHANGES)}),
    "spectrum diff": Case(instead=SPECTRUM | {"stockctl.warehouse.spectrum.schema.differences": gives(DIFFERENCES)}),
    "spectrum status": Case(
        instead=SPECTRUM
        | {
            "stockctl.warehouse.spectrum.schema.status": gives(
                [ObjectStatus("external table", "spectrum_market.trades", "differs", 11, 123_456, URL)]
            )
        }
    ),
    "spectrum query": Case(
        "query.sql",
        SPECTRUM
        | {
            "stockctl.clients.redshift.client.connect": opened(
                SimpleNamespace(query=gives((["symbol", "total", "note"], [("BINANCE:BTCUSDT", 123456.123456789, ERROR)])))
            )
        },
    ),
    "infra diff": Case("--limit 9", INFRA | {"stockctl.infra.diff.differences": gives(DIFFERENCES)}),
    "infra up": Case(
        "--dry-run --limit 9",
        INFRA
        | {"stockctl.cli.infra.up.cluster_settings": gives(SETTINGS), "stockctl.infra.diff.differences": gives(DIFFERENCES)},
    ),
    "infra down": Case(
        "--yes --limit 9",
        INFRA
        | {
            "stockctl.cli.infra.down.cluster_settings": gives(SETTINGS),
            "stockctl.infra.down.plan_deletion": gives(Deletion([[{}]], [], [])),
            "stockctl.infra.down.down": lambda _client, _deletion, on_change, **_: [on_change(each) for each in CHANGES],
        },
    ),
    "infra check": Case(instead=INFRA | {"stockctl.infra.cluster.check": gives(HEALTH)}),
    "infra status": Case(
        instead=INFRA
        | {
            "stockctl.infra.status.workload_statuses": gives(
                [
                    WorkloadStatus(
                        "lake", "StatefulSet", "ready", "3/3", 0, "ghcr.io/acme/stockctl:0.9.0", "56,790 records", ""
                    ),
                    WorkloadStatus(
                        "mongo", "Deployment", "failing", "0/1", 128, f"{ROLE}/stockctl@sha256:{'0' * 64}", "", ERROR
                    ),
                ]
            )
        }
    ),
}
CONTINUED = {"config show", "filings kpis"}
"""Commands whose rows can have lines below them, with the rest of a text; ``test_text_that_is_needed_is_whole`` shows them."""


def row_commands() -> set[str]:
    """Every command that has the options of rows."""

    def walk(command: Any, *path: str) -> Iterator[str]:
        if isinstance(command, TyperGroup):
            for name, each in command.commands.items():
                yield from walk(each, *path, name)
        elif any("--wide" in parameter.opts for parameter in command.params):
            yield " ".join(path)

    return set(walk(typer.main.get_command(app)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a lake of trades, feed events and a filing."""
    folder = tmp_path_factory.mktemp("tables")
    settings, _ = lake_of(folder, [tesla()])
    start = at("2026-11-20 09:30")
    prices = {"AAPL": 264.123456789, "BINANCE:BTCUSDT": 90_687.123456789}
    records = [trade(name, start + 997 * n, price + n / 7, 1 / 3) for name, price in prices.items() for n in range(300)]
    lay(settings, sorted(records, key=lambda record: record.ts_event))
    events = [covered(",".join(prices), start, start + 400_000), covered(",".join(prices), start + 900_000, start + 950_000)]
    lay(settings, events, table="feed_events")
    reason = "264.123456789 is 2.3 standard deviations below the VWAP of the session, 265.012345678"
    decided = [signal(name, start + 60_000 * n, id=f"{n:032x}", reason=reason) for n, name in enumerate(prices)]
    lay(settings, decided, table="signals")
    (folder / "query.sql").write_text("SELECT 1")
    closes = [100 + 10 * math.sin(n / 3) for n in range(60)]
    lines = [f"{start + n * 60_000},{close},{close + 1},{close - 1},{close},1000" for n, close in enumerate(closes)]
    (folder / "wave.csv").write_text("\n".join(["time,open,high,low,close,volume", *lines]))
    return folder


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for name in os.environ.keys() - clean_environment().keys():
        monkeypatch.delenv(name)
    monkeypatch.setenv("STOCKCTL_LAKE__URL", f"file://{folder / 'lake'}")
    monkeypatch.setenv("STOCKCTL_STATE_DIR", str(folder / "state"))


def patch(monkeypatch: pytest.MonkeyPatch, instead: Mapping[str, Any]) -> None:
    for target, value in instead.items():
        module, _, name = target.rpartition(".")
        monkeypatch.setattr(import_module(module), name, value)


def test_every_command_with_rows_is_here() -> None:
    assert row_commands() == CASES.keys()


def blank_columns(lines: list[str]) -> set[str]:
    """The columns of a table that have a header alone."""
    headers = [(found.start(), found.end(), found[0]) for found in re.finditer(r"\S+", lines[0])]
    ends = [start for start, _, _ in headers[1:]] + [max(map(len, lines))]
    rows = [line for line in lines[1:] if not line.startswith("times: ")]
    return {
        name for (start, _, name), end in zip(headers, ends, strict=True) if not any(row[start:end].strip() for row in rows)
    }


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("command", CASES)
def test_a_table_fits_the_terminal(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is wider, nothing is cut without a mark, numbers and names are whole, and what is missing is named."""
    patch(monkeypatch, CASES[command].instead)
    arguments = [*command.split(), *shlex.split(CASES[command].arguments)]
    whole = run([*arguments, "--wide"], 80)
    all_names = whole.lines[0].split()
    assert len(all_names) > 1, whole.messages
    for columns in (80, 100, 200):
        shown = run(arguments, columns)
        assert max(map(cell_len, shown.lines)) <= columns
        if command == "filings show":  # a record stands above its tables
            continue
        names = shown.lines[0].split()
        assert names == [name for name in all_names if name in names]
        note = next((line for line in shown.messages.splitlines() if line.endswith("(--wide shows all)")), "")
        assert cell_len(note) <= columns
        # Empty columns are dropped, fixes and formulas are whole below, and amounts have their unit.
        assert ("left out: " in note) == bool(
            set(all_names) - set(names) - blank_columns(whole.lines) - {"fix", "from", "unit"}
        )
        cut = re.search(r"cut: ([^()]*) \(", note)
        for name in cut[1].split(", ") if cut else ():
            # Of SQL nobody knows which columns are keys; a key that is wider than the terminal cannot be whole.
            too_wide = name == names[0] and max(cell_len(line.split("  ")[0]) for line in whole.lines) > columns
            assert kind_of(name) in (None, Kind.text) or too_wide or command == "lake query"
        rows, all_rows = ([line for line in each.lines[1:] if not line.startswith("times: ")] for each in (shown, whole))
        if command in CONTINUED:
            rows = [row for row in rows if not row.startswith(" " * 8)]
        assert len(rows) == len(all_rows)
        for row, whole_row in zip(rows, all_rows, strict=True):
            for cell in re.split(r" {2,}", row.strip()):
                # A time has its date in one of them and not in the other, by whether the table shows the date.
                assert cell.removesuffix("…").rstrip() in whole_row or re.fullmatch(r"[\d:. -]+", cell)
                assert "…" not in cell or cut


ACTING = ("apply", "delete", "run", "sync", "replay", "fetch", "compact", "prune", "up", "down", "reset")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("command", [name for name in CASES if name.endswith(ACTING) and name != "backtest run"])
def test_an_unknown_field_is_found_before_anything_changes(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command stops before it does what its last recorded function stands for."""
    instead = dict(CASES[command].instead)
    acting = list(instead)[-1]
    patch(monkeypatch, instead | {acting: lambda *_, **__: pytest.fail("the command has acted")})
    shown = run([*command.split(), *shlex.split(CASES[command].arguments), "--fields", "nosuch"], 80)
    assert "--fields: there is no field" in shown.messages


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("columns", [80, 100, 200])
def test_the_live_table_fits(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = [SymbolMetrics("BINANCE:BTCUSDT", 90_687.123456789, 90_687.1, 10.36, 3.152, 2.4601, 252, 12, 754.2)]
    snapshot = Snapshot(NOW, NOW - 60_000, metrics, frozenset({"sim"}), 0, None)
    monkeypatch.setattr("stockctl.metrics.live.follow", gives([snapshot]))
    shown = run(["metrics", "watch"], columns, COLUMNS=str(columns))
    lines = [re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", line).strip("\r") for line in shown.lines]
    assert any(line.startswith("symbol") for line in lines)
    assert re.search("BINANCE:BTCUSDT {2,}90,687.12 {2,}90,687.10", "".join(lines))
    assert "90,687.12" in "".join(lines)
    # Columns that do not fit are left out from the right, the age first.
    assert ("12m 34s" in "".join(lines)) == (columns > 80)
    assert max(map(cell_len, lines)) <= columns


def test_text_that_is_needed_is_whole_on_lines_of_its_own() -> None:
    """An origin continues in its column, at blanks and in paths; a formula that does not fit stands below its row."""
    rows = [
        {"setting": "lake.url", "value": "file:///srv/lake", "origin": "local stack /home/ann/stockctl/local/settings.toml"}
    ]
    shown = show(lambda: write_rows(rows, View()), 50)
    assert shown.lines == [
        "setting   value             origin",
        "lake.url  file:///srv/lake  local stack /home/ann/",
        "                            stockctl/local/",
        "                            settings.toml",
    ]
    assert shown.messages == ""
    formula = {"kpi": "wacc", "value": "8.99%", "from": "= (market_value × cost_of_equity) / (market_value + total_debt)"}
    shown = show(lambda: write_rows([formula, {"kpi": "pe", "value": "5.78x", "from": None}], View()), 50)
    assert shown.lines == [
        "kpi   value",
        "wacc  8.99%",
        "        = (market_value × cost_of_equity) /",
        "        (market_value + total_debt)",
        "pe    5.78x",
    ]
    assert shown.messages == ""
    assert show(lambda: write_rows([formula], View()), 100).lines[1] == f"wacc  8.99%  {formula['from']}"


def test_data_is_literal_on_a_terminal() -> None:
    """Markup and emoji codes are text, and control characters are written out."""
    rows = [{"a": "[red]x[/red] :smile:", "b": "\x1b]0;title\x07\x1b[2J\r\n\u202egnp", "c": "日本語"}]
    shown = show(lambda: write_rows(rows, View()), 100)
    assert shown.lines[1].split("  ")[:2] == [
        "[red]x[/red] :smile:",
        r"\x1b]0;title\x07\x1b[2J  \u202egnp".replace("  ", " ", 0).split("  ")[0],
    ]
    assert "\x1b[2J" not in shown.raw
    assert "\x07" not in shown.raw


def test_wide_characters_count_two_cells() -> None:
    shown = show(lambda: write_rows([{"a": "日本語" * 20, "b": 1}, {"a": "x", "b": 22}], View()), 40)
    assert [cell_len(line) for line in shown.lines] == [40, 40, 40]
    assert "…" in shown.lines[1]


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_escape_where_none_is_wanted(environment: dict[str, str]) -> None:
    rows = [{"accession": "0001", "report": "https://www.sec.gov/x"}]
    assert "\x1b" not in show(lambda: write_rows(rows, View(), main=("accession",)), 80, **environment).raw
    assert "\x1b]8;" in show(lambda: write_rows(rows, View(), main=("accession",)), 80).raw


def test_a_fix_is_whole_below_the_table_and_empty_columns_are_dropped() -> None:
    fix = "set STOCKCTL_KAFKA__BOOTSTRAP_SERVERS=…, or set it in stockctl.toml under [profile.prod.kafka]"
    rows = [{"system": name, "state": "fail", "detail": "", "fix": fix} for name in ("kafka", "topics")]
    shown = show(lambda: write_rows([*rows, {"system": "lake", "state": "ok", "detail": "", "fix": None}], View()), 80)
    lines = [["system", "state"], ["kafka", "fail"], ["topics", "fail"], ["lake", "ok"]]
    assert [line.split() for line in shown.lines] == lines
    assert " ".join(shown.messages.split()) == f"fix for kafka, topics: {fix}"
    assert fix in show(lambda: write_rows(rows, View(fields=("system", "fix"))), 200).raw


def test_a_link_is_its_short_text() -> None:
    rows = [{"accession": "0001", "report": "https://www.sec.gov/" + "x" * 200}]
    shown = show(lambda: write_rows(rows, View(), main=("accession",)), 80)
    assert shown.lines == ["accession", "0001"]
    assert rows[0]["report"] in shown.raw
    assert shown.messages.strip() == "left out: report (--wide shows all)"
    bad = [{"accession": "0001", "report": "javascript:alert(1)"}]
    assert "javascript" not in show(lambda: write_rows(bad, View(), main=("accession",)), 80).raw


@pytest.mark.parametrize(
    ("name", "value", "symbol", "text"),
    [
        ("vwap", 264.123456789, "AAPL", "264.12"),
        ("vwap", 0.56789, "AAPL", "0.5679"),
        ("vwap", 0.0000123456, "AAPL", "0.00001235"),
        ("vwap", 0.0000123456789, "BINANCE:SHIBUSDT", "0.0000123457"),
        ("vwap", 90_687.123456, "BINANCE:BTCUSDT", "90,687.12"),
        ("vwap", 1.08453, "OANDA:EUR_USD", "1.08453"),
        ("price", 264.4999, "AAPL", "264.4999"),
        ("price", 264.5, "AAPL", "264.50"),
        ("bytes", 1_234_567_890, "", "1.23 GB"),
        ("uptime", 125.0, "", "2m 5s"),
        ("latency_ms", 0.4, "", "0.4ms"),
        ("latency_ms", 0.0, "", "0ms"),
        ("retention_ms", 2_592_000_000, "", "30d"),
        ("retention_ms", -1, "", "unlimited"),
        ("coverage", 100.0, "", "100%"),
        ("coverage", 99.97, "", "99.97%"),
        ("coverage", 0.0, "", "0%"),
        ("annual_volatility", 0.25314, "", "25.31%"),
        ("rows", 1_234_567, "", "1,234,567"),
        ("offset", 1_234_567, "", "1234567"),
        ("committed", 1_234_567, "", "1,234,567"),
        ("volume", 0.00001234567, "BINANCE:BTCUSDT", "0.000012346"),
        ("rate", 0.0, "", "0"),
    ],
)
def test_numbers_are_shown_by_their_kind(name: str, value: float, symbol: str, text: str) -> None:
    assert show(lambda: write_rows([{name: value, "symbol": symbol}], View()), 80).lines[1].strip().split("  ")[0] == text


@pytest.mark.parametrize(
    ("values", "unit", "texts"),
    [
        ([11.0, 10.84], "usd/share", ["$11.00", "$10.84"]),
        ([1234.5, 0.004], "usd/share", ["$1,234.50", "$0.00"]),
        ([1_160_240_000, 900_800_000, 0], "usd", ["$1.160 B", "$0.901 B", "$0.000 B"]),
        ([1_160_240_000, -2_400_000], "usd", ["$1,160.24 M", "-$2.40 M"]),
        ([5e12, 1_200], "eur", ["EUR 5.00 T", "EUR 1.20 K"]),
        ([14_500_000, 15_000_000], "shares", ["14.5 M", "15.0 M"]),
        ([500, 12], "shares", ["500", "12"]),
        ([999_960_000], "usd", ["$1.00 B"]),
        ([0.00350128], "x", ["0.00350x"]),
        ([5], "x", ["5.00x"]),
        ([1], "", ["1.00"]),
        ([9, 51.8416], "%", ["9.00%", "51.84%"]),
        ([], "usd", []),
    ],
)
def test_values_of_one_item_have_one_scale_and_number_of_decimals(values: list[float], unit: str, texts: list[str]) -> None:
    """Unless they are too far apart."""
    assert amounts(values, unit) == texts


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([4167, 9292], ["4167", "9292"]),
        ([4167, 12_345, None], ["4,167", "12,345", ""]),
        ([179.0438657, 90_758.812], ["179.044", "90,758.812"]),
        ([3.0, 1.0], ["3", "1"]),
        ([1_234_567.891], ["1,234,567.89"]),
        ([0.5, float("nan")], ["0.5", "nan"]),
        ([1e-20, 1.5], ["1e-20", "1.5"]),
        (["x", True], ["x", "yes"]),
        ([2**53 + 1, 10**30], ["9,007,199,254,740,993", "1,000,000,000,000,000,000,000,000,000,000"]),
        ([2**53 + 1, 0.5], ["9,007,199,254,740,993.0", "0.5"]),
        ([Decimal(10**30)], ["1,000,000,000,000,000,000,000,000,000,000"]),
        ([], []),
    ],
)
def test_numbers_of_sql_have_one_number_of_decimals_per_column(values: list[Any], texts: list[str]) -> None:
    assert aligned(values) == texts


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([883, 8_770, 13_100], ["0.88 kB", "8.77 kB", "13.10 kB"]),
        ([341_000, 30_400, 0, None], ["341.0 kB", "30.4 kB", "0.0 kB", ""]),
        ([7, 12], ["7 B", "12 B"]),
        ([0], ["0 B"]),
        ([5_000_000_000, 3_000], ["5 GB", "3 kB"]),
        ([999_400], ["999 kB"]),
        ([999_999], ["1.00 MB"]),
        ([2_500_000_000_000_000], ["2.50 PB"]),
    ],
)
def test_sizes_of_a_column_have_one_unit(values: list[Any], texts: list[str]) -> None:
    """Unless they are too far apart."""
    assert sizes(values) == texts


@pytest.mark.usefixtures("here")
def test_sql_shows_times_and_prices_of_the_lake_as_other_commands_do() -> None:
    """By the names of the views' columns, unless the value is no time; what goes to programs stays as it is."""
    sql = (
        "SELECT min(symbol) AS symbol, min(ts_event) AS ts_event, min(price) AS price, max(ts_recv), "
        "min(ts_event) * 1000000 AS ts_recv FROM trades WHERE symbol = 'AAPL'"
    )
    shown = run(["lake", "query", sql], 200)
    assert shown.lines[1].split()[:4] == ["AAPL", "09:30:00.000", "264.123456789", "09:34:58"]
    assert shown.lines[2] == "times: 2026-11-20, America/New_York"
    assert shown.lines[1].split()[4].endswith("000000")
    assert '"ts_event": 17' in run(["lake", "query", sql, "-o", "jsonl"], 200).raw


@pytest.mark.usefixtures("here")
def test_a_repeated_time_of_sql_is_a_time_again() -> None:
    shown = run(["lake", "query", "SELECT ts_event, ts_event FROM trades WHERE symbol = 'AAPL' ORDER BY 1 LIMIT 1"], 200)
    assert shown.lines[:2] == ["ts_event      ts_event_2", "09:30:00.000  09:30:00"]


@pytest.mark.parametrize(
    ("symbol", "vwap", "text"),
    [("OANDA:EUR_USD", 1.08534, "1.08534"), ("BINANCE:DOGEUSDT", 0.123456, "0.123456"), ("AAPL", 0.123456, "0.1235")],
)
def test_a_price_is_the_same_with_and_without_its_symbol(symbol: str, vwap: float, text: str) -> None:
    row, view = {"symbol": symbol, "vwap": vwap}, View(fields=("vwap",))
    assert show(lambda: write_rows([row], View()), 80).lines[1].split() == [symbol, text]
    assert show(lambda: write_rows([row], view), 80).lines == ["vwap".rjust(len(text)), text]
    assert show(lambda: write_arrow(pa.Table.from_pylist([row]), view), 80).lines[1] == text
    assert show(lambda: write_object(row, view), 80).lines == [f"vwap  {text}"]


def test_an_accession_links_to_its_report_though_the_address_is_no_chosen_field() -> None:
    row = {"accession": "0001", "report": "https://www.sec.gov/x"}
    assert "https://www.sec.gov/x" in show(lambda: write_rows([row], View(fields=("accession",))), 80).raw


@pytest.mark.usefixtures("here")
def test_settings_are_shown_as_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal shows what can be set again; what goes to programs stays as it is."""
    lines = run(["config", "show"], 400).lines[1:]
    shown = {name: value for name, _, value in (line.partition(" ") for line in lines)}
    values = {name: value.strip() for name, value in shown.items()}
    wanted = {"topics.trades.retention": "30m", "lake.max_bytes": "64MB", "redshift.ssl": "true", "lake.max_records": "1000000"}
    assert {name: values[name] for name in wanted} == wanted
    before = load_settings().model_dump()
    for name, value in values.items():
        if value:
            monkeypatch.setenv(env_name(name), value)
    assert load_settings().model_dump() == before
    assert '"value": 1800.0' in run(["config", "show", "-o", "json"], 100).raw


def test_kpis_of_a_company_have_their_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `filings kpis` shows them."""
    kpis = {
        "currency": "usd",
        "free_cash_flow": 698_935_000,
        "gross_margin": 51.8416,
        "pe": None,
        "current_ratio": 5.8336,
        "eps": 45.8,
    }
    document = {"symbol": "AAPL", "kpis": kpis, "together": {"market_value": 3_881_787_400, "price": 265.24}}
    patch(
        monkeypatch,
        {
            "stockctl.cli.company.mongo_of": opened(PLACE),
            "stockctl.company.document.resolve_company": gives("AAPL"),
            "stockctl.company.document.company": gives(document),
        },
    )
    shown = dict(line.split(None, 1) for line in run(["company", "show", "AAPL"], 80).lines if " " in line)
    assert shown == {
        "symbol": "AAPL",
        "kpis.currency": "usd",
        "kpis.free_cash_flow": "$698.9 M",
        "kpis.gross_margin": "51.84%",
        "kpis.current_ratio": "5.83x",
        "kpis.eps": "$45.80",
        "together.market_value": "$3.88 B",
        "together.price": "265.24",
    }


def test_times_are_short_with_date_and_zone_once() -> None:
    from zoneinfo import ZoneInfo

    zone = ZoneInfo("America/New_York")
    first = datetime.datetime(2026, 11, 20, 9, 30, 1, 500_000, zone)
    rows = [{"at": first}, {"at": first + datetime.timedelta(hours=1)}]
    assert show(lambda: write_rows(rows, View()), 80).lines == [
        "at",
        "09:30:01",
        "10:30:01",
        "times: 2026-11-20, America/New_York",
    ]
    rows = [{"at": first}, {"at": first + datetime.timedelta(days=1)}]
    assert show(lambda: write_rows(rows, View()), 80).lines[2:] == ["2026-11-21 09:30:01", "times: America/New_York"]
    dated: list[dict[str, Any]] = [{"trade_date": row["at"].date(), "ts_event": row["at"]} for row in rows]
    assert show(lambda: write_rows(dated, View()), 80).lines[2] == "2026-11-21  09:30:01.500"


def test_a_record_has_times_in_the_form_of_tables() -> None:
    """Milliseconds where they matter, and the zone by its name."""
    from zoneinfo import ZoneInfo

    time = datetime.datetime(2026, 11, 20, 9, 30, 1, 500_000, ZoneInfo("America/New_York"))
    assert show(lambda: write_object({"last.ts_event": time, "at": time}, View()), 80).lines == [
        "last.ts_event  2026-11-20 09:30:01.500 America/New_York",
        "at             2026-11-20 09:30:01 America/New_York",
    ]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("age", "text"), [(0.4, "0s"), (59.4, "59s"), (59.6, "1m"), (61.7, "1m 2s")])
def test_an_age_in_the_live_table_has_whole_seconds(age: float, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = Snapshot(NOW, NOW - 60_000, [SymbolMetrics("AAPL", 1.0, 1.0, 1.0, 1.0, 1, 1, 0, age)], frozenset(), 0, None)
    monkeypatch.setattr("stockctl.metrics.live.follow", gives([snapshot]))
    lines = run(["metrics", "watch"], 100, COLUMNS="100").lines
    assert any(re.search(rf" 1 +{text}\b", line) for line in lines if "AAPL" in line)


def test_a_record_continues_below_itself() -> None:
    shown = show(lambda: write_object({"id": "x", "raw": "y" * 100, "bytes": 1_230_000}, View()), 40)
    assert shown.lines == [
        "id     x",
        "raw    " + "y" * 33,
        "       " + "y" * 33,
        "       " + "y" * 33,
        "       y",
        "bytes  1.23 MB",
    ]


def test_a_record_breaks_its_text_between_words() -> None:
    shown = show(lambda: write_object({"settings": "cash 10,000, participation 10%, fills prints"}, View()), 40)
    assert shown.lines == ["settings  cash 10,000, participation", "          10%, fills prints"]
