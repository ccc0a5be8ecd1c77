"""Values as JSON carries them: the command's ``-o json`` and the dashboard's API give the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any


def json_values(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with each value as JSON carries it."""
    return {name: json_value(value) for name, value in row.items()}


def json_value(value: Any) -> Any:
    """``value`` as JSON carries it: dates and times in ISO 8601, NaN and infinities as null, bytes in hexadecimal.

    Decimals are numbers, whole ones with all their digits; what JSON has no form for is its text.
    """
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float | Decimal):
        if not math.isfinite(value):
            return None
        return int(value) if isinstance(value, Decimal) and value == int(value) else float(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): json_value(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    return value.hex() if isinstance(value, bytes) else str(value)
