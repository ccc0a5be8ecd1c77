"""What Redshift says of a statement, and the exit code that it becomes."""

from __future__ import annotations

import pytest

from stockctl.clients.redshift.errors import sql_error
from stockctl.errors import RefusedError, StockctlError, TimedOutError, UsageError

SQL = "SELECT price\nFROM lake.trades"


@pytest.mark.parametrize(
    "message",
    [
        "S3ServiceException:Access Denied,Status 403,Error AccessDenied,Rid 1A",
        "Spectrum Scan Error: error:  Spectrum Scan Error\n  code: 15001\n  context: Forbidden: HTTP response 403.",
        "AccessDenied: not authorized to perform sts:AssumeRole",
    ],
)
def test_what_redshifts_role_may_not_read_is_a_refusal(message: str) -> None:
    error = sql_error("run the statement", message, "XX000", SQL)
    assert (type(error), "--role redshift" in (error.hint or "")) == (RefusedError, True)


@pytest.mark.parametrize(
    "message",
    [
        "Spectrum Scan Error: File 'https://b.s3.amazonaws.com/parquet/trades/403.parquet' has an incompatible Parquet schema",
        "S3ServiceException:The specified key does not exist.,Status 404,Error NoSuchKey",
    ],
)
def test_a_scan_that_fails_otherwise_is_no_matter_of_rights(message: str) -> None:
    error = sql_error("run the statement", message, "XX000", SQL)
    assert (type(error), "spectrum diff" in (error.hint or "")) == (StockctlError, True)
    assert "glue policy" not in (error.hint or "")


def test_a_scan_error_with_a_position_is_a_matter_of_the_statement() -> None:
    error = sql_error("run the statement", "Spectrum Scan Error: no such column", "XX000", SQL, 8)
    assert isinstance(error, UsageError)
    assert str(error).endswith("  line 1: SELECT price\n                 ^")


def test_a_scan_that_is_cancelled_ran_out_of_time() -> None:
    assert isinstance(sql_error("run the statement", "Spectrum Scan Error: cancelled", "57014", SQL), TimedOutError)
