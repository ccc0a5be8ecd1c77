"""Reading the lake: what counts, what is fetched, and in which order it comes."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

import stockctl
from stockctl.clients.object_store import Store, open_store
from stockctl.errors import ConfigError, StockctlError, UnhealthyError, UsageError
from stockctl.exchange.time_parsing import parse_moment
from stockctl.lake.format.claims import lake_source
from stockctl.lake.format.keys import lost_key
from stockctl.lake.maintenance.compact import compact
from stockctl.lake.reader.events import read_events
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.lake.reader.trades import read_trades
from stockctl.lake.writer.batch import compress, decompress
from stockctl.settings import Settings, load_settings
from stockctl.symbols import UnknownSymbolError
from tests.command import clean_environment
from tests.lakes import at, covered, lay, trade


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A fresh lake in a folder."""
    return load_settings(environ=clean_environment(), flags={"lake.url": (tmp_path / "lake").as_uri()})


@pytest.fixture
def s3_settings(s3_environment: dict[str, str], s3_bucket: str, tmp_path: Path) -> Settings:
    """A fresh lake on the S3 server, with a cache of its own."""
    flags = {"lake.url": f"s3://{s3_bucket}/{tmp_path.parent.name}-{tmp_path.name}", "lake.cache_dir": str(tmp_path / "cache")}
    return load_settings(environ=clean_environment(**s3_environment), flags=flags)


def prices(settings: Settings, *arguments: Any, **named: Any) -> list[float]:
    """Prices that ``read_trades`` answers with."""
    return [row["price"] for row in read_trades(*arguments, settings=settings, **named).to_pylist()]


def test_reads_what_was_written_in_order_of_time_receipt_and_id(settings: Settings) -> None:
    """Rows come by ts_event, then ts_recv, then id in byte order, whatever their order in the lake."""
    noon = at("2026-11-23 12:00")
    rows = [
        trade("AAPL", noon + 1, 4.0),
        trade("AAPL", noon, 3.0, ts_recv=noon + 9, id="b"),
        trade("AAPL", noon, 2.0, ts_recv=noon + 9, id="a"),
        trade("AAPL", noon, 1.0, ts_recv=noon + 8, id="c"),
        trade("AAPL", noon, 2.5, ts_recv=noon + 9, id="ab"),
        trade("AAPL", noon, 0.5, ts_recv=noon + 8, id="Z"),
    ]
    lay(settings, rows, batches=3)
    table = read_trades("AAPL", settings=settings)
    assert table.column("price").to_pylist() == [0.5, 1.0, 2.0, 2.5, 3.0, 4.0]
    assert table.column_names == [*rows[0].__struct_fields__, "trade_date"]
    assert table.to_pylist()[0]["ts_event"].isoformat() == "2026-11-23T17:00:00+00:00"
    assert table.column("trade_date").to_pylist()[0] == date(2026, 11, 23)
    assert stockctl.read_trades("AAPL", settings=settings) == table


