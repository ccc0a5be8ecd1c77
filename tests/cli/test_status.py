"""``stockctl status`` as a process: empty, filled, and with the broker away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stockctl.clients.kafka import Producer
from stockctl.exchange.calendar import now_ms
from stockctl.settings import load_settings
from tests.command import HANG, Command
from tests.conftest import free_port

FRAMES = [
    '{"data":[{"c":["1","12"],"p":164.06,"s":"AAPL","t":1680286537580,"v":5}],"type":"trade"}',
    '{"data":[{"c":["1"],"p":290.5,"s":"MSFT","t":1680286537590,"v":100}],"type":"trade"}',
    '{"type":"ping"}',
]


def parts(command: Command, check: int) -> dict[str, dict[str, Any]]:
    return {row["part"]: row for row in json.loads(command.run("status", "-o", "json", check=check).stdout)}


def test_before_anything_is_made_the_missing_topics_fail(command: Command, tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    found = parts(command, 10)
    trades = command.environment["STOCKCTL_TOPICS__TRADES__NAME"]
    assert (found[f"topic {trades}"]["state"], found[f"topic {trades}"]["fix"]) == ("fail", "`stockctl topics apply`")
    assert found["feed"]["detail"] == "no event yet"
    assert found["lake trades"]["detail"].startswith("empty")
    assert found["local stack"]["detail"] == "stopped"


def test_what_went_through_is_seen_in_each_row(command: Command, tmp_path: Path) -> None:
    command.run("topics", "apply")
    frames = tmp_path / "frames.jsonl"
    frames.write_text("\n".join(FRAMES) + "\n")
    command.run("produce", "--replay", str(frames))
    trades, group = (command.environment[f"STOCKCTL_{name}"] for name in ("TOPICS__TRADES__NAME", "LAKE__GROUP"))
    behind = parts(command, 0)
    assert behind[f"topic {trades}"]["detail"].startswith("2 records")
    assert "source replay" in behind["feed"]["detail"]
    lag = int(behind[f"group {group}"]["detail"].split()[0])
    assert lag > 2, "two trades and the feed events"

    command.run("consume", "s3", "--once")
    found = parts(command, 0)
    assert found[f"group {group}"]["detail"].startswith("0 records behind")
    for table in ("trades", "feed_events"):
        assert found[f"lake {table}"]["state"] == "ok"
        assert found[f"lake {table}"]["detail"].startswith("newest claim ")


def test_an_event_of_another_producer_is_reported_whatever_it_is(command: Command) -> None:
    command.run("topics", "apply")
    settings = load_settings(environ=command.environment)
    producer = Producer(settings)
    producer.produce(settings.topics.feed_events.name, value=b'{"kind":"\xff"}', key="", timestamp=now_ms())
    assert producer.flush(HANG) == 0
    feed = parts(command, 10)["feed"]
    assert (feed["state"], "is not valid: not UTF-8" in feed["detail"]) == ("fail", True)


def test_what_cannot_be_reached_is_said_in_its_row_and_the_lake_is_still_shown(command: Command) -> None:
    command.environment["STOCKCTL_KAFKA__BOOTSTRAP_SERVERS"] = f"127.0.0.1:{free_port()}"
    found = parts(command, 10)
    assert found["feed"]["state"] == "fail"
    assert "cannot reach a broker" in found["feed"]["detail"]
    assert found["lake trades"]["state"] == "warn"
