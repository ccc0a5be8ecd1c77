"""Reading creates nothing: a lake that does not exist is an error, and its folder is not created."""

from __future__ import annotations

from pathlib import Path

import pytest

from stockctl import read_bars, read_trades
from stockctl.check_runner import run
from stockctl.clients.object_store import open_store
from stockctl.lake.health import checks, overview
from stockctl.lake.store import NoLakeError
from stockctl.settings import Settings, load_settings
from tests.command import Command
from tests.conftest import free_port

READERS = [
    ("lake", "list"),
    ("lake", "read", "AAPL"),
    ("lake", "query", "SELECT count(*) FROM trades"),
    ("lake", "gaps"),
    ("lake", "verify"),
    ("lake", "compact"),
    ("lake", "prune", "--before", "2020-01-01", "--yes"),
    ("metrics", "vwap", "AAPL"),
    ("metrics", "volatility", "AAPL"),
    ("metrics", "rate", "AAPL"),
    ("metrics", "bars", "AAPL"),
    ("metrics", "summary"),
    ("filings", "list", "AAPL"),
    ("filings", "show", "AAPL"),
    ("filings", "statement", "AAPL", "income"),
    ("filings", "kpis", "AAPL"),
    ("filings", "check", "AAPL"),
    ("spectrum", "query", "--local", "-"),
]


def mistyped(tmp_path: Path, **more: str) -> Settings:
    """Settings whose ``lake.url`` names a folder beside the one that is meant."""
    (tmp_path / "lake").mkdir(exist_ok=True)
    return load_settings(
        environ={}, flags={"lake.url": (tmp_path / "lkae" / "trades").as_uri(), "state_dir": str(tmp_path), **more}
    )


@pytest.mark.parametrize("arguments", READERS, ids=" ".join)
def test_a_reader_of_a_lake_that_is_not_there_names_the_folder_and_makes_nothing(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    url = (tmp_path / "lkae" / "trades").as_uri()
    result = Command(tmp_path, STOCKCTL_LAKE__URL=url).run(*arguments, check=3, text="SELECT count(*) FROM stockctl.trades")
    assert f"there is no lake at {url}" in result.stderr
    assert "STOCKCTL_LAKE__URL" in result.stderr
    assert "correct lake.url" in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_so_do_the_functions_of_the_package(tmp_path: Path) -> None:
    settings = mistyped(tmp_path)
    with pytest.raises(NoLakeError, match="the folder does not exist"):
        read_trades(settings=settings)
    with pytest.raises(NoLakeError, match="the folder does not exist"):
        read_bars("AAPL", settings=settings)
    with pytest.raises(NoLakeError, match="the folder does not exist"):
        read_trades(settings=load_settings(environ={}, flags={"lake.url": f"FILE://{tmp_path / 'lkae'}"}, stack=False))
    assert [path.name for path in tmp_path.iterdir()] == ["lake"]


def test_a_file_in_the_lakes_place_is_not_an_absent_folder(tmp_path: Path) -> None:
    (tmp_path / "lkae").mkdir()
    (tmp_path / "lkae" / "trades").write_text("")
    with pytest.raises(NoLakeError, match="that is not a folder"):
        read_trades(settings=mistyped(tmp_path))


def test_a_folder_of_other_files_is_no_lake(tmp_path: Path) -> None:
    """Not an empty one, which a writer has only to fill: what it holds is named. A volume's own entries are nobody's files."""
    folder = tmp_path / "Documents"
    folder.mkdir()
    command = Command(tmp_path, STOCKCTL_LAKE__URL=folder.as_uri())
    (folder / "lost+found").mkdir()
    (folder / ".hidden").write_text("")
    assert "is empty" in command.run("lake", "list").stderr
    for name in ("thesis.txt", "letters", "a.pdf", "b.pdf"):
        (folder / name).write_text("")
    for arguments in (("lake", "list"), ("lake", "verify"), ("lake", "read", "AAPL"), ("metrics", "vwap", "AAPL")):
        result = command.run(*arguments, check=3)
        assert f"there is no lake at {folder.as_uri()}" in result.stderr
        assert "the folder has other files: a.pdf, b.pdf, letters and 1 more" in result.stderr
        assert "correct lake.url" in result.stderr
        assert result.stdout == ""
    settings = load_settings(environ={}, flags={"lake.url": folder.as_uri(), "state_dir": str(tmp_path)})
    [(_, finding)] = run(checks(settings))
    assert (finding.state, "has other files" in finding.detail) == ("warn", True)
    assert len(list(folder.iterdir())) == 6
    (folder / "_log").mkdir()
    assert "is empty" in command.run("lake", "list").stderr


def test_status_and_doctor_report_it_and_create_nothing(tmp_path: Path) -> None:
    settings = mistyped(tmp_path, **{"kafka.bootstrap_servers": f"127.0.0.1:{free_port()}"})
    for _, finding in run([*checks(settings), *overview(settings)]):
        assert finding.state == "warn"
        assert "there is no lake at" in finding.detail
    assert [path.name for path in tmp_path.iterdir()] == ["lake"]


def test_doctor_fails_where_a_writer_could_not_make_the_folder_either(tmp_path: Path) -> None:
    (tmp_path / "lkae").write_text("")
    [(_, finding)] = run(checks(mistyped(tmp_path)))
    assert finding.state == "fail"


def test_doctor_leaves_a_folder_as_it_was(tmp_path: Path) -> None:
    settings = mistyped(tmp_path)
    store = open_store(settings)
    [(_, finding)] = run(checks(settings))
    assert finding.state == "ok"
    assert store.folder is not None
    assert list(store.folder.iterdir()) == []


def test_a_writer_makes_the_folder(tmp_path: Path) -> None:
    command = Command(tmp_path, STOCKCTL_KAFKA__BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}")
    command.environment["STOCKCTL_KAFKA__CONNECT_WAIT"] = "10ms"
    command.run("consume", "s3", "--once", check=5)
    assert (tmp_path / "state" / "lake").is_dir()
