"""The user's own filings, which the simulator serves instead of generated ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stockctl.errors import UsageError, unreadable
from stockctl.validation_errors import decode_problem


def read_user_filings(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Filings by symbol from ``*.json`` in ``folder``: responses of the API, or elements of their ``data``.

    UsageError if there is no file, or one is neither.
    """
    by_symbol: dict[str, dict[str, dict[str, Any]]] = {}
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == ".json")
    except OSError as error:
        raise unreadable(folder, error, "name a folder of responses of /stock/financials-reported, one per file") from error
    if not files:
        raise UsageError(f"{folder} has no *.json", hint="put responses of /stock/financials-reported there, one per file")
    for file in files:
        try:
            content = json.loads(file.read_bytes())
            items = content.get("data", [content])
            for item in items:
                symbol = str(item.get("symbol") or content["symbol"])
                by_symbol.setdefault(symbol, {})[item["accessNumber"]] = {"form": "", "endDate": "", "filedDate": ""} | item
        except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"{file} is not a response of /stock/financials-reported: {_problem(error)}",
                hint="use the format of Finnhub's response",
            ) from error
    return {
        symbol: sorted(filings.values(), key=lambda one: str(one["endDate"]))[::-1] for symbol, filings in by_symbol.items()
    }


def _problem(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"it cannot be read: {error.strerror}"
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing"
    if isinstance(error, json.JSONDecodeError | UnicodeError | RecursionError):
        return decode_problem(error)
    return "it has no list of filings"