def test_symbols_are_taken_as_on_the_command_line(settings: Settings) -> None:
    """In any case and split at commas, by both functions; an unknown one is an error that names near ones, never no rows."""
    own = settings.model_copy(update={"symbols": ["QUIET"]})
    lay(own, [trade("AAPL", "2026-11-20 12:00", 1.0)])
    lay(own, [trade(symbol, "2026-11-23 12:00", 2.0) for symbol in ("MSFT", "BRK:B", "small")], partition=1)
    lay(own, [covered("HEARD", "2026-11-23 09:30", "2026-11-23 16:00")], table="feed_events")
    readers: list[Callable[..., Any]] = [stockctl.read_trades, stockctl.read_bars]
    for read in readers:
        for written in (["aapl", "MSFT"], "aapl,msft", ("AAPL , Msft",), iter(["AAPL", "MSFT"])):
            assert sorted(read(written, since="2026-11-20", settings=own).column("symbol").to_pylist()) == ["AAPL", "MSFT"]
        for written, symbol in (("SMALL", "small"), ("brk:b", "BRK:B")):
            assert read(written, settings=own).column("symbol").to_pylist() == [symbol]
        for known in ("QUIET", "quiet", "heard"):
            assert read(known, settings=own).num_rows == 0
        assert read("aapl", since="2026-11-23", settings=own).num_rows == 0
        # The folder of BRK:B is BRK_B, which is also that of BRK/B; that of small is SMALL_.
        for written, near in ((["AAPLE"], "AAPL"), ("msft,MSFTT", "MSFT"), ("smal", None), ("BRK/B", None), ("BRK_B", None)):
            with pytest.raises(UnknownSymbolError, match=r"there is nothing of .* in the lake") as raised:
                read(written, settings=own)
            assert f"did you mean {near}?" == raised.value.hint if near else "lake list" in str(raised.value.hint)
        nothings: list[str | list[str]] = ["", " , ", []]
        for nothing in nothings:
            with pytest.raises(UsageError, match="no symbol"):
                read(nothing, settings=own)


def test_of_two_symbols_that_differ_in_case_alone_the_one_that_is_written_is_meant(settings: Settings) -> None:
    lay(settings, [trade(symbol, "2026-11-23 12:00", price) for symbol, price in (("AAPL", 1.0), ("aapl", 2.0), ("lo", 3.0))])
    for written, prices in (("aapl", [2.0]), ("AAPL", [1.0]), ("aApL", [1.0]), ("aapl,AAPL", [1.0, 2.0]), ("LO", [3.0])):
        assert read_trades(written, settings=settings).sort_by("price").column("price").to_pylist() == prices


def test_symbols_of_the_setting_and_of_the_newest_date_cost_no_listing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written exactly as it stands there is listed and read as often as a question that needs no look at symbols."""
    own = settings.model_copy(update={"symbols": ["AAPL"]})
    lay(own, [trade(symbol, "2026-11-23 12:00", 1.0) for symbol in ("AAPL", "MSFT")])
    lay(own, [covered("AAPL", "2026-11-23 09:30", "2026-11-23 16:00")], table="feed_events")
    asked: list[str] = []

    def count(name: str, real: Callable[..., Any]) -> None:
        def counted(store: Store, key: str, **more: Any) -> Any:
            asked.append(f"{name} {key}")
            return real(store, key, **more)

        monkeypatch.setattr(Store, name, counted)

    for name in ("folders", "objects", "get"):
        count(name, getattr(Store, name))
    with LakeReader(own) as lake:
        lake.find("trades", symbols=["AAPL"])
    plain, asked[:] = sorted(asked), []
    read_trades("AAPL", settings=own)
    assert sorted(asked) == plain
    asked.clear()
    read_trades("msft", settings=own)
    assert sorted(asked) == sorted(key.replace("AAPL", "MSFT") for key in plain)


def test_spans_are_half_open_and_in_exchange_time(settings: Settings) -> None:
    """``since`` is in, ``until`` is out; input without a zone is New York's, a date its midnight."""
    lay(settings, [trade("AAPL", at("2026-11-23 12:00") + i, float(i + 1)) for i in range(4)])
    lay(settings, [trade("AAPL", "2026-11-24 00:00", 9.0)], partition=1)
    assert prices(settings, "AAPL", "2026-11-23T12:00:00.001", "2026-11-23T12:00:00.003") == [2.0, 3.0]
    assert prices(settings, "AAPL", "2026-11-23T17:00:00.002Z", "2026-11-24") == [3.0, 4.0]
    assert prices(settings, "AAPL", date(2026, 11, 24)) == [9.0]
    with pytest.raises(UsageError, match="'tomorrow' is not a date or time"):
        read_trades("AAPL", "tomorrow", settings=settings)


