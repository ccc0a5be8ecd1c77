"""The store over a folder and over S3: the same calls, the same answers, and put-if-absent that holds under a race."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stockctl.check_runner import run
from stockctl.clients.object_store import AbsentError, ExistsError, Store, open_store
from stockctl.errors import ConfigError, RefusedError, StockctlError, UnhealthyError, UnreachableError
from stockctl.lake.health import checks, probe
from stockctl.settings import Settings, load_settings
from tests.conftest import free_port

MakeSettings = Callable[..., Settings]


@pytest.fixture
def s3_settings(s3_environment: dict[str, str], s3_bucket: str, tmp_path: Path) -> MakeSettings:
    """Settings of a fresh prefix on the S3 server; keywords are dotted settings with ``__``."""
    environ = s3_environment | {"STOCKCTL_LAKE__URL": f"s3://{s3_bucket}/{tmp_path.name}", "STOCKCTL_STATE_DIR": str(tmp_path)}

    def make(**changed: str) -> Settings:
        return load_settings(environ=environ | {f"STOCKCTL_{name.upper()}": value for name, value in changed.items()})

    return make


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.server)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind."""
    if request.param == "file":
        return open_store(load_settings(environ={}, flags={"lake.url": (tmp_path / "lake").as_uri()}))
    make: MakeSettings = request.getfixturevalue("s3_settings")
    return open_store(make())


def test_what_was_put_is_got(store: Store) -> None:
    store.put_new("a/b=1/c.bin", b"\x00one")
    assert store.get("a/b=1/c.bin") == b"\x00one"
    assert store.exists("a/b=1/c.bin")


@pytest.mark.parametrize("start", ["file://", "file://localhost", "file:"])
def test_a_folder_with_odd_characters_is_written_with_percent_signs(start: str, tmp_path: Path) -> None:
    store = open_store(load_settings(environ={}, flags={"lake.url": f"{start}{tmp_path}/my%20%23lake%3f"}))
    assert store.folder == tmp_path / "my #lake?"


def test_put_replaces_and_put_new_does_not(store: Store) -> None:
    store.put("k", b"one")
    store.put("k", b"two")
    with pytest.raises(ExistsError):
        store.put_new("k", b"three")
    assert store.get("k") == b"two"


def test_of_many_writers_of_one_new_object_exactly_one_wins(store: Store) -> None:
    """What claims stand on: 16 at once, and the object is the winner's."""

    def attempt(number: int) -> int | None:
        try:
            store.put_new("claim", str(number).encode())
        except ExistsError:
            return None
        return number

    with ThreadPoolExecutor(16) as pool:
        winners = [number for number in pool.map(attempt, range(16)) if number is not None]
    assert len(winners) == 1
    assert store.get("claim") == str(winners[0]).encode()


def test_what_is_not_there_is_absent(store: Store) -> None:
    with pytest.raises(AbsentError):
        store.get("nothing")
    assert not store.exists("nothing")
    assert list(store.objects()) == []
    assert list(store.objects("nothing")) == []
    assert store.folders("nothing") == []


def test_objects_are_listed_in_key_order_and_after_a_key(store: Store) -> None:
    keys = ["t/a/2", "t/a/10", "t/b/1", "u/1"]
    for key in keys:
        store.put_new(key, b"x" * len(key))
    assert [item.key for item in store.objects("t")] == ["t/a/10", "t/a/2", "t/b/1"]
    assert [item.key for item in store.objects("t", after="t/a/10")] == ["t/a/2", "t/b/1"]
    assert {item.key: item.size for item in store.objects()} == {key: len(key) for key in keys}


def test_a_prefix_is_a_folder_and_no_beginning_of_a_name(store: Store) -> None:
    store.put_new("trades/1", b"")
    store.put_new("trades_old/1", b"")
    assert [item.key for item in store.objects("trades")] == ["trades/1"]


def test_folders_are_named_without_their_path(store: Store) -> None:
    for key in ("t/d=2/x", "t/d=1/x", "t/d=1/y", "t/file"):
        store.put_new(key, b"")
    assert store.folders("t") == ["d=1", "d=2"]
    assert store.folders() == ["t"]


def test_keys_with_signs_of_every_sort_come_back_as_they_were(store: Store) -> None:
    """Claims and partitions hold ``=``, slugs may hold ``%``; nothing is decoded twice."""
    keys = ["t/ticker=BRK.B/x", "t/ticker=A%2FB/x", "t/ticker=A B+C/x"]
    for key in keys:
        store.put_new(key, key.encode())
    assert sorted(item.key for item in store.objects("t")) == sorted(keys)
    assert all(store.get(key) == key.encode() for key in keys)


