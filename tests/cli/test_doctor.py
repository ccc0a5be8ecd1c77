"""``stockctl doctor`` as a process: each system sound, and each one broken in turn."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stockctl.clients.kafka import Admin
from stockctl.stream.topics import apply
from tests.command import HANG, Command
from tests.conftest import free_port, listening, own, wait_for


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A simulator; its address."""
    port = free_port()
    process = Command(tmp_path_factory.mktemp("sim")).start("sim", "--port", str(port), "--seed", "1")
    wait_for(lambda: listening(port) or process.poll() is not None, "the simulator")
    yield f"ws://127.0.0.1:{port}"
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def topics(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The command with its topics made, which a doctor only looks at."""
    settings, command = own(broker, tmp_path_factory.mktemp("doctor"))
    apply(Admin(settings), settings.topics)
    return command


@pytest.fixture
def sound(topics: Command, sim: str, tmp_path: Path) -> Command:
    """The command where everything is as it should be, in a folder of the test's own."""
    (tmp_path / "lake").mkdir()
    return Command(
        tmp_path, **topics.environment | {"STOCKCTL_FINNHUB__URL": sim, "STOCKCTL_LAKE__URL": (tmp_path / "lake").as_uri()}
    )


def findings(command: Command, check: int) -> dict[str, dict[str, Any]]:
    return {row["system"]: row for row in json.loads(command.run("doctor", "-o", "json", check=check).stdout)}


def test_everything_sound_is_exit_0_with_each_latency(sound: Command) -> None:
    found = findings(sound, 0)
    assert {row["state"] for row in found.values()} <= {"ok", "warn"}
    assert list(found)[:2] == ["feed", "kafka"]
    assert list(found)[-3:] == ["lake store", "dashboard", "disk"]
    assert len(found) == 12
    for system in ("feed", "kafka", "lake store"):
        assert found[system]["latency_ms"] > 0


def test_the_simulators_connection_is_left_to_the_producer(sound: Command, sim: str) -> None:
    """One connection per key: a doctor that logged in would drop the running producer."""
    producer = sound.start("produce", "AAPL")
    log = sound.folder / "produce.log"
    wait_for(lambda: "connected" in log.read_text() or producer.poll() is not None, "the producer's connection")
    assert producer.poll() is None, log.read_text()
    findings(sound, 0)
    producer.terminate()
    assert producer.wait(HANG) == 0
    assert "reconnects 0" in log.read_text()


def test_what_is_broken_has_a_cause_and_a_fix_and_the_rest_is_still_checked(sound: Command, tmp_path: Path) -> None:
    dead = f"127.0.0.1:{free_port()}"
    (tmp_path / "file").write_text("")
    sound.environment |= {
        "STOCKCTL_FINNHUB__URL": f"ws://{dead}",
        "STOCKCTL_LAKE__URL": (tmp_path / "file" / "lake").as_uri(),
    }
    found = findings(sound, 10)
    assert (found["feed"]["state"], found["lake store"]["state"]) == ("fail", "fail")
    assert (found["kafka"]["state"], found["disk"]["state"]) == ("ok", "ok") or found["disk"]["state"] == "warn"
    for row in found.values():
        assert (row["fix"] is not None) == (row["state"] != "ok"), row
    assert f"cannot reach the feed at {dead}" in found["feed"]["detail"]


def test_checks_run_side_by_side(sound: Command) -> None:
    """The REST API answers once somebody has come for the broker, at the same address: one after the other, nobody would."""
    came = threading.Event()

    class Meeting(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            if self.connection.recv(65_536).startswith(b"GET"):
                came.wait(HANG)
                self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"c":1}')
            else:
                came.set()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Meeting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_address[1]}"
        sound.environment |= {
            "STOCKCTL_FINNHUB__REST_URL": f"http://{address}",
            "STOCKCTL_KAFKA__BOOTSTRAP_SERVERS": address,
        }
        found = findings(sound, 10)
        server.shutdown()
    assert found["finnhub rest"]["state"] == "ok", found["finnhub rest"]
    assert [row["state"] for system, row in found.items() if system.startswith(("kafka", "topic"))] == ["fail"] * 5


def test_a_missing_topic_and_one_that_differs_are_distinguished(sound: Command) -> None:
    name = sound.environment["STOCKCTL_TOPICS__TRADES__NAME"]
    sound.environment |= {
        "STOCKCTL_TOPICS__TRADES__RETENTION": "2h",
        "STOCKCTL_TOPICS__DEAD_LETTERS__NAME": f"{name}-other",
    }
    found = findings(sound, 10)
    assert (found[f"topic {name}"]["state"], found[f"topic {name}-other"]["state"]) == ("warn", "fail")
    assert "topics apply" in found[f"topic {name}-other"]["fix"]


def test_the_real_feed_without_a_key_names_the_setting(sound: Command) -> None:
    sound.environment["STOCKCTL_FINNHUB__URL"] = "wss://ws.finnhub.io"
    found = findings(sound, 10)
    assert "finnhub.token is not set" in found["feed"]["detail"]
    assert "STOCKCTL_FINNHUB__TOKEN" in found["feed"]["fix"]


def test_a_server_without_tls_is_distinguished_from_one_that_is_away(sound: Command, sim: str) -> None:
    sound.environment["STOCKCTL_FINNHUB__URL"] = sim.replace("ws://", "wss://")
    assert "cannot speak TLS" in findings(sound, 10)["feed"]["detail"]


def test_s3_is_checked_with_its_rights(sound: Command, s3_environment: dict[str, str], s3_bucket: str) -> None:
    sound.environment |= s3_environment | {"STOCKCTL_LAKE__URL": f"s3://{s3_bucket}/doctor"}
    assert findings(sound, 0)["lake store"]["state"] == "ok"
    sound.environment |= {"STOCKCTL_S3__ACCESS_KEY_ID": "reader", "STOCKCTL_S3__SECRET_ACCESS_KEY": "reader-secret-key"}
    assert "cannot put" in findings(sound, 10)["lake store"]["detail"]
    sound.environment["STOCKCTL_LAKE__URL"] = "s3://nobodys"
    assert "does not exist" in findings(sound, 10)["lake store"]["detail"]


def test_the_table_names_what_is_unhealthy_on_stderr(sound: Command) -> None:
    sound.environment["STOCKCTL_LAKE__URL"] = "file:///dev/null/lake"
    result = sound.run("doctor", check=10)
    assert result.stdout.splitlines()[0].split() == ["system", "state", "latency_ms", "detail", "fix"]
    assert "error: unhealthy: lake store" in result.stderr