def test_as_of_knows_only_what_was_received_by_then(settings: Settings) -> None:
    """A trade received after ``as_of`` is not there, however early its own time."""
    noon = at("2026-11-23 12:00")
    lay(settings, [trade("AAPL", noon, 1.0, ts_recv=noon + 100), trade("AAPL", noon, 2.0, ts_recv=noon + 101)])
    assert prices(settings, "AAPL", as_of="2026-11-23T12:00:00.100") == [1.0]
    assert prices(settings, "AAPL", as_of="2026-11-22") == []
    assert prices(settings, "AAPL", as_of=date(2026, 11, 23)) == prices(settings, "AAPL")


def test_symbols_that_share_a_folder_are_distinguished(settings: Settings) -> None:
    """The slug of two symbols may be one; rows are filtered by the symbol itself."""
    lay(settings, [trade("BINANCE:BTCUSDT", "2026-11-23 12:00", 1.0), trade("BINANCE_BTCUSDT", "2026-11-23 12:00", 2.0)])
    assert prices(settings, ["BINANCE:BTCUSDT"]) == [1.0]
    assert sorted(prices(settings)) == [1.0, 2.0]


def test_only_claimed_objects_count(settings: Settings) -> None:
    """An object without a claim, or that its claim does not name, is not read."""
    claim = lay(settings, [trade("AAPL", "2026-11-23 12:00", 1.0)])[0]
    store = open_store(settings)
    data = store.get(claim.objects[0].key)
    store.put_new(claim.objects[0].key.replace("00000.jsonl", "00007.jsonl"), data)
    store.put_new(claim.objects[0].key.replace("AAPL", "MSFT"), data)
    store.put_new("trades/trade_date=2026-11-23/ticker=AAPL/notes.txt", b"hello")
    store.put_new(lost_key(claim.key), b"{}")
    assert prices(settings) == [1.0]


def test_both_compressions_are_read_together(settings: Settings) -> None:
    """A lake whose compression was changed is read whole."""
    lay(settings, [trade("AAPL", "2026-11-23 12:00", 1.0)])
    lay(settings, [trade("AAPL", "2026-11-23 12:01", 2.0)], start=1, compression="zstd")
    assert prices(settings) == [1.0, 2.0]


def test_a_lake_cut_by_ticker_and_then_by_bucket_is_read_whole(settings: Settings) -> None:
    """A symbol is found in its ticker's folder and in its bucket, among the others that share it."""
    lay(settings, [trade("AAPL", "2026-11-23 12:00", 1.0)])
    rows = [trade(symbol, "2026-11-23 12:01", 2.0) for symbol in ("AAPL", "MSFT", "NVDA", "TSLA", "AMZN", "META")]
    lay(settings, rows, start=1, partition_by="bucket")
    assert prices(settings, "AAPL") == [1.0, 2.0]
    assert len(prices(settings)) == 7
    with LakeReader(settings) as lake:
        assert lake.through("AAPL", lake.find("trades", symbols=["AAPL"])) == at("2026-11-23 12:01") + 50


def test_odd_folder_names_are_taken_literally(tmp_path: Path) -> None:
    """A lake in a folder with glob characters, quotes and ``=`` in its name is read."""
    settings = load_settings(environ=clean_environment(), flags={"lake.url": (tmp_path / "it's [a] env=prod *").as_uri()})
    lay(settings, [trade("AAPL", "2026-11-23 12:00", 1.0)])
    assert prices(settings) == [1.0]


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize(("old", "new"), [("Pacific/Kiritimati", "Etc/GMT+12"), ("Etc/GMT+12", "Pacific/Kiritimati")])
def test_rows_are_found_after_the_timezone_was_changed(settings: Settings, old: str, new: str, compacted: bool) -> None:
    """Objects lie under the dates of the zone they were cut with: up to two days from those of the zone of today."""
    before, now = (
        settings.model_copy(update={"lake": settings.lake.model_copy(update={"timezone": zone})}) for zone in (old, new)
    )
    since, until = "2026-11-23T11:00Z", "2026-11-23T11:01Z"
    first, last = parse_moment(since), parse_moment(until)
    lay(before, [trade("AAPL", first, 1.0), trade("AAPL", last - 1, 2.0), trade("AAPL", last, 3.0)])
    lay(before, [covered("AAPL", first - 1000, first)], table="feed_events")
    if compacted:
        assert len(list(compact(before))) == 1
    assert prices(now, "AAPL", since, until) == [1.0, 2.0]
    with LakeReader(now) as lake:
        assert len(read_events(lake, first, last)) == 1


