"""``stockctl metrics`` as a process."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from stockctl.clients.kafka import Admin
from stockctl.settings import Settings
from tests.command import BIN, HANG, Command
from tests.conftest import free_port, own, wait_for
from tests.lakes import at, covered, lay, trade
from tests.metrics.test_live import send

OPEN = at("2026-11-20 09:30")


@pytest.fixture(scope="module")
def filled(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The command over a lake with a covered minute of AAPL, and one trade that does not count; and one of LATE, after hours.
    Tests only read it.
    """
    settings, command = own(broker, tmp_path_factory.mktemp("metrics"))
    rows = [trade("AAPL", OPEN + number * 500, 100.0 + number % 3, 100.0) for number in range(120)]
    lay(settings, [*rows, trade("AAPL", OPEN + 60_000, 500.0, 100.0, "1,3")])
    lay(settings, [trade("LATE", "2026-11-20 17:00", 10.0)], partition=1)
    lay(settings, [covered("AAPL", OPEN, OPEN + 60_500)], table="feed_events")
    return command


def asked(command: Command, *arguments: str) -> Any:
    """The JSON that the metric answers with."""
    return json.loads(command.run("metrics", *arguments, "-o", "json").stdout)


def test_vwap_in_a_table_says_what_must_be_known(filled: Command) -> None:
    """Figures alone on stdout; policy, what was left out, coverage, data's end and the feed on stderr."""
    result = filled.run("metrics", "vwap", "AAPL")
    assert result.stdout.splitlines()[0].split() == ["symbol", "trade_date", "vwap", "volume", "trades"]
    assert result.stdout.splitlines()[1].split() == ["AAPL", "2026-11-20", "101", "12,000", "120"]
    for words in ("policy standard", "1 left out (3 Average Price Trade: 1)", "coverage", "data through", "consolidated tape"):
        assert words in result.stderr


def test_every_form_carries_the_context_in_its_rows(filled: Command) -> None:
    """JSON, JSON lines, CSV and Parquet hold policy, session, left out, coverage, through and feed."""
    context = {"policy", "session", "left_out", "left_out_by", "coverage", "through", "feed"}
    parquet = filled.run_bytes("metrics", "vwap", "AAPL", "-o", "parquet")
    rows = [
        asked(filled, "vwap", "AAPL")[0],
        json.loads(filled.run("metrics", "vwap", "AAPL", "-o", "jsonl").stdout),
        next(csv.DictReader(io.StringIO(filled.run("metrics", "vwap", "AAPL", "-o", "csv").stdout))),
        pyarrow.parquet.read_table(io.BytesIO(parquet.stdout)).to_pylist()[0],
    ]
    for row in rows:
        assert context <= row.keys()
        assert float(row["vwap"]) == 101.0
        assert (row["policy"], row["session"], int(row["left_out"])) == ("standard", "regular", 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ["vwap", "--every", "30s"],
        ["bars", "--every", "30s"],
        ["rate"],
        ["volatility", "--window", "10s", "--every", "30s"],
        ["volatility", "--returns"],
        ["summary"],
    ],
    ids=" ".join,
)
def test_parquet_has_its_types_where_nothing_is_known(filled: Command, arguments: list[str]) -> None:
    """So that files of several answers can be read as one."""

    def schema(symbol: str) -> pyarrow.Schema:
        result = filled.run_bytes("metrics", arguments[0], symbol, *arguments[1:], "-o", "parquet")
        table = pyarrow.parquet.read_table(io.BytesIO(result.stdout))
        assert table.num_rows >= 1
        assert not any(pyarrow.types.is_null(field.type) for field in table.schema)
        return table.schema

    assert schema("NVDA") == schema("AAPL")


def test_each_metric_answers(filled: Command) -> None:
    """With the options that belong to it."""
    assert [row["trades"] for row in asked(filled, "vwap", "AAPL", "--every", "30s")] == [60, 60]
    (volatility,) = asked(filled, "volatility", "AAPL", "--window", "3")
    assert (volatility["volatility"], volatility["window"]) == (pytest.approx(1.0), "3 trades")
    assert len(asked(filled, "volatility", "AAPL", "--window", "10s", "--every", "30s")) == 2
    (returns,) = asked(filled, "volatility", "AAPL", "--returns", "--every", "5s")
    assert returns["returns"] == 12
    (rate,) = asked(filled, "rate", "AAPL")
    assert (rate["trades"], rate["covered_seconds"]) == (120, pytest.approx(60.05))
    assert [row["close"] for row in asked(filled, "bars", "AAPL")] == [102.0, None]
    (summary,) = asked(filled, "summary", "AAPL", "--policy", "all")
    assert (summary["trades"], summary["high"], summary["policy"]) == (121, 102.0, "all")


