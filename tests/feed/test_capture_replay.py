"""Replays: each row of the capture once in Kafka, broken lines as dead letters, pace, retiming, coverage, back-pressure."""

from __future__ import annotations

import codecs
import gzip
import itertools
import json
import random
import resource
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.errors import StockctlError, UsageError
from stockctl.exchange.calendar import now_ms
from stockctl.feed import capture_replay as feed_replay
from stockctl.feed.capture_replay import QUIET, CoveredIntervals, Replay, ReplayResult
from stockctl.records import Trade
from stockctl.settings import Settings, load_settings
from tests.clock import Clock
from tests.command import clean_environment
from tests.conftest import free_port, own_names, wait_for
from tests.feed.conftest import dead_letters, events, trades

START = 1_680_286_538_000


def frame(*rows: dict[str, Any]) -> str:
    return json.dumps({"data": rows, "type": "trade"}, separators=(",", ":"))


def row(number: int, **changed: Any) -> dict[str, Any]:
    return {"c": ["1", "12"], "p": 164.0 + number / 100, "s": "AAPL", "t": START + 10 * number, "v": number} | changed


def capture(folder: Path, *lines: str) -> str:
    path = folder / "frames.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def replay(settings: Settings, path: str, **options: Any) -> ReplayResult:
    return Replay(settings, path, threading.Event(), **options).run()


def test_every_row_reaches_kafka_once_and_in_order(topics: Settings, tmp_path: Path) -> None:
    rows = [row(number) for number in range(95)]
    path = capture(tmp_path, *[frame(*rows[at : at + 10]) for at in range(0, 95, 10)])
    result = replay(topics, path)
    assert (result.lines, result.trades, result.dead_letters) == (10, 95, 0)
    found = trades(topics)
    assert [(trade["price"], trade["volume"], trade["ts_event"]) for trade in found] == [
        (row["p"], row["v"], row["t"]) for row in rows
    ]
    assert {trade["source"] for trade in found} == {"replay"}
    assert [trade["id"][-8:] for trade in found] == [f"{number:08d}" for number in range(95)]


def test_equal_rows_are_kept_and_ping_and_error_frames_are_no_trades(topics: Settings, tmp_path: Path) -> None:
    path = capture(
        tmp_path,
        frame(row(1), row(1), row(1)),
        '{"type":"ping"}',
        '{"msg":"Subscribing to too many symbols","type":"error"}',
        "",
        '{"type":"trade","data":[{"s":"BINANCE:BTCUSDT","p":7296.89,"t":1575526691134,"v":0.011467}]}',
    )
    result = replay(topics, path)
    assert (result.lines, result.trades, result.dead_letters) == (5, 4, 0)
    assert [trade["symbol"] for trade in trades(topics)] == ["AAPL", "AAPL", "AAPL", "BINANCE:BTCUSDT"]
    assert dead_letters(topics) == []


def test_broken_lines_are_dead_letters_with_file_and_line_and_the_rest_is_delivered(topics: Settings, tmp_path: Path) -> None:
    path = capture(tmp_path, frame(row(1)), '{"data":[{"c', frame(row(2), row(3, p=-1), row(4)), "\x00", frame(row(5)))
    result = replay(topics, path)
    assert (result.trades, result.dead_letters) == (4, 3)
    assert [trade["volume"] for trade in trades(topics)] == [1, 2, 4, 5]
    letters = dead_letters(topics)
    assert [letter["origin"] for letter in letters] == [f"{path}:2", f"{path}:3", f"{path}:4"]
    assert letters[0]["raw"] == '{"data":[{"c'
    assert json.loads(letters[1]["raw"]) == row(3, p=-1)


def test_a_file_replayed_again_is_new_data(topics: Settings, tmp_path: Path) -> None:
    path = capture(tmp_path, frame(row(1), row(2)))
    replay(topics, path)
    replay(topics, path)
    found = trades(topics)
    assert len(found) == len({trade["id"] for trade in found}) == 4