def test_an_empty_lake_answers_with_no_rows(settings: Settings) -> None:
    """No data is an answer, with all its columns."""
    open_store(settings)
    table = read_trades("AAPL", settings=settings)
    assert table.num_rows == 0
    assert [str(table.schema.field(name).type) for name in ("price", "ts_event")] == ["double", "timestamp[ms, tz=UTC]"]


def test_a_damaged_object_is_an_error_that_names_it(settings: Settings) -> None:
    """Damage is reported with the name of the file, not skipped."""
    claim = lay(settings, [trade("AAPL", "2026-11-23 12:00", 1.0)])[0]
    (Path(open_store(settings).folder or "") / claim.objects[0].key).write_bytes(b"no gzip")
    with pytest.raises(StockctlError, match=r"trades-g1-000.*gz"):
        read_trades(settings=settings)


def test_events_that_touch_the_span(settings: Settings) -> None:
    """An event is found if it touches the span, though it ends on the next date."""
    lay(
        settings,
        [
            covered("AAPL", "2026-11-23 09:00", "2026-11-23 09:29"),
            covered("AAPL,MSFT", "2026-11-23 10:00", "2026-11-23 11:00"),
            covered("AAPL", "2026-11-23 23:59:55", "2026-11-24 00:00:05"),
        ],
        table="feed_events",
    )
    with LakeReader(settings) as lake:
        found = read_events(lake, at("2026-11-23 09:30"), at("2026-11-24 00:00"))
    assert [event["symbols"] for event in found] == ["AAPL,MSFT", "AAPL"]


def test_an_event_that_names_no_symbols_is_one_of_none(settings: Settings) -> None:
    """As an older writer may have taken it."""
    (claim,) = lay(settings, [covered("AAPL", "2026-11-23 10:00", "2026-11-23 11:00", reason="closed")], table="feed_events")
    (item,), store = claim.objects, open_store(settings)
    line = decompress(store.get(item.key), item.key).replace(b'"symbols":"AAPL",', b"").replace(b'"closed"', b"null")
    store.put(item.key, data := compress(line, "gzip", 1))
    older = msgspec.structs.replace(item, size=len(data), sha256=sha256(line).hexdigest())
    store.put(claim.key, msgspec.json.encode(msgspec.structs.replace(claim, objects=[older])))
    with LakeReader(settings) as lake:
        (event,) = read_events(lake)
    assert (event["symbols"], event["reason"]) == ("", "")


def test_data_is_through_to_the_newest_record_of_the_symbols_partition(settings: Settings) -> None:
    """The partition's newest claim decides, even one without the symbol; another partition's does not."""
    lay(settings, [trade("AAPL", "2026-11-23 12:00", 1.0)])
    lay(settings, [trade("MSFT", "2026-11-23 12:05", 1.0)], start=1)
    lay(settings, [trade("NVDA", "2026-11-23 12:09", 1.0)], partition=1)
    with LakeReader(settings) as lake:
        assert lake.through("AAPL", lake.find("trades", symbols=["AAPL"])) == at("2026-11-23 12:05") + 50
        assert lake.through("TSLA", lake.find("trades", symbols=["TSLA"])) is None