def test_as_of_takes_what_had_been_received_by_then(filled: Command) -> None:
    """A date with all of its day on the exchange, also in another zone; ``watch``, which is of now, refuses it."""
    for metric in ("vwap", "volatility", "rate", "bars", "summary"):
        (row,) = asked(filled, metric, "AAPL", "--as-of", "2026-11-20T09:30:10")[:1]
        assert row["through"] == "2026-11-20T09:30:10-05:00"
    moments = {"2026-11-20T23:30:10": 20, "2026-11-20T14:30:10Z": 20, "2026-11-20": 120, "2026-11-19": None}
    for as_of, trades in moments.items():
        (row,) = asked(filled, "vwap", "AAPL", "--as-of", as_of, "--tz", "Asia/Tokyo")
        assert row["trades"] == trades
    result = filled.run("metrics", "vwap", "AAPL", "--as-of", "2026-11-19")
    assert "as received by 2026-11-19 23:59:59 EST" in result.stderr
    assert "as received" not in filled.run("metrics", "vwap", "AAPL", "--as-of", "9999-12-31").stderr
    assert filled.run("metrics", "vwap", "AAPL", "--as-of", "0001-01-01").stdout.splitlines()[1].split() == ["AAPL"]
    assert "is not a date or time" in filled.run("metrics", "rate", "--as-of", "tomorrow", check=2).stderr
    assert "this is a live view" in filled.run("metrics", "watch", "--as-of", "2026-11-20", check=2).stderr
    read = filled.run("lake", "read", "AAPL", "--as-of", "2026-11-20T09:30:10", "-o", "jsonl").stdout
    assert len(read.splitlines()) == 20


def test_times_are_shown_in_the_asked_zone(filled: Command) -> None:
    """Input without a zone is in it too."""
    (row,) = asked(filled, "bars", "AAPL", "--tz", "UTC", "--since", "2026-11-20T14:30", "--until", "2026-11-20T14:31")
    assert row["bar"] == "2026-11-20T14:30:00+00:00"


def test_the_default_session_is_replaced_by_one_that_has_trades_and_a_chosen_one_is_not(filled: Command) -> None:
    """With one line that says so."""
    result = filled.run("metrics", "vwap", "LATE", "-o", "json")
    (row,) = json.loads(result.stdout)
    assert (row["session"], row["trade_date"], row["vwap"]) == ("post", "2026-11-20", 10.0)
    assert len([line for line in result.stderr.splitlines() if "no trade of LATE in the regular session of" in line]) == 1
    for chosen in (("--session", "regular"), ("--date", "2026-11-20"), ("--since", "2026-11-20"), ("--until", "2026-11-21")):
        (row,) = asked(filled, "vwap", "LATE", *chosen)
        assert (row["trade_date"] in (None, "2026-11-20"), row["vwap"]) == (True, None)


def test_nothing_to_answer_is_exit_0_null_and_words(filled: Command) -> None:
    """A symbol of the setting that the lake has no trades of."""
    result = filled.run("metrics", "vwap", "NVDA", "-o", "json")
    assert json.loads(result.stdout)[0]["vwap"] is None
    assert "NVDA: the lake holds no trades of it" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("vwap", "AAPL", "--engine", "kafka"), "redshift"),
        (("vwap", "AAPL", "--since", "tomorrow"), "'tomorrow' is not a date or time"),
        (("vwap", "AAPL", "--since", "2026-11-21", "--until", "2026-11-20"), "--since is not before --until"),
        (("vwap", "AAPL", "--date", "2026-11-20", "--until", "2026-11-20"), "exclude each other"),
        (("bars", "AAPL", "--every", "7s"), "--every must cut a day"),
        (("volatility", "AAPL", "--window", "1"), "--window 1"),
        (("volatility", "AAPL", "--returns", "--window", "5"), "--returns takes the whole span"),
        (("watch", "AAPL", "-o", "csv"), "'csv' is not one of 'table', 'jsonl'"),
        (("watch", "AAPL", "--for", "soon"), "--for"),
        (("vwap", "AAPL", "--policy", "mine"), "mine"),
        (("vwap", "AAPL", "--tz", "Mars/Olympus"), "--tz: 'Mars/Olympus' is not a time zone"),
    ],
)
def test_what_cannot_be_is_a_matter_of_usage(filled: Command, arguments: tuple[str, ...], words: str) -> None:
    """Exit 2, and words that name it."""
    assert words in filled.run("metrics", *arguments, check=2).stderr