def test_a_capture_is_read_by_what_it_is_and_not_by_its_name(topics: Settings, tmp_path: Path) -> None:
    """Compressed, or with the byte order mark that Notepad writes."""
    text = f"{frame(row(1))}\n{frame(row(2))}"
    for name in ("frames.jsonl.gz", "frames.jsonl"):
        for data in (gzip.compress(text.encode()), text.encode("utf-8-sig")):
            if name.endswith(".gz") and data.startswith(b"\xef"):
                continue
            (tmp_path / name).write_bytes(data)
            found = replay(topics, str(tmp_path / name))
            assert (found.trades, found.dead_letters) == (2, 0)
    for encoding in ("utf-16", "utf-16-be"):
        (tmp_path / "frames.jsonl").write_bytes(codecs.BOM_UTF16_BE * (encoding == "utf-16-be") + text.encode(encoding))
        with pytest.raises(UsageError, match="it is UTF-16"):
            replay(topics, str(tmp_path / "frames.jsonl"))


def test_a_truncated_capture_delivers_what_it_has_and_fails(topics: Settings, tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl.gz"
    data = gzip.compress("".join(f"{frame(row(number))}\n" for number in range(5_000)).encode())
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(StockctlError, match=r"ended at line \d+: .*end-of-stream.* messages were delivered, 0 were not"):
        replay(topics, str(path))
    assert 0 < len(trades(topics)) < 5_000
    assert events(topics) == []


def test_a_file_that_is_not_there_is_an_error(topics: Settings, tmp_path: Path) -> None:
    with pytest.raises(StockctlError, match="No such file"):
        replay(topics, str(tmp_path / "nosuch.jsonl"))


def test_nothing_is_delivered_if_the_outbox_cannot_be_written(topics: Settings, tmp_path: Path) -> None:
    """A later repeat duplicates nothing."""
    path = capture(tmp_path, frame(row(1), row(2)))
    lost = topics.model_copy(update={"state_dir": Path(path) / "state"})
    with pytest.raises(StockctlError, match="cannot write feed events to") as raised:
        replay(lost, path)
    assert "state_dir" in (raised.value.hint or "")
    assert trades(topics) == []


def test_a_disk_that_is_full_at_the_end_is_reported_with_the_counts(topics: Settings, tmp_path: Path) -> None:
    """The trades are in Kafka by then."""
    path = capture(tmp_path, frame(row(1), row(2)))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(
            StockctlError, match=r"ended at line 1: cannot write feed events.*; 2 messages were delivered"
        ) as raised:
            Replay(topics, path, threading.Event()).run(
                tick=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, limit[1])),
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert "again, as new data" in (raised.value.hint or "")
    assert len(trades(topics)) == 2


def test_coverage_spans_the_trades_and_stops_where_there_are_none_for_long(topics: Settings, tmp_path: Path) -> None:
    far = START + 2 * QUIET
    path = capture(
        tmp_path,
        frame(row(5), row(3)),
        frame(row(1, s="MSFT"), row(9)),
        frame(row(0, t=far, s="TSLA")),
        frame(row(2)),
        frame(row(0, t=far + QUIET)),
    )
    replay(topics, path)
    found = events(topics)
    assert [(event["kind"], event["reason"], event["source"]) for event in found] == [("covered", "replay", "replay")] * 2
    assert [(event["span_start"], event["span_end"], event["symbols"]) for event in found] == [
        (START + 10, START + 91, "AAPL,MSFT"),
        (far, far + QUIET + 1, "AAPL,TSLA"),
    ]
    assert len({event["id"] for event in found}) == 2