def test_a_claim_whose_object_is_not_there_yet_does_not_vouch_for_it(settings: Settings) -> None:
    """Between a claim and its objects, data is through only to the first missing object's first trade."""
    lay(settings, [trade("AAPL", "2026-11-23 12:00", 1.0)])
    late = [trade("AAPL", "2026-11-23 12:01", 2.0), trade("MSFT", "2026-11-23 12:05", 1.0)]
    lay(settings, late, start=1, leave_out=["ticker=AAPL"])
    with LakeReader(settings) as lake:
        assert lake.through("AAPL", lake.find("trades", symbols=["AAPL"])) == at("2026-11-23 12:01")
    assert prices(settings, "AAPL") == [1.0]


def cached(settings: Settings) -> dict[str, os.stat_result]:
    """The files of the cache, by path."""
    return {str(path): path.stat() for path in settings.lake.cache_dir.rglob("*") if path.is_file() and path.name != "lock"}


def with_room_for(size: int, settings: Settings) -> Settings:
    """The settings with a cache of at most ``size`` bytes."""
    return settings.model_copy(update={"lake": settings.lake.model_copy(update={"cache_max_bytes": size})})


def test_a_second_question_downloads_nothing(s3_settings: Settings) -> None:
    """From S3 claims and objects come once: the second answer comes from the same files, even with the objects gone from S3."""
    claim = lay(s3_settings, [trade("AAPL", "2026-11-23 12:00", 1.0)])[0]
    assert prices(s3_settings, "AAPL") == [1.0]
    first = cached(s3_settings)
    assert len(first) == 2
    store = open_store(s3_settings)
    # Other bytes in the place of the same object, and as many: a download would meet them.
    for key in (claim.key, claim.objects[0].key):
        store.put(key, b"never read again".ljust(len(store.get(key))))
    assert prices(s3_settings, "AAPL") == [1.0]
    assert {path: status.st_ino for path, status in cached(s3_settings).items()} == {
        path: status.st_ino for path, status in first.items()
    }


def test_a_lake_recreated_in_the_same_place_is_not_read_from_the_old_ones_files(s3_settings: Settings) -> None:
    """An emptied prefix may hold other rows under the same keys: the files kept of the old lake are none of the new one."""
    store = open_store(s3_settings)
    lake_source(store, "sim")
    lay(s3_settings, [trade("AAPL", "2026-11-23 12:00", 1.0)])
    assert prices(s3_settings) == [1.0]
    store.delete([item.key for item in store.objects()])
    lake_source(store, "sim")
    lay(s3_settings, [trade("AAPL", "2026-11-23 12:00", 2.0)])
    assert prices(s3_settings) == [2.0]


def test_lakes_of_one_name_at_two_endpoints_are_distinguished(s3_settings: Settings) -> None:
    """Two servers may have a bucket of the same name, with other rows under the same keys."""
    lay(s3_settings, [trade("AAPL", "2026-11-23 12:00", 1.0)])
    assert prices(s3_settings) == [1.0]
    store = open_store(s3_settings)
    store.delete([item.key for item in store.objects()])
    lay(s3_settings, [trade("AAPL", "2026-11-23 12:00", 2.0)])
    endpoint = str(s3_settings.s3.endpoint_url).replace("127.0.0.1", "localhost")
    assert endpoint != s3_settings.s3.endpoint_url
    other = s3_settings.model_copy(update={"s3": s3_settings.s3.model_copy(update={"endpoint_url": endpoint})})
    assert prices(other) == [2.0]


@pytest.mark.parametrize("damage", ["torn", "flipped", "emptied"])
def test_a_damaged_cache_file_is_fetched_again(s3_settings: Settings, damage: str) -> None:
    """A cache file that is not what was fetched is never believed."""
    lay(s3_settings, [trade("AAPL", at("2026-11-23 12:00") + i, float(i + 1)) for i in range(3)])
    assert prices(s3_settings) == [1.0, 2.0, 3.0]
    for path in cached(s3_settings):
        data = Path(path).read_bytes()
        middle = len(data) // 2
        worse = {
            "torn": data[:middle],
            "flipped": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
            "emptied": b"",
        }
        Path(path).write_bytes(worse[damage])
    assert prices(s3_settings) == [1.0, 2.0, 3.0]


