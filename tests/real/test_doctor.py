"""``stockctl doctor`` on Apache Kafka: logins and rights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from stockctl.settings import Settings
from stockctl.sim import Simulator
from tests.command import Command
from tests.servers import Kafka


@pytest.fixture
def login(kafka: Kafka, real_command: Command, real_settings: Settings) -> Iterator[Command]:
    """The command, logged in as the user who may do everything, where all is as it should be."""
    real_command.run("topics", "apply")
    with Simulator() as sim:
        real_command.environment |= {
            "STOCKCTL_FINNHUB__URL": sim.url,
            "STOCKCTL_KAFKA__BOOTSTRAP_SERVERS": kafka.sasl_servers,
            "STOCKCTL_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        }
        user(real_command, "stockctl")
        yield real_command


def user(command: Command, name: str, password: str | None = None) -> None:
    command.environment |= {
        "STOCKCTL_KAFKA__USERNAME": name,
        "STOCKCTL_KAFKA__PASSWORD": password or Kafka.PASSWORDS[name],
    }


def findings(command: Command, check: int) -> dict[str, dict[str, Any]]:
    return {row["system"]: row for row in json.loads(command.run("doctor", "-o", "json", check=check).stdout)}


def test_the_right_login_finds_everything_sound(login: Command, kafka: Kafka) -> None:
    found = findings(login, 0)
    assert [row["state"] for system, row in found.items() if system.startswith(("kafka", "topic"))] == ["ok"] * 5
    assert kafka.sasl_servers in found["kafka"]["detail"]


def test_a_wrong_password_is_refused_at_once_and_shown_nowhere(login: Command) -> None:
    user(login, "stockctl", "wrong-password-of-somebody")
    # If it were tried again, then for an hour.
    login.environment["STOCKCTL_KAFKA__CONNECT_WAIT"] = "1h"
    result = login.run("topics", "list", check=4)
    assert "cannot log in" in result.stderr
    assert "authentication" in result.stderr.lower()
    assert "STOCKCTL_KAFKA__PASSWORD" in result.stderr
    assert "wrong-password-of-somebody" not in result.stderr
    found = findings(login, 10)
    assert found["kafka"]["state"] == "fail"
    assert "authentication" in found["kafka"]["detail"].lower()
    assert "STOCKCTL_KAFKA__PASSWORD" in found["kafka"]["fix"]


def test_a_missing_password_names_the_setting(login: Command) -> None:
    del login.environment["STOCKCTL_KAFKA__PASSWORD"]
    assert "kafka.password is not set" in login.run("topics", "list", check=3).stderr


def test_a_user_without_rights_gets_in_and_sees_what_is_refused(login: Command, real_settings: Settings) -> None:
    user(login, "guest")
    login.run("topics", "list", check=4)
    found = findings(login, 10)
    assert found["kafka"]["state"] == "ok", "the cluster itself lets the guest in"
    row = found[f"topic {real_settings.topics.trades.name}"]
    assert row["state"] == "fail"
    assert "authorization" in row["detail"].lower()


def test_a_reader_sees_which_right_is_missing(login: Command, kafka: Kafka, real_settings: Settings) -> None:
    """The rights of a topic come from the broker: nothing is written to find out."""
    name = real_settings.topics.trades.name
    admin = AdminClient({"bootstrap.servers": kafka.servers})
    for operation in (AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS, AclOperation.READ):
        acl = AclBinding(
            ResourceType.TOPIC, name, ResourcePatternType.LITERAL, "User:reader", "*", operation, AclPermissionType.ALLOW
        )
        for future in admin.create_acls([acl]).values():
            future.result(30)
    user(login, "reader")
    row = findings(login, 10)[f"topic {name}"]
    assert (row["state"], row["detail"]) == ("fail", "permission denied: WRITE")
    assert row["fix"] == "grant reader these operations on the topic"