def test_deleting_takes_away_what_is_there_and_minds_nothing_else(store: Store) -> None:
    for key in ("a", "b", "c"):
        store.put_new(key, b"")
    store.delete(["a", "nothing", "c"])
    store.delete([])
    assert [item.key for item in store.objects()] == ["b"]


def test_more_objects_than_one_page_are_listed(s3_settings: MakeSettings) -> None:
    store = open_store(s3_settings())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.put_new(f"many/{number:04}", b""), range(1005)))
    assert [item.key for item in store.objects("many")] == [f"many/{number:04}" for number in range(1005)]


def test_a_wrong_key_is_refused(s3_settings: MakeSettings) -> None:
    store = open_store(s3_settings(s3__secret_access_key="wrong-secret-key"))
    with pytest.raises(RefusedError) as caught:
        store.put_new("k", b"")
    assert "wrong-secret-key" not in str(caught.value)


def test_a_right_that_is_missing_is_refused(s3_settings: MakeSettings) -> None:
    open_store(s3_settings()).put_new("k", b"one")
    reader = open_store(s3_settings(s3__access_key_id="reader", s3__secret_access_key="reader-secret-key"))
    assert reader.get("k") == b"one"
    with pytest.raises(RefusedError):
        reader.put_new("other", b"")


def test_a_bucket_that_is_not_there_is_a_matter_of_configuration(s3_settings: MakeSettings) -> None:
    store = open_store(s3_settings(lake__url="s3://nobodys"))
    for ask in (store.folders, lambda: list(store.objects()), lambda: store.get("k")):
        with pytest.raises(ConfigError, match="bucket of s3://nobodys does not exist"):
            ask()


def test_a_server_that_is_not_there_is_unreachable(s3_settings: MakeSettings) -> None:
    with pytest.raises(UnreachableError):
        open_store(s3_settings(s3__endpoint_url=f"http://127.0.0.1:{free_port()}")).get("k")


def test_s3_without_a_region_asks_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    environ = {"STOCKCTL_S3__ACCESS_KEY_ID": "k", "STOCKCTL_S3__SECRET_ACCESS_KEY": "s", "STOCKCTL_LAKE__URL": "s3://bucket"}
    with pytest.raises(ConfigError, match="no region"):
        open_store(load_settings(environ=environ))


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RefusedError, match="cannot create the folder"):
        open_store(load_settings(environ={}, flags={"lake.url": (tmp_path / "file" / "lake").as_uri()}))


def test_a_folder_that_becomes_a_file_is_our_error(tmp_path: Path) -> None:
    """Whatever the file system says, it ends as one of our errors."""
    store = open_store(load_settings(environ={}, flags={"lake.url": (tmp_path / "lake").as_uri()}))
    store.put_new("a", b"")
    with pytest.raises(StockctlError):
        store.put_new("a/b", b"")


def test_the_check_of_a_sound_store_leaves_nothing_behind(store: Store, request: pytest.FixtureRequest) -> None:
    settings = load_settings(
        environ=request.getfixturevalue("s3_environment") if store.folder is None else {}, flags={"lake.url": store.url}
    )
    [(system, finding)] = run(checks(settings))
    assert (system, finding.state) == ("lake store", "ok")
    assert finding.latency is not None
    assert finding.latency > 0
    assert list(store.objects()) == []


def test_the_check_reports_a_missing_permission(s3_settings: MakeSettings) -> None:
    [(_, finding)] = run(checks(s3_settings(s3__access_key_id="reader", s3__secret_access_key="reader-secret-key")))
    assert finding.state == "fail"
    assert "cannot put _log/.doctor/" in finding.detail
    assert "permissions" in (finding.fix or "")


def test_the_check_of_no_lake_names_the_setting() -> None:
    [(_, finding)] = run(
        checks(
            load_settings(environ={}).model_copy(
                update={"lake": load_settings(environ={}).lake.model_copy(update={"url": None})}
            )
        )
    )
    assert finding.state == "fail"
    assert "lake.url is not set" in finding.detail


class PutsOver(Store):
    """A store like some S3 servers: it overwrites an object that must be written only if it is absent."""

    def put_new(self, key: str, data: bytes) -> None:
        self.put(key, data)


def test_the_check_finds_a_store_that_puts_over_what_is_there(tmp_path: Path) -> None:
    """Two writers on such a store would overwrite each other's claims."""
    sound = open_store(load_settings(environ={}, flags={"lake.url": (tmp_path / "lake").as_uri()}))
    with pytest.raises(UnhealthyError, match="overwrites an object"):
        probe(PutsOver(sound._backend, sound.url, sound.folder))
    assert list(sound.objects()) == []
