"""Filings of the user's own, for the simulator to serve in place of generated ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stockctl.errors import UsageError, unreadable
from stockctl.validation import decode_problem


def read_given(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Filings by symbol from the files ``*.json`` of ``folder``: answers of the API, or elements of their ``data``.

    UsageError if there is none, or one is neither.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == ".json")
    except OSError as error:
        raise unreadable(folder, error, "name a folder of answers of /stock/financials-reported, a file each") from error
    if not files:
        raise UsageError(f"{folder} holds no *.json", hint="put answers of /stock/financials-reported there, a file each")
    for file in files:
        try:
            read = json.loads(file.read_bytes())
            items = read.get("data", [read])
            for item in items:
                symbol = str(item.get("symbol") or read["symbol"])
                found.setdefault(symbol, {})[item["accessNumber"]] = {"form": "", "endDate": "", "filedDate": ""} | item
        except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"{file} is no answer of /stock/financials-reported: {_problem(error)}", hint="write one as Finnhub sends it"
            ) from error
    return {symbol: sorted(held.values(), key=lambda one: str(one["endDate"]))[::-1] for symbol, held in found.items()}


def _problem(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"it cannot be read: {error.strerror}"
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing"
    if isinstance(error, json.JSONDecodeError | UnicodeError | RecursionError):
        return decode_problem(error)
    return "it holds no list of filings"
