"""``stockctl topics`` on Apache Kafka."""

from __future__ import annotations

import json
from typing import Any

from stockctl.clients.kafka import Admin
from stockctl.settings import Settings
from tests.command import Command
from tests.conftest import wait_for


def rows(command: Command, *arguments: str, check: int = 0) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = json.loads(command.run(*arguments, "-o", "json", check=check).stdout)
    return result


def test_topics_are_made_compared_and_corrected(real_command: Command, real_settings: Settings) -> None:
    real_command.run("topics", "diff", check=10)
    assert [row["action"] for row in rows(real_command, "topics", "apply")] == ["created"] * 4
    real_command.run("topics", "diff")
    assert [row["action"] for row in rows(real_command, "topics", "apply")] == ["unchanged"] * 4

    name = real_settings.topics.trades.name
    admin = Admin(real_settings)
    admin.set_topic_config(name, {"retention.ms": "60000", "message.timestamp.type": "LogAppendTime"})
    found = {row["field"]: (row["wanted"], row["actual"]) for row in rows(real_command, "topics", "diff", check=10)}
    wanted = f"{real_settings.topics.trades.retention * 1000:.0f}"
    assert found == {"retention.ms": (wanted, "60000"), "message.timestamp.type": ("CreateTime", "LogAppendTime")}
    real_command.run("topics", "apply")
    real_command.run("topics", "diff")


def test_partitions_grow_and_never_shrink(real_command: Command, real_settings: Settings) -> None:
    name = real_settings.topics.trades.name
    real_command.run("topics", "apply")
    real_command.environment["STOCKCTL_TOPICS__TRADES__PARTITIONS"] = "4"
    assert "keys move" in real_command.run("topics", "apply").stdout
    real_command.environment["STOCKCTL_TOPICS__TRADES__PARTITIONS"] = "2"
    assert "skipped" in real_command.run("topics", "apply", check=10).stdout
    real_command.run("topics", "diff", check=10)
    assert len(Admin(real_settings).partitions(name)) == 4


def test_a_replication_that_the_cluster_cannot_have_fails_with_its_reason(real_command: Command) -> None:
    real_command.environment["STOCKCTL_TOPICS__TRADES__REPLICATION"] = "3"
    result = real_command.run("topics", "apply", check=1)
    assert "replication factor" in result.stderr.lower()


def test_a_topic_has_an_id_that_changes_when_it_is_recreated(real_settings: Settings) -> None:
    """The lake distinguishes generations by it."""
    admin, name = Admin(real_settings), real_settings.topics.trades.name
    ids = set()
    for _ in range(2):
        admin.create_topic(name, 1, 1, {})
        info = admin.topic(name)
        assert info is not None
        ids.add(info.topic_id)
        admin.delete_topic(name)
        wait_for(lambda: admin.topic(name) is None, "the topic to be gone")
    assert len(ids - {""}) == 2
