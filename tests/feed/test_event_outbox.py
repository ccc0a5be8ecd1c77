"""Feed events on disk: sent in order, stored while Kafka is down, sent by the next process."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from stockctl.errors import StockctlError
from stockctl.feed.coverage import feed_event
from stockctl.feed.event_outbox import EventOutbox
from stockctl.feed.kafka_sink import KafkaSink
from stockctl.records import FeedEvent
from stockctl.settings import Settings, load_settings
from tests.command import clean_environment
from tests.conftest import free_port, own_names
from tests.feed.conftest import events


def event(number: int) -> FeedEvent:
    return feed_event(
        "covered", (number, number + 1), ["AAPL"], "", connection="k3f9a2", number=number, ts_recv=number, source="sim"
    )


@pytest.fixture
def away(tmp_path: Path) -> Settings:
    """The settings of the same test with a broker that does not run."""
    names = own_names(f"127.0.0.1:{free_port()}", tmp_path)
    return load_settings(environ=clean_environment(), flags=names)


def files(settings: Settings) -> list[Path]:
    return sorted(settings.state_dir.rglob("*.jsonl"))


def test_events_reach_kafka_in_order_and_leave_the_disk(topics: Settings) -> None:
    outbox = EventOutbox(topics, KafkaSink(topics))
    for number in range(250):
        outbox.write(event(number))
    assert outbox.drain(20) == 0
    assert [found["span_start"] for found in events(topics)] == list(range(250))
    outbox.close()
    assert files(topics) == []


def test_events_wait_on_disk_while_kafka_is_away_and_the_next_process_sends_them(
    topics: Settings, away: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    sink = KafkaSink(away)
    outbox = EventOutbox(away, sink)
    for number in range(120):
        outbox.write(event(number))
    assert outbox.drain(0.2) == 120
    sink.producer.purge()
    outbox.close()
    assert len(files(away)) == 1

    with caplog.at_level(logging.INFO, "stockctl"):
        following = EventOutbox(topics, KafkaSink(topics))
    assert "sending 120 feed events of an earlier run" in caplog.text
    following.write(event(120))
    assert following.drain(20) == 0
    following.close()
    assert [found["span_start"] for found in events(topics)] == list(range(121))
    assert files(topics) == []


def test_an_event_that_kafka_did_not_take_is_sent_again(topics: Settings, away: Settings) -> None:
    sink = KafkaSink(away)
    outbox = EventOutbox(away, sink)
    outbox.write(event(1))
    sink.producer.purge()
    sink.poll(1)
    assert sink.trouble is not None
    assert sink.undelivered == 0
    outbox.pump()
    assert outbox.waiting == 1
    assert len(sink.producer) == 1
    sink.producer.purge()
    outbox.close()


def test_the_file_of_a_living_process_is_left_alone(topics: Settings, away: Settings) -> None:
    mine = EventOutbox(away, KafkaSink(away))
    mine.write(event(1))
    other = EventOutbox(topics, KafkaSink(topics))
    assert other.waiting == 0
    other.close()
    assert len(files(away)) == 1
    mine.close()


def test_a_line_truncated_by_a_crash_is_skipped(topics: Settings, caplog: pytest.LogCaptureFixture) -> None:
    outbox = EventOutbox(topics, KafkaSink(topics))
    (path,) = files(topics)
    outbox.close()
    path.write_bytes(b'{"id":"k3f9a2-covered-0000')
    following = EventOutbox(topics, KafkaSink(topics))
    following.write(event(2))
    assert following.drain(20) == 0
    following.close()
    assert "truncated by a crash" in caplog.text
    assert [found["span_start"] for found in events(topics)] == [2]


def test_profiles_and_topics_have_files_of_their_own(topics: Settings, broker: str, tmp_path: Path) -> None:
    other = load_settings(
        environ=clean_environment(), flags=own_names(broker, tmp_path) | {"topics.feed_events.name": "elsewhere"}
    )
    outboxes = [EventOutbox(settings, KafkaSink(settings)) for settings in (topics, other)]
    assert len({path.parent for path in files(topics)}) == 2
    for outbox in outboxes:
        outbox.close()


def test_what_cannot_be_opened_is_named_and_left_and_the_rest_is_sent(
    topics: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = EventOutbox(topics, KafkaSink(topics))
    folder = files(topics)[0].parent
    outbox.close()
    link, directory = folder / "1-1.jsonl", folder / "1-2.jsonl"
    link.symlink_to("/no/such/file")
    directory.mkdir()
    following = EventOutbox(topics, KafkaSink(topics))
    following.write(event(1))
    assert following.drain(20) == 0
    following.close()
    assert [found["span_start"] for found in events(topics)] == [1]
    assert f"cannot open {link}, which" in caplog.text
    assert "it is a broken link: delete it, or restore its target" in caplog.text
    assert f"cannot open {directory}, which" in caplog.text
    assert files(topics) == [link, directory]


@pytest.mark.parametrize("below", [".", "feed-events"])
def test_a_folder_that_is_a_broken_link_is_an_error_that_names_it(topics: Settings, below: str) -> None:
    link = topics.state_dir / below
    link.parent.mkdir(exist_ok=True)
    link.symlink_to("/no/such/folder")
    with pytest.raises(StockctlError, match="cannot write feed events to") as caught:
        EventOutbox(topics, KafkaSink(topics))
    assert caught.value.hint == f"{link} is a broken link: delete it, or restore its target"


def test_a_folder_that_cannot_be_written_is_an_error(topics: Settings, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file, no folder")
    with pytest.raises(StockctlError, match="cannot write feed events to"):
        EventOutbox(topics, KafkaSink(topics))