def test_an_object_that_differs_from_its_claim_is_refused(s3_settings: Settings) -> None:
    """What comes from S3 must have the hash that the claim names."""
    claim = lay(s3_settings, [trade("AAPL", "2026-11-23 12:00", 1.0)])[0]
    other = lay(s3_settings, [trade("AAPL", "2026-11-23 12:01", 2.0)], partition=1)[0]
    store = open_store(s3_settings)
    store.put(claim.objects[0].key, store.get(other.objects[0].key))
    with pytest.raises(UnhealthyError, match="does not match its claim"):
        read_trades(settings=s3_settings)


def test_the_cache_keeps_to_its_bound_and_drops_the_least_recently_used(s3_settings: Settings) -> None:
    """Leaving a question trims the cache; what was used last stays. Unfinished files go too."""
    lay(s3_settings, [trade("AAPL", "2026-11-23 12:00", 1.0)])
    lay(s3_settings, [trade("MSFT", "2026-11-23 12:00", 2.0)], partition=1)
    read_trades("AAPL", settings=s3_settings)
    one = sum(status.st_size for status in cached(s3_settings).values())
    os.utime(next(path for path in cached(s3_settings) if "AAPL" in path), (1, 1))
    unfinished = Path(next(iter(cached(s3_settings)))).with_name(".0123456789abcdef")
    unfinished.write_bytes(b"half")
    bounded = with_room_for(one + 100, s3_settings)
    assert prices(bounded, "MSFT") == [2.0]
    left = cached(bounded)
    assert sum(status.st_size for status in left.values()) <= one + 100
    assert any("MSFT" in path for path in left)
    assert not any("AAPL" in path for path in left)
    assert not unfinished.exists()


def test_trimming_leaves_what_the_cache_has_not_made(s3_settings: Settings) -> None:
    """The cache's folder may hold files of someone else, hidden ones too: they stay, wherever they lie."""
    lay(s3_settings, [trade("AAPL", "2026-11-23 12:00", 1.0)])
    folder = s3_settings.lake.cache_dir
    others = [folder / name for name in (".env", "notes.txt", "work/.gitignore", "work/report.csv", "objects/.keep")]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"mine")
    assert prices(with_room_for(0, s3_settings)) == [1.0]
    assert set(cached(s3_settings)) == {str(path) for path in others}


def test_trimming_leaves_what_may_not_be_removed(s3_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that may not be removed fails no question. Root, as whom tests may run, may remove every one: hence a double."""
    lay(s3_settings, [trade("AAPL", "2026-11-23 12:00", 1.0)])
    assert prices(s3_settings) == [1.0]
    before = set(cached(s3_settings))

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    assert prices(with_room_for(0, s3_settings)) == [1.0]
    assert before <= set(cached(s3_settings))


def test_files_in_use_are_not_trimmed_by_another_question(s3_settings: Settings) -> None:
    """While one question reads, another that leaves removes nothing; the last to leave does."""
    lay(s3_settings, [trade("AAPL", "2026-11-23 12:00", 1.0)])
    tiny = with_room_for(0, s3_settings)
    with LakeReader(tiny) as lake:
        (path,) = lake.files(lake.find("trades")).values()
        assert prices(tiny) == [1.0]
        assert path.exists()
    assert not cached(tiny)


def test_a_cache_folder_that_cannot_be_used_names_its_setting(s3_settings: Settings, tmp_path: Path) -> None:
    """A file in the cache folder's place is a matter of configuration."""
    (tmp_path / "file").write_text("")
    bad = s3_settings.model_copy(
        update={"lake": s3_settings.lake.model_copy(update={"cache_dir": tmp_path / "file" / "cache"})}
    )
    with pytest.raises(ConfigError) as caught:
        read_trades(settings=bad)
    assert "lake.cache_dir" in (caught.value.hint or "")
