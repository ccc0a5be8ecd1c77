"""``stockctl sim`` as a process."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import websocket

from tests.command import BIN, HANG, Command, clean_environment
from tests.conftest import free_port, listening, wait_for
from tests.sim.conftest import Client


@pytest.fixture
def process(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running simulator and its address."""
    running = subprocess.Popen(
        [BIN / "stockctl", "sim", *request.param],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
        cwd=tmp_path,
    )
    assert running.stdout is not None
    yield running, running.stdout.readline().strip()
    running.kill()
    running.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("process", [["--rate", "200"]], indirect=True)
def test_it_serves_until_a_signal_and_leaves_at_once_with_0(
    process: tuple[subprocess.Popen[str], str], number: signal.Signals
) -> None:
    """Its address alone is on stdout; a connected client does not hold it up."""
    running, url = process
    assert url.startswith("ws://127.0.0.1:")
    client = Client(f"{url}?token=sim")
    client.ask("subscribe", "AAPL")
    client.rows(10)
    running.send_signal(number)
    out, err = running.communicate(timeout=HANG)
    with pytest.raises((websocket.WebSocketConnectionClosedException, ConnectionResetError)):
        list(iter(client.frame, None))  # to an end without a goodbye, which would be waited for
    client.close()
    assert running.returncode == 0, err
    assert out == ""
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "process",
    [["--symbols", "AAPL,MSFT", "--token", "k", "--symbol-limit", "1", "--fault", "refuse@0s:429", "--fault", "drop@2frames"]],
    indirect=True,
)
def test_its_options_reach_the_server(process: tuple[subprocess.Popen[str], str]) -> None:
    """Token, symbols, limit and faults."""
    _, url = process
    statuses = []
    for _ in range(2):
        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            Client(f"{url}?token=wrong")
        statuses.append(refused.value.status_code)
    assert statuses == [429, 401]
    client = Client(f"{url}?token=k")
    client.ask("subscribe", "BINANCE:BTCUSDT", "AAPL", "MSFT")
    assert client.frame()["msg"] == "Invalid symbol BINANCE:BTCUSDT"
    assert client.frame()["msg"] == "Subscribing to too many symbols"
    for _ in range(2):
        assert {row["s"] for row in client.frame()["data"]} == {"AAPL"}
    assert client.ended()
    client.close()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--fault", "drop@soon"], 2, "'soon' is not a duration"),
        (["--rate", "-1"], 2, "-1 is not a rate of rows per second"),
        (["--ping-interval", "soon"], 2, "--ping-interval: 'soon' is not a duration"),
        (["--replay", "nowhere.jsonl"], 2, "cannot read nowhere.jsonl: No such file"),
        (["--replay", "."], 2, "cannot read .: Is a directory"),
        (["--filings", "nowhere"], 2, "cannot read nowhere: No such file"),
        (["--symbols", " , "], 2, "there is no symbol"),
        (["--host", "203.0.113.1"], 1, "cannot listen on 203.0.113.1:0"),
    ],
)
def test_what_cannot_be_ends_in_words_and_its_exit_code(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    """No traceback."""
    result = Command(tmp_path).run("sim", *arguments, check=code)
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_filings_and_limits_are_the_users(tmp_path: Path) -> None:
    """The REST half, on the same port."""
    (tmp_path / "mine.json").write_text('{"symbol":"MINE","data":[{"accessNumber":"0000000001-25-000001","form":"10-K"}]}')
    command = Command(tmp_path)
    port = free_port()
    process = command.start("sim", "--port", str(port), "--filings", str(tmp_path), "--requests-per-minute", "2")
    url = f"http://127.0.0.1:{port}/api/v1/stock/financials-reported?symbol=MINE&token=k"
    try:
        wait_for(lambda: listening(port), "the simulator")
        for _ in range(2):
            with urllib.request.urlopen(url, timeout=HANG) as answer:
                assert json.loads(answer.read())["data"][0]["accessNumber"] == "0000000001-25-000001"
        with pytest.raises(urllib.error.HTTPError, match="429") as raised:
            urllib.request.urlopen(url, timeout=HANG)
        raised.value.close()
    finally:
        process.terminate()
        assert process.wait(HANG) == 0
