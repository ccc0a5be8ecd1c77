"""Topics: created once, corrected if they differ, never deleted."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from stockctl.check_runner import run
from stockctl.clients.kafka import Admin, Producer
from stockctl.reconcile import Change
from stockctl.settings import Settings, load_settings
from stockctl.stream.health import checks, topic_checks
from stockctl.stream.topics import apply, differences, listing, topic_specs
from tests.command import HANG, clean_environment
from tests.conftest import own_names


@pytest.fixture
def settings(broker: str, tmp_path: Path) -> Settings:
    return changed(broker, tmp_path)


@pytest.fixture
def admin(settings: Settings) -> Admin:
    return Admin(settings)


def changed(broker: str, folder: Path, **flags: object) -> Settings:
    """The settings of the same test, retentions as users have them, with other values; ``__`` in a keyword is a dot."""
    names = {name: value for name, value in own_names(broker, folder).items() if not name.endswith(".retention")}
    more = {name.replace("__", "."): value for name, value in flags.items()}
    return load_settings(environ=clean_environment(), flags=names | more)


def by_field(admin: Admin, settings: Settings) -> dict[str, tuple[str, str]]:
    """What differs in the topic of trades: field to (wanted, actual)."""
    name = settings.topics.trades.name
    return {one.field: (one.wanted, one.actual) for one in differences(admin, settings.topics) if one.name == name}


def test_topics_are_created_with_the_settings(admin: Admin, settings: Settings) -> None:
    assert [change.action for change in apply(admin, settings.topics)] == ["created"] * 4
    for topic in topic_specs(settings.topics):
        info = admin.topic(topic.name)
        assert info is not None
        assert (info.partitions, info.replication) == (topic.partitions, topic.replication)
        config = admin.topic_config(topic.name)
        assert {key: config[key] for key in topic.config} == topic.config


def test_the_configuration_is_what_the_pipeline_relies_on(settings: Settings) -> None:
    trades, events, signals, letters = topic_specs(settings.topics)
    assert trades.config == {
        "retention.ms": "1800000",
        "max.message.bytes": "1048588",
        "message.timestamp.type": "CreateTime",
        "cleanup.policy": "delete",
    }
    assert (trades.partitions, events.partitions, signals.partitions, letters.partitions) == (3, 1, 1, 1)
    assert signals.config == events.config == trades.config
    assert letters.config["retention.ms"] == "2592000000"


def test_applying_again_changes_nothing(admin: Admin, settings: Settings) -> None:
    apply(admin, settings.topics)
    assert differences(admin, settings.topics) == []
    assert [change.action for change in apply(admin, settings.topics)] == ["unchanged"] * 4


def test_absent_topics_are_differences(admin: Admin, settings: Settings) -> None:
    found = differences(admin, settings.topics)
    assert [(one.kind, one.name, one.actual) for one in found] == [
        ("topic", topic.name, "absent") for topic in topic_specs(settings.topics)
    ]


def test_a_different_configuration_is_reported_and_set(admin: Admin, settings: Settings) -> None:
    apply(admin, settings.topics)
    name = settings.topics.trades.name
    admin.set_topic_config(name, {"retention.ms": "60000", "cleanup.policy": "compact", "segment.bytes": "1048576"})
    assert by_field(admin, settings) == {"retention.ms": ("1800000", "60000"), "cleanup.policy": ("delete", "compact")}
    changes = apply(admin, settings.topics)
    assert changes[0] == Change("topic", name, "changed", "retention.ms 60000 to 1800000, cleanup.policy compact to delete")
    assert by_field(admin, settings) == {}
    assert admin.topic_config(name)["segment.bytes"] == "1048576", "what the settings do not speak of is left alone"


def test_partitions_are_added_with_the_note_that_keys_move(
    admin: Admin, settings: Settings, broker: str, tmp_path: Path
) -> None:
    apply(admin, settings.topics)
    more = changed(broker, tmp_path, topics__trades__partitions=5)
    assert by_field(admin, more) == {"partitions": ("5", "3")}
    change = apply(admin, more.topics)[0]
    assert change.action == "changed"
    assert "3 partitions to 5: keys move" in change.detail
    assert by_field(admin, more) == {}


def test_partitions_are_never_removed(admin: Admin, settings: Settings, broker: str, tmp_path: Path) -> None:
    apply(admin, settings.topics)
    fewer = changed(broker, tmp_path, topics__trades__partitions=2)
    change = apply(admin, fewer.topics)[0]
    assert change.action == "skipped"
    assert "set topics.trades.partitions = 3" in change.detail
    assert len(admin.partitions(settings.topics.trades.name)) == 3
    assert by_field(admin, fewer) == {"partitions": ("2", "3")}, "it still differs, and diff says so"


def test_another_replication_is_reported_and_skipped(admin: Admin, settings: Settings, broker: str, tmp_path: Path) -> None:
    apply(admin, settings.topics)
    other = changed(broker, tmp_path, topics__trades__replication=3)
    change = apply(admin, other.topics)[0]
    assert change.action == "skipped"
    assert "replication 1 and not 3" in change.detail


def test_records_survive_every_apply(admin: Admin, settings: Settings, broker: str, tmp_path: Path) -> None:
    apply(admin, settings.topics)
    producer = Producer(settings)
    producer.send(
        settings.topics.trades.name, [(b"{}", f"S{n}") for n in range(20)], time.time_ns() // 1_000_000, lambda *_: None
    )
    assert producer.flush(HANG) == 0
    apply(admin, changed(broker, tmp_path, topics__trades__partitions=4, topics__trades__retention="7d").topics)
    assert listing(admin, settings.topics)[0].records == 20


def test_the_list_shows_existing_and_absent_topics(admin: Admin, settings: Settings) -> None:
    admin.create_topic(settings.topics.trades.name, 2, 1, {"retention.ms": "60000"})
    trades, events, *_ = listing(admin, settings.topics)
    assert tuple(trades) == (settings.topics.trades.name, 2, 1, 0, 60000)
    assert tuple(events) == (settings.topics.feed_events.name, None, None, None, None)
    names = [topic.topic for topic in listing(admin, settings.topics, every=True)]
    assert settings.topics.trades.name in names
    assert settings.topics.feed_events.name not in names


def test_the_check_reports_absent_different_and_matching_topics(
    admin: Admin, settings: Settings, broker: str, tmp_path: Path
) -> None:
    assert [(state, fix) for _, (_, state, fix, _) in run(topic_checks(settings))] == [("fail", "`stockctl topics apply`")] * 4
    apply(admin, settings.topics)
    assert [finding.state for _, finding in run(topic_checks(settings))] == ["ok"] * 4
    trades, *_ = run(topic_checks(changed(broker, tmp_path, topics__trades__retention="2h")))
    assert (trades.result.state, trades.result.detail) == ("warn", "retention.ms 1800000 and not 7200000")


def test_the_check_reports_cluster_brokers_and_latency(settings: Settings) -> None:
    (system, finding), *_ = run(checks(settings))
    assert (system, finding.state) == ("kafka", "ok")
    assert settings.kafka.bootstrap_servers in finding.detail
    assert Admin(settings).cluster_id() in finding.detail
    assert finding.latency is not None
    assert finding.latency > 0
