"""``stockctl topics`` as a process."""

from __future__ import annotations

import json
from typing import Any

from tests.command import Command


def rows(command: Command, *arguments: str, check: int = 0) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = json.loads(command.run(*arguments, "-o", "json", check=check).stdout)
    return result


def test_diff_apply_diff(command: Command) -> None:
    """They differ (10), are applied (0), and then match (0)."""
    before = command.run("topics", "diff", check=10, real=True)
    assert before.stdout.count("absent") == 4
    assert "4 differences between the topics and the settings" in before.stderr
    assert [row["action"] for row in rows(command, "topics", "apply")] == ["created"] * 4
    after = command.run("topics", "diff")
    assert after.stdout == "kind  name  field  wanted  actual  fix\n"
    assert "no differences between the topics and the settings" in after.stderr


def test_a_dry_run_shows_what_apply_would_change(command: Command) -> None:
    planned = rows(command, "topics", "apply", "--dry-run")
    assert [row["actual"] for row in planned] == ["absent"] * 4
    assert planned == rows(command, "topics", "diff", check=10)
    assert "dry run: nothing was changed" in command.run("topics", "apply", "--dry-run").stderr


def test_apply_again_changes_nothing(command: Command) -> None:
    command.run("topics", "apply")
    assert [row["action"] for row in rows(command, "topics", "apply")] == ["unchanged"] * 4
    planned = command.run("topics", "apply", "--dry-run", "--fields", "name,fix")
    assert (planned.stdout, planned.stderr) == ("", "dry run: nothing would change\n")


def test_what_apply_skips_is_exit_code_10(command: Command) -> None:
    command.environment["STOCKCTL_TOPICS__TRADES__PARTITIONS"] = "2"
    command.run("topics", "apply")
    command.environment["STOCKCTL_TOPICS__TRADES__PARTITIONS"] = "1"
    result = command.run("topics", "apply", check=10)
    assert "skipped: topic " in result.stderr
    assert "Kafka cannot remove partitions" in result.stdout
    assert [row["field"] for row in rows(command, "topics", "apply", "--dry-run")] == ["partitions"]


def test_a_setting_that_changed_is_named_by_diff_and_set_by_apply(command: Command) -> None:
    command.environment["STOCKCTL_TOPICS__TRADES__RETENTION"] = "30m"
    command.run("topics", "apply")
    command.environment["STOCKCTL_TOPICS__TRADES__RETENTION"] = "2h"
    [difference] = rows(command, "topics", "diff", check=10)
    assert (difference["field"], difference["wanted"], difference["actual"]) == ("retention.ms", "7200000", "1800000")
    command.run("topics", "apply")
    command.run("topics", "diff")


def test_list_names_what_is_absent(command: Command) -> None:
    result = command.run("topics", "list")
    assert "absent: " in result.stderr
    command.run("topics", "apply")
    assert [row["records"] for row in rows(command, "topics", "list")] == [0, 0, 0, 0]
    names = [row["topic"] for row in rows(command, "topics", "list", "--all")]
    assert command.environment["STOCKCTL_TOPICS__TRADES__NAME"] in names


def test_lag_of_a_group_that_has_not_begun_is_everything(command: Command) -> None:
    command.run("topics", "apply")
    found = rows(command, "topics", "lag", "--group", "nobody")
    assert len(found) == 5, "three partitions of trades, one of feed events and one of signals"
    assert all((row["committed"], row["lag"]) == (None, 0) for row in found)