@pytest.fixture
def streaming(settings: Settings, command: Command) -> Command:
    """The command over a topic with trades of just now."""
    Admin(settings).create_topic(settings.topics.trades.name, 2, 1, {})
    now = int(time.time() * 1000)
    send(settings, [trade("AAPL", now - 100 * number, 100.0 + number % 2) for number in range(20)])
    return command


def watched(streaming: Command, awaited: str, *arguments: str) -> list[str]:
    """The lines that the command has written when ``awaited`` has come, and a signal after it."""
    process, log = streaming.start("metrics", "watch", *arguments, "--refresh", "200ms"), streaming.folder / "metrics.log"
    try:
        wait_for(lambda: awaited in log.read_text(), awaited)
    finally:
        process.terminate()
        assert process.wait(HANG) == 0
    return log.read_text().splitlines()


def test_watch_ends_when_its_time_is_up(streaming: Command) -> None:
    """With one more line, however far off the next refresh is."""
    result = streaming.run("metrics", "watch", "AAPL", "--for", "500ms", "--refresh", "1h")
    assert len(result.stdout.splitlines()) == 1


def test_watch_writes_lines_when_piped(streaming: Command) -> None:
    """One line per symbol and refresh, each with the names of its figures."""
    lines = watched(streaming, "trades 20 ", "AAPL", "MSFT")
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d E[SD]T  AAPL  last 10[01]\.0000  vwap 100\.5000  volatility 0\.513  trades/s [\d.]+  volume 2,000  "
        r"trades 20  age [\d.]+s",
        lines[-2],
    )
    assert "MSFT  last -  vwap -" in lines[-1]


def test_watch_refuses_a_symbol_that_neither_the_setting_nor_the_feed_knows(settings: Settings, streaming: Command) -> None:
    """With near ones of both. What the last minutes' trades name is known, as it is written there."""
    send(settings, [trade("qzxw", int(time.time() * 1000), 1.0)])
    result = streaming.run("metrics", "watch", "MSFT,APPL", "--for", "1s", check=2)
    assert "the last 5m of the topic" in result.stderr
    assert "there is nothing of APPL in the last 5m of the topic" in result.stderr
    assert "did you mean AAPL" in result.stderr
    assert result.stdout == ""
    assert "  qzxw  last 1.0000" in streaming.run("metrics", "watch", "qzxw", "--for", "500ms", "--look-back", "1m").stdout


def test_watch_writes_json_lines(streaming: Command) -> None:
    """One row per symbol and refresh, with what must be known beside the figures."""
    row = json.loads(watched(streaming, '"trades": 20', "AAPL", "-o", "jsonl")[-1])
    assert (row["vwap"], row["trades"], row["policy"], row["feed"]) == (100.5, 20, "standard", "finnhub")


@pytest.mark.parametrize(
    ("width", "shown", "left_out"),
    [(100, ["vwap", "trades/s", "age"], []), (40, ["vwap", "volatility"], ["trades/s", "volume", "age", "…"])],
)
def test_watch_redraws_in_place_on_a_terminal_and_leaves_at_ctrl_c(
    streaming: Command, width: int, shown: list[str], left_out: list[str]
) -> None:
    """The cursor goes up before each redraw, and the first Ctrl-C ends it with exit 0. No figure is cut on a narrow one."""
    main, other = pty.openpty()
    environment = streaming.environment | {"TERM": "xterm", "COLUMNS": str(width), "LINES": "30"}
    process = subprocess.Popen(
        [BIN / "stockctl", "metrics", "watch", "AAPL", "--refresh", "200ms"],
        stdout=other,
        stderr=other,
        stdin=other,
        env=environment,
        cwd=streaming.folder,
    )
    os.close(other)
    os.set_blocking(main, False)
    seen = bytearray()

    def drawn(times: int) -> bool:
        with suppress(BlockingIOError):
            seen.extend(os.read(main, 65_536))
        return seen.count(b"100.50") >= times

    wait_for(lambda: drawn(3), "three redraws")
    process.send_signal(signal.SIGINT)
    assert process.wait(HANG) == 0
    os.close(main)
    assert b"\x1b[1A" in seen
    table = seen.decode().partition("policy")[0]
    assert [word for word in [*shown, *left_out] if word in table] == shown


def test_watch_says_what_it_waits_for(tmp_path: Path) -> None:
    away = {"STOCKCTL_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}", "STOCKCTL_KAFKA__CONNECT_WAIT": "2500ms"}
    result = Command(tmp_path, **away).run("metrics", "watch", "--for", "1s", check=5)
    assert "waiting up to 2.5s for Kafka at 127.0.0.1:" in result.stderr
