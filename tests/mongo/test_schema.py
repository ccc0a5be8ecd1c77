"""``stockctl mongo`` on the stand-in: collections made once, differences reported, conflicts skipped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stockctl.clients.mongo import Mongo
from stockctl.errors import ConfigError
from stockctl.settings import Settings, load_settings
from tests.command import Command, clean_environment
from tests.conftest import MongoServer, free_port


def rows(command: Command, *arguments: str, check: int = 0) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(command.run("mongo", *arguments, "-o", "json", check=check).stdout)
    return found


def test_apply_makes_all_once_and_then_keeps_it(mongo_command: Command) -> None:
    assert {row["name"] for row in rows(mongo_command, "diff", check=10) if row["kind"] != "index"} == {
        *("trades", "filings", "coverage", "signals", "bars_1m", "companies", "trades_with_filings")
    }
    assert {row["documents"] for row in rows(mongo_command, "status", check=10)} == {None}
    assert {row["action"] for row in rows(mongo_command, "apply")} == {"created"}
    assert {row["action"] for row in rows(mongo_command, "apply")} == {"unchanged"}
    assert rows(mongo_command, "diff") == []
    status = {row["collection"]: row for row in rows(mongo_command, "status")}
    assert status["trades"] == {"collection": "trades", "documents": 0, "indexes": "_id_, symbol_ts_event, ts_recv_expiry"}


def test_a_dry_run_shows_what_apply_would_change(mongo_command: Command) -> None:
    planned = rows(mongo_command, "apply", "--dry-run")
    assert {row["actual"] for row in planned} == {"absent"}
    assert planned == rows(mongo_command, "diff", check=10)


def test_what_another_has_made_meanwhile_is_no_error(mongo_settings: Settings) -> None:
    """As when two writers begin an empty MongoDB at once."""
    with Mongo(mongo_settings) as mongo:
        for _ in range(2):
            mongo.create("trades", {})
            mongo.create_view("rows", "trades", [])


def test_another_retention_is_reported_and_changed_in_place(mongo_command: Command, mongo_settings: Settings) -> None:
    mongo_command.run("mongo", "apply", real=True)
    mongo_command.environment["STOCKCTL_MONGO__RETENTION"] = "1h"
    differing = rows(mongo_command, "diff", check=10)
    assert [row["name"] for row in differing] == [f"{name}.ts_recv_expiry" for name in ("trades", "coverage", "signals")]
    trades = differing[0]
    assert trades["wanted"] == "ts_recv 1; documents expire after 3600 s"
    assert trades["actual"] == "ts_recv 1; documents expire after 604800 s"
    mongo_command.run("mongo", "apply")
    assert rows(mongo_command, "diff") == []
    with Mongo(mongo_settings) as mongo:
        assert mongo.indexes("trades")["ts_recv_expiry"]["expireAfterSeconds"] == 3600


def test_a_validator_that_differs_is_reported_and_replaced(mongo_command: Command, mongo_settings: Settings) -> None:
    mongo_command.run("mongo", "apply")
    with Mongo(mongo_settings) as mongo:
        mongo.set_validator("trades", {})
        (difference,) = rows(mongo_command, "diff", check=10)
        assert (difference["name"], difference["field"], difference["actual"]) == ("trades", "validator", "none")
        mongo_command.run("mongo", "apply")
        (bad,) = mongo.upsert("trades", [{"_id": "x", "symbol": "AAPL"}])
    assert bad.number == 0
    assert "price" in bad.reason


@pytest.mark.parametrize(
    ("options", "actual"),
    [
        ({"name": "symbol_ts_event", "unique": True}, "symbol 1, ts_event 1; unique"),
        (
            {"name": "symbol_ts_event", "partialFilterExpression": {"price": {"$gt": 1}}},
            "symbol 1, ts_event 1; partialFilterExpression",
        ),
        ({"name": "symbol_ts_event", "collation": {"locale": "en"}}, "symbol 1, ts_event 1; collation"),
        ({"name": "by_hand"}, "symbol 1, ts_event 1"),
    ],
)
def test_a_conflicting_index_is_reported_and_never_dropped(
    mongo_command: Command, mongo_settings: Settings, options: dict[str, object], actual: str
) -> None:
    with Mongo(mongo_settings) as mongo:
        mongo.create_index("trades", [("symbol", 1), ("ts_event", 1)], **options)
        result = mongo_command.run("mongo", "apply", check=10)
        assert f'dropIndex("{options["name"]}")' in result.stdout
        assert "index trades.symbol_ts_event" in result.stderr
        assert mongo.indexes("trades").keys() == {"_id_", options["name"], "ts_recv_expiry"}
    (difference,) = rows(mongo_command, "diff", check=10)
    assert (difference["kind"], difference["name"]) == ("index", "trades.symbol_ts_event")
    assert (difference["wanted"], difference["actual"]) == ("symbol 1, ts_event 1", actual)


def test_trades_of_somebody_else_are_left_alone(mongo_command: Command, mongo_settings: Settings) -> None:
    """Our validator would refuse what their owner writes."""
    with Mongo(mongo_settings) as mongo:
        assert mongo.upsert("trades", [{"_id": 1, "item": "a chair"}]) == []
        result = mongo_command.run("mongo", "apply", check=3)
        assert "trades" in result.stderr
        assert "mongo.database" in result.stderr
        assert mongo.collections() == {"trades": {}}


def test_a_collection_where_the_view_should_be_is_left_alone(mongo_command: Command, mongo_settings: Settings) -> None:
    with Mongo(mongo_settings) as mongo:
        mongo.create("trades_with_filings", {})
    assert (
        "trades_with_filings cannot be created: a collection has its name"
        in mongo_command.run("mongo", "apply", check=10).stdout
    )
    (difference,) = rows(mongo_command, "diff", check=10)
    assert (difference["kind"], difference["name"]) == ("view", "trades_with_filings")


def test_nothing_at_the_address_is_exit_5_within_the_wait(mongo_command: Command) -> None:
    mongo_command.environment |= {
        "STOCKCTL_MONGO__URL": f"mongodb://127.0.0.1:{free_port()}",
        "STOCKCTL_MONGO__CONNECT_WAIT": "500ms",
    }
    result = mongo_command.run("mongo", "status", check=5)
    assert "nothing answers within 500ms" in result.stderr
    assert "mongo.url" in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        *(
            (f"{option}=/absent", f"the option {option} of mongo.url names /absent, which cannot be read: No such file")
            for option in ("tlsCAFile", "tlsCertificateKeyFile", "tlsCRLFile")
        ),
        (f"tlsCAFile={__file__}", "MongoDB at mongodb://h"),
    ],
)
def test_a_file_that_an_option_names_and_cannot_be_used_is_a_bad_setting(options: str, words: str) -> None:
    settings = load_settings(environ=clean_environment(), flags={"mongo.url": f"mongodb://h/?tls=true&{options}"}, stack=False)
    with pytest.raises(ConfigError, match=words):
        Mongo(settings)


def test_without_an_address_the_setting_is_named(mongo_command: Command) -> None:
    del mongo_command.environment["STOCKCTL_MONGO__URL"]
    assert "set mongo.url" in mongo_command.run("mongo", "status", check=5).stderr
    mongo_command.run("config", "init")
    (mongo_command.folder / "stockctl.toml").write_text("[profile.prod]\n")
    mongo_command.environment["STOCKCTL_PROFILE"] = "prod"
    assert "STOCKCTL_MONGO__URL" in mongo_command.run("mongo", "status", check=3).stderr


def test_a_password_in_the_address_is_refused_and_not_shown(mongo_command: Command) -> None:
    mongo_command.environment["STOCKCTL_MONGO__URL"] = "mongodb://writer:hunter2@127.0.0.1:1"
    result = mongo_command.run("mongo", "status", check=3)
    assert "mongo.password" in result.stderr
    assert "hunter2" not in result.stdout + result.stderr


def test_a_wrong_password_is_exit_4_and_not_shown(tmp_path: Path) -> None:
    server = MongoServer(tmp_path / "mongo")
    server.start()
    settings = load_settings(environ=clean_environment(), flags={"mongo.url": server.url})
    try:
        with Mongo(settings) as mongo:
            mongo._client.admin.command("createUser", "writer", pwd="right-word", roles=["root"])
        server.stop()
        server.options = ("--auth",)
        server.start()
        login = {"STOCKCTL_MONGO__URL": server.url, "STOCKCTL_MONGO__USERNAME": "writer"}
        for password, code in (("right-word", 0), ("wrong-word", 4)):
            command = Command(tmp_path, **login, STOCKCTL_MONGO__PASSWORD=password)
            result = command.run("mongo", "apply", check=code)
            assert password not in result.stdout + result.stderr
        assert "STOCKCTL_MONGO__PASSWORD" in result.stderr
    finally:
        server.stop()
