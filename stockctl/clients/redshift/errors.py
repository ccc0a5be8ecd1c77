"""Errors of Redshift statements as StockctlErrors, with a mark at the position in the statement."""

from __future__ import annotations

import re

from stockctl.errors import RefusedError, StockctlError, TimedOutError, UnreachableError, UsageError

_POSITION = re.compile(r"\s*Position: (\d+)\s*;?")
_DENIED = re.compile(r"Access ?Denied|(?:S3ServiceException|Spectrum Scan Error).*(?:Forbidden|Status 403)", re.I | re.S)
_SCAN = re.compile(r"S3ServiceException|Spectrum Scan Error", re.IGNORECASE)


def sql_error(action: str, message: str, code: str, sql: str, position: int | None = None) -> StockctlError:
    """The error for ``message`` with SQLSTATE ``code``; ``position`` counts characters of ``sql`` from 1."""
    if position is None and (match := _POSITION.search(message)):
        position, message = int(match[1]), _POSITION.sub("", message)
    text = f"Redshift cannot {action}: {message.strip()}" + (f" ({code})" if code else "")
    if code == "42501" or code.startswith("28") or re.search(r"permission denied", message, re.IGNORECASE):
        return RefusedError(text, hint="check redshift.user, its password and its grants")
    if _DENIED.search(message):
        return RefusedError(text, hint="`stockctl glue policy --role redshift` prints the permissions that redshift.role needs")
    if code == "57014":
        return TimedOutError(text, hint="narrow the query, first by trade_date, or raise redshift.timeout")
    if code.startswith(("57", "08", "53")):
        return UnreachableError(text, hint="try again")
    if _SCAN.search(message) and position is None:
        return StockctlError(text, hint="`stockctl spectrum diff` lists the tables and partitions that differ from the lake")
    if code.startswith(("42", "22", "26", "3D", "3F", "34", "0A")) or position is not None:
        return UsageError(text + marked(sql, position), hint="`--local` runs it on the lake without Redshift")
    return StockctlError(text + marked(sql, position))


def marked(sql: str, position: int | None) -> str:
    """The line of ``sql`` with the character ``position`` (from 1), and a mark below it; empty without a position."""
    if position is None or not 1 <= position <= len(sql) + 1:
        return ""
    start = sql.rfind("\n", 0, position - 1) + 1
    line = sql[start:].split("\n", 1)[0]
    number = sql.count("\n", 0, start) + 1
    return f"\n  line {number}: {line}\n{' ' * (len(f'  line {number}: ') + position - 1 - start)}^"
