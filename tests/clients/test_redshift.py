"""Redshift's wire, on PostgreSQL behind a proxy: login, rows, cursors, errors, lost connections."""
# ruff: noqa: S608  # what is put into these statements is the tests' own

from __future__ import annotations

import gc
import tracemalloc
import warnings
from collections.abc import Iterator

import pytest

from stockctl.clients.redshift.client import Connection, connect, login
from stockctl.errors import ConfigError, RefusedError, StockctlError, TimedOutError, UnreachableError, UsageError
from stockctl.settings import Settings, load_settings
from tests.command import clean_environment
from tests.conftest import free_port
from tests.warehouse.conftest import fake_redshift, moto_server, postgres, redshift_flags
from tests.warehouse.redshift import FakeRedshift

pytestmark = pytest.mark.postgres
__all__ = ["fake_redshift", "moto_server", "postgres", "redshift_flags"]


def settings(flags: dict[str, str], **more: str) -> Settings:
    return load_settings(
        environ=clean_environment(), flags=flags | {name.replace("__", "."): value for name, value in more.items()}
    )


@pytest.fixture(autouse=True)
def sockets_of_failed_logins() -> Iterator[None]:
    """Let go of what redshift_connector leaves open when a login fails, before another test's warnings are looked at."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def connection(redshift_flags: dict[str, str]) -> Iterator[Connection]:
    with Connection(settings(redshift_flags)) as connection:
        yield connection


def test_it_logs_in_as_redshifts_driver_does(connection: Connection, fake_redshift: FakeRedshift) -> None:
    """The proxy saw the start-up parameters that only Redshift knows."""
    assert connection.execute("SELECT current_user, 7 / 2") == [("analyst", 3)]
    (startup,) = fake_redshift.startups
    assert startup["application_name"] == "stockctl"
    assert "client_protocol_version" in startup


def test_types_come_as_python_has_them(connection: Connection) -> None:
    columns, rows = connection.query(
        "SELECT CAST(1 AS BIGINT) AS big, 1.5::double precision AS dbl, CAST(2.25 AS NUMERIC(10, 2)) AS num, 'é' AS txt, "
        "NULL::text AS nothing, DATE '2026-11-23' AS day, TIMESTAMP '2026-11-23 10:00:00.123' AS moment, TRUE AS yes"
    )
    assert columns == ("big", "dbl", "num", "txt", "nothing", "day", "moment", "yes")
    ((big, dbl, num, txt, nothing, day, moment, yes),) = rows
    assert (big, dbl, num, txt, nothing, yes) == (1, 1.5, 2.25, "é", None, True)
    assert (day.isoformat(), moment.isoformat()) == ("2026-11-23", "2026-11-23T10:00:00.123000")


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 3000])
def test_a_cursor_gives_every_row_once_whatever_their_number(connection: Connection, count: int) -> None:
    columns, rows = connection.query(f"SELECT n FROM generate_series(1, {count}) AS s(n) ORDER BY n")
    assert columns == ("n",)
    assert [row[0] for row in rows] == list(range(1, count + 1))
    assert connection.execute("SELECT 1") == [(1,)], "the transaction of the cursor has ended"


def test_a_large_answer_takes_constant_memory(connection: Connection) -> None:
    """Sixty thousand rows of 100 bytes: more than 6 MB if they were held."""
    _, rows = connection.query("SELECT n, repeat('x', 100) FROM generate_series(1, 60000) AS s(n)")
    tracemalloc.start()
    assert sum(1 for _ in rows) == 60_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


def test_an_answer_that_is_left_does_not_disturb_the_next(connection: Connection) -> None:
    _, rows = connection.query("SELECT n FROM generate_series(1, 5000) AS s(n)")
    assert next(rows) == (1,)
    rows.close()  # type: ignore[attr-defined]  # it is a generator, and promises less
    assert connection.execute("SELECT 2") == [(2,)]


def test_an_error_marks_its_place_in_the_statement(connection: Connection) -> None:
    text = "SELECT symbol,\n       prize\nFROM (SELECT 'AAPL' AS symbol) AS t"
    for ask in (connection.query, connection.execute):
        with pytest.raises(UsageError) as caught:
            ask(text)
        assert str(caught.value).endswith('column "prize" does not exist (42703)\n  line 2:        prize\n                 ^')
    assert connection.execute("SELECT 1") == [(1,)]


def test_division_by_zero_and_missing_rights(connection: Connection, fake_redshift: FakeRedshift) -> None:
    with pytest.raises(UsageError, match="division by zero"):
        list(connection.query("SELECT 1 / (n - 1) FROM generate_series(1, 3) AS s(n)").rows)
    fake_redshift.postgres.sql(fake_redshift.database, "CREATE TABLE secret (x int)")
    with pytest.raises(RefusedError, match="permission denied"):
        connection.query("SELECT * FROM secret")


def test_a_wrong_password_is_a_refusal_and_does_not_print_it(redshift_flags: dict[str, str]) -> None:
    with pytest.raises(RefusedError, match="password authentication failed") as caught:
        Connection(settings(redshift_flags, redshift__password="wrong-secret-4711"))
    assert "wrong-secret" not in str(caught.value)


def test_nobody_listening_is_unreachable(redshift_flags: dict[str, str]) -> None:
    with pytest.raises(UnreachableError, match="cannot reach Redshift"):
        Connection(settings(redshift_flags, redshift__port=str(free_port())))


# The driver leaves the socket of a lost connection to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_lost_connection_is_reported_as_such(redshift_flags: dict[str, str], fake_redshift: FakeRedshift) -> None:
    with Connection(settings(redshift_flags)) as connection:
        _, rows = connection.query("SELECT n FROM generate_series(1, 5000) AS s(n)")
        next(rows)
        fake_redshift.cut()
        with pytest.raises(UnreachableError, match="is lost"):
            list(rows)
    del connection, rows
    gc.collect()


def test_a_statement_that_takes_too_long_times_out(redshift_flags: dict[str, str]) -> None:
    with (
        Connection(settings(redshift_flags, redshift__timeout="200ms")) as connection,
        pytest.raises(TimedOutError, match="statement timeout"),
    ):
        connection.execute("SELECT pg_sleep(5)")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_server_that_is_shut_down_is_unreachable(redshift_flags: dict[str, str], fake_redshift: FakeRedshift) -> None:
    database = fake_redshift.database
    end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
    with Connection(settings(redshift_flags)) as connection:
        fake_redshift.postgres.sql("postgres", end)
        with pytest.raises(UnreachableError):
            connection.execute("SELECT 1")
    del connection
    gc.collect()


def test_without_password_and_iam_it_says_what_is_missing(redshift_flags: dict[str, str]) -> None:
    flags = {name: value for name, value in redshift_flags.items() if name != "redshift.password"}
    with pytest.raises(ConfigError, match="cannot log in to Redshift"):
        connect(settings(flags))


def test_iam_gives_temporary_credentials_for_a_cluster(redshift_flags: dict[str, str], moto_server: str) -> None:
    flags = {name: value for name, value in redshift_flags.items() if name != "redshift.password"} | {
        "redshift.cluster": "warehouse",
        "redshift.endpoint_url": moto_server,
        "s3.access_key_id": "anyone",
        "s3.secret_access_key": "any-secret",
    }
    with pytest.raises(StockctlError, match="warehouse"):
        login(settings(flags))
    import boto3

    client = boto3.client(
        "redshift", endpoint_url=moto_server, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    client.create_cluster(
        ClusterIdentifier="warehouse", NodeType="ra3.large", MasterUsername="owner", MasterUserPassword="Owner-Password-1"
    )
    client.close()
    user, password = login(settings(flags))
    assert user == "IAM:analyst"
    assert len(password) > 10