def test_a_frame_of_trades_far_apart_covers_none_of_the_time_between(topics: Settings, tmp_path: Path) -> None:
    """Of several symbols and in no order: coverage depends on the trades alone, not on their frames."""
    far = START + 3 * QUIET
    replay(topics, capture(tmp_path, frame(row(0, t=far, s="TSLA"), row(1), row(0, t=far + 5), row(4, s="MSFT"), row(4))))
    assert [(event["span_start"], event["span_end"], event["symbols"]) for event in events(topics)] == [
        (START + 10, START + 41, "AAPL,MSFT"),
        (far, far + 6, "AAPL,TSLA"),
    ]


_rows = st.lists(st.tuples(st.integers(0, 12), st.integers(-1, 2), st.sampled_from(("A", "B", "C"))), min_size=1, max_size=30)


@given(_rows, st.randoms(use_true_random=False))
def test_coverage_is_that_of_the_trades_whatever_their_order_and_frames(
    rows: list[tuple[int, int, str]], chance: random.Random
) -> None:
    """Steps of nearly ``QUIET``, so that each neighbour may be near or far."""
    trades = [
        Trade("", symbol, 1.0, 1.0, START + step * QUIET // 2 + by, START, "1", "", "replay") for step, by, symbol in rows
    ]
    expected: list[tuple[int, int, set[str]]] = []
    for trade in sorted(trades, key=lambda trade: trade.ts_event):
        at, last = trade.ts_event, expected[-1] if expected else None
        if last is not None and at - last[1] <= QUIET:
            expected[-1] = (last[0], at + 1, last[2] | {trade.symbol})
        else:
            expected.append((at, at + 1, {trade.symbol}))
    for _ in range(3):
        chance.shuffle(trades)
        covered = CoveredIntervals()
        left = list(trades)
        while left:
            size = chance.randint(1, len(left))
            covered.add(left[:size])
            left = left[size:]
        assert covered.merged() == [((since, until), symbols) for since, until, symbols in expected]


def test_coverage_of_days_is_split_into_hours(topics: Settings, tmp_path: Path) -> None:
    step = QUIET - 1
    replay(topics, capture(tmp_path, *[frame(row(0, t=START + number * step)) for number in range(200)]))
    found = events(topics)
    spans = [(event["span_start"], event["span_end"]) for event in found]
    assert (spans[0][0], spans[-1][1]) == (START, START + 199 * step + 1)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(spans))
    assert max(until - since for since, until in spans) == 3_600_000
    assert len({event["id"] for event in found}) == len(found)


def test_retiming_moves_the_first_trade_to_now(topics: Settings, tmp_path: Path) -> None:
    before = now_ms()
    replay(topics, capture(tmp_path, frame(row(7), row(9)), frame(row(2))), retime=True)
    times = [trade["ts_event"] for trade in trades(topics)]
    assert before <= times[0] <= now_ms()
    assert [moment - times[0] for moment in times] == [0, 20, -50]


