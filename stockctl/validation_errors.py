"""Error messages of decoders and of the settings' model, in plain words that name the field.

msgspec and pydantic write for programmers: "Expected `float` > 0.0 - at `$.price`". A user reads "price is not above 0".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "null": "null",
    "array": "a list",
    "object": "an object",
    "date": "a date",
    "datetime": "a time",
}
_COMPARISONS = {">": "is not above", ">=": "is below", "<": "is not below", "<=": "is above"}
_UNITS = {"str": "characters", "array": "items", "object": "entries", "bytes": "bytes"}
_LIMITS = {
    "greater_than": (">", "gt"),
    "greater_than_equal": (">=", "ge"),
    "less_than": ("<", "lt"),
    "less_than_equal": ("<=", "le"),
}
_LENGTHS = {"string_too_short": (">=", "min_length"), "string_too_long": ("<=", "max_length")}
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "a text",
    "list": "a list",
    "path": "a path",
}
"""By the first word of a pydantic error's type, such as ``int_parsing``, ``int_from_float``."""
_SHOWN = 40
"""Most characters of a value that are repeated."""

_PLACE = re.compile(r" - at (?P<key>`key` in )?`\$\.?(?P<path>.*)`$", re.DOTALL)
_FIELD = re.compile(r"Object (?P<wrong>missing required|contains unknown) field `(?P<name>.*)`$", re.DOTALL)
_MISMATCH = re.compile(r"Expected `(?P<wanted>[^`]+)`, got `(?P<found>[^`]+)`$")
_LENGTH = re.compile(r"Expected `(?P<kind>\w+)` of length (?P<sign>[<>]=) (?P<bound>\d+)$")
_ITEMS = re.compile(r"Expected `array` of (?P<sign>at least |at most |)length (?P<bound>\d+), got (?P<found>\d+)$")
_BOUND = re.compile(r"Expected `(?:int|float)` (?P<sign>[<>]=?) (?P<bound>\S+)$")
_PATTERN = re.compile(r"Expected `str` matching regex (?P<pattern>.*)$", re.DOTALL)
_CHOICE = re.compile(r"Invalid (?:enum )?value (?P<value>.*)$", re.DOTALL)
_DATE = re.compile(r"Invalid RFC3339 encoded (?P<kind>date|datetime)$")
_NO_JSON = re.compile(r"JSON is malformed: (?P<what>.*) \(byte (?P<byte>\d+)\)$")


def decode_problem(error: Exception, subject: str = "it", names: Mapping[str, str] | None = None) -> str:
    """What is wrong with a text that could not be decoded, such as "price is missing" or "it is not JSON: …".

    ``error`` is one of ``records.UNREADABLE``, or a ``json.JSONDecodeError``. ``subject`` stands for the text as a whole;
    ``names`` are other names of its fields.
    """
    if isinstance(error, UnicodeError):
        return f"{subject} is not UTF-8"
    if isinstance(error, RecursionError):
        return f"{subject} is nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        return f"{subject} is not JSON: {error.msg[:1].lower()}{error.msg[1:]} (character {error.pos})"
    message = str(error)
    if message == "Invalid UTF-8 encoded string":  # msgspec 0.23 and later; a UnicodeError before
        return f"{subject} is not UTF-8"
    if message == "Input data was truncated":
        return f"{subject} is not JSON: it ends too early"
    if match := _NO_JSON.match(message):
        return f"{subject} is not JSON: {match['what']} (byte {match['byte']})"
    place = _PLACE.search(message)
    path = place["path"] if place else ""
    message = message[: place.start()] if place else message
    if match := _FIELD.match(message):
        path = f"{path}.{match['name']}" if path else match["name"]
        message = "is missing" if match["wrong"] == "missing required" else "is not a field that is known"
    else:
        message = _value_problem(message)
    field = _named(path, names or {}) or subject
    return f"{'a key of ' if place and place['key'] else ''}{field} {message}"


def _named(path: str, names: Mapping[str, str]) -> str:
    """``path`` with its last field's other name; "a value of it" where it ends in any entry of an object."""
    parent, dot, last = path.removesuffix("[...]").rpartition(".")
    name, bracket, index = last.partition("[")
    named = f"{parent}{dot}{names.get(name, name)}{bracket}{index}"
    return f"a value of {named or 'it'}" if path.endswith("[...]") else named


def _value_problem(message: str) -> str:
    if match := _MISMATCH.match(message):
        wanted = " or ".join(_TYPES.get(kind, kind) for kind in match["wanted"].split(" | "))
        found = "a number with a fraction" if match["found"] == "float" else _TYPES.get(match["found"], match["found"])
        return f"is not {wanted}, but {found}"
    if match := _LENGTH.match(message):
        return _length_problem(match["sign"], match["bound"], _UNITS[match["kind"]])
    if match := _ITEMS.match(message):
        return f"has {match['found']} {'item' if match['found'] == '1' else 'items'}, not {match['sign']}{match['bound']}"
    if match := _BOUND.match(message):
        return f"{_COMPARISONS[match['sign']]} {match['bound'].removesuffix('.0')}"
    if match := _PATTERN.match(message):
        return f"does not match {match['pattern']}"
    if match := _CHOICE.match(message):
        value = match["value"]
        return f"cannot be {value[:_SHOWN]}{'…' if len(value) > _SHOWN else ''}"
    if "out of range" in message:
        return "is out of range"
    if match := _DATE.match(message):
        return f"is not {_TYPES[match['kind']]}"
    return "is not of the right form"


def _length_problem(sign: str, bound: object, unit: str) -> str:
    if sign == ">=":
        return "is empty" if str(bound) == "1" else f"has fewer than {bound} {unit}"
    return f"has more than {bound} {unit}"


def setting_problem(problem: Mapping[str, Any]) -> str:
    """What is wrong with a setting's value: ``problem`` is one of the ``errors()`` of pydantic's ValidationError."""
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return f"it must be {context['expected']}"
    if kind == "finite_number":
        return "it is not finite"
    if kind in _LIMITS:
        sign, bound = _LIMITS[kind]
        return f"it {_COMPARISONS[sign]} {context[bound]:.12g}"
    if kind in _LENGTHS:
        sign, bound = _LENGTHS[kind]
        return f"it {_length_problem(sign, context[bound], 'characters')}"
    return f"it is not {_KINDS.get(kind.partition('_')[0], 'of the right form')}"