def test_no_time_is_shifted_further_ahead_than_a_record_may_be(topics: Settings, tmp_path: Path) -> None:
    """The rest of a capture of weeks, replayed at once: dead letters of the replay, not of each reader."""
    week, begin = 7 * 86_400_000, now_ms() - 10**10
    times = (begin, begin + week - 60_000, begin + week + 600_000)
    replay(topics, capture(tmp_path, *(frame(row(1, t=at)) for at in times)), retime=True)
    first, second = (trade["ts_event"] for trade in trades(topics))
    assert second - first == week - 60_000
    assert [letter["reason"] for letter in dead_letters(topics)] == [
        f"time {times[2]}, shifted, is more than 7 days after the receipt"
    ]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which a replay waits, and the event that ends it."""
    made = Clock()
    monkeypatch.setattr(feed_replay, "time", made)
    return made


@pytest.mark.parametrize("speed", [1.0, 2.0])
def test_speed_keeps_the_pace_of_the_trades(topics: Settings, tmp_path: Path, clock: Clock, speed: float) -> None:
    """A row that is older than the one before it waits for nothing."""
    path = capture(tmp_path, *[frame(row(number)) for number in (0, 40, 20, 80)])
    Replay(topics, path, clock, speed=speed).run()
    assert clock.waits == pytest.approx([0.4 / speed, 0.4 / speed])
    assert [trade["volume"] for trade in trades(topics)] == [0, 40, 20, 80]


def test_a_deadline_ends_a_replay_in_good_order(topics: Settings, tmp_path: Path, clock: Clock) -> None:
    path = capture(tmp_path, frame(row(0)), frame(row(1, t=START + 3_600_000)))
    result = Replay(topics, path, clock, speed=1.0).run(0.5)
    assert clock.waits == [0.5]
    assert (result.lines, result.trades) == (1, 1)
    assert len(trades(topics)) == 1
    assert [event["span_end"] for event in events(topics)] == [START + 1]


def test_the_signal_to_stop_ends_a_replay_with_the_counts(topics: Settings, tmp_path: Path) -> None:
    path = capture(tmp_path, frame(row(0), row(1)), frame(row(1, t=START + 3_600_000)))
    stop = threading.Event()
    with pytest.raises(StockctlError, match="ended at line 1: stopped by a signal; 2 messages were delivered, 0 were not"):
        Replay(topics, path, stop, speed=1.0).run(tick=threading.Timer(0.5, stop.set).start)
    assert len(trades(topics)) == 2


def test_coverage_that_kafka_does_not_take_stays_on_disk_when_the_signal_comes(
    topics: Settings, broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the longer wait of a replay that is not stopped."""
    monkeypatch.setattr(feed_replay, "_SHUTDOWN_TIMEOUT", 0.5)
    monkeypatch.setattr(feed_replay, "_DRAIN_TIMEOUT", 3600.0)
    lost = load_settings(environ=clean_environment(), flags=own_names(broker, tmp_path) | {"topics.feed_events.name": "nosuch"})
    stop = threading.Event()

    def stop_at_the_end() -> None:
        wait_for(lambda: any(path.stat().st_size for path in lost.state_dir.rglob("*.jsonl")), "the coverage")
        stop.set()

    stopping = threading.Thread(target=stop_at_the_end)
    stopping.start()
    replaying = Replay(lost, capture(tmp_path, frame(row(1), row(2))), stop)
    result = replaying.run()
    stopping.join()
    replaying.sink.producer.purge()
    assert result.trades == len(trades(topics)) == 2
    [waiting] = lost.state_dir.rglob("*.jsonl")
    assert json.loads(waiting.read_text())["span_start"] == START + 10


def test_a_full_buffer_makes_the_replay_wait(topics: Settings, broker: str, tmp_path: Path) -> None:
    small = load_settings(environ=clean_environment(), flags=own_names(broker, tmp_path) | {"kafka.buffer": "30KB"})
    path = capture(tmp_path, *[frame(*[row(number)] * 10) for number in range(300)])
    assert replay(small, path).trades == 3_000
    assert len({trade["id"] for trade in trades(topics)}) == 3_000


def test_what_kafka_does_not_take_fails_the_replay_with_the_counts(tmp_path: Path) -> None:
    away = load_settings(environ=clean_environment(), flags=own_names(f"127.0.0.1:{free_port()}", tmp_path))
    lost = Replay(away, capture(tmp_path, frame(row(0), row(1))), threading.Event())
    with pytest.raises(StockctlError, match="0 messages were delivered, 2 were not") as raised:
        lost.run(tick=threading.Timer(0.5, lost.sink.producer.purge).start)
    assert raised.value.exit_code == 1


def test_repeated_frames_are_dropped_when_that_is_asked_for(topics: Settings, broker: str, tmp_path: Path) -> None:
    dropping = load_settings(
        environ=clean_environment(), flags=own_names(broker, tmp_path) | {"finnhub.drop_repeated_frames": True}
    )
    path = capture(tmp_path, *[frame(row(1), row(1))] * 3)
    assert replay(dropping, path).trades == 2
    assert replay(topics, path).trades == 6
