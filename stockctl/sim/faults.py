"""Faults on demand: ``drop@30s``, ``silent@1m:20s``, ``triple@500frames``, ``malformed@2m``, ``refuse@10s:429x3``."""

from __future__ import annotations

import http
import re
from typing import Literal, NamedTuple

from stockctl.errors import UsageError, quoted
from stockctl.units import parse_duration

FaultKind = Literal["drop", "silent", "resume", "triple", "malformed", "refuse", "rest"]

FAULTS: dict[FaultKind, str] = {
    "drop": "close every connection without a closing handshake",
    "silent": "send nothing on the open connections, not even pings, and keep them open; silent:20s ends by itself",
    "resume": "end the silence",
    "triple": "send the next trade frame three times",
    "malformed": "send a truncated trade frame",
    "refuse": "refuse the next handshake with 429; refuse:503x5 the next five with 503",
    "rest": "answer the next REST request with 502; rest:403x5 the next five with 403, rest:garbage with no JSON",
}
"""Every kind of fault, with a description."""

_HINT = "write KIND@WHEN[:ARGUMENT], as in drop@30s, silent@1m:20s, triple@500frames or refuse@10s:429x3"
_FAULT = re.compile(r"(?P<kind>\w+)@(?:(?P<frames>\d+)frames|(?P<after>[^:]+))(?::(?P<argument>.+))?")
_GARBAGE = re.compile(r"garbage(?:x([1-9]\d*))?")
GARBAGE = 200
"""The status that stands for a response that is not JSON."""
_REFUSAL = re.compile(r"(\d{3})(?:x(\d+))?")


class Fault(NamedTuple):
    """One fault, due ``seconds`` after the start or, if that is None, after ``frames`` trade frames.

    ``span`` is a silence's length in seconds (None: until resumed); ``status`` and ``times`` are a refusal's or an answer's.
    """

    kind: FaultKind
    seconds: float | None = 0.0
    frames: int = 0
    span: float | None = None
    status: int = 429
    times: int = 1


def parse_fault(text: str) -> Fault:
    """Parse ``KIND@WHEN[:ARGUMENT]``. UsageError if ``text`` is not a fault."""
    match = _FAULT.fullmatch(text)
    if match is None:
        raise UsageError(f"{quoted(text)} is not a fault", hint=_HINT)
    fault = parse_command(match["kind"], match["argument"] or "")
    if match["frames"]:
        return fault._replace(seconds=None, frames=int(match["frames"]))
    return fault._replace(seconds=_seconds(match["after"]))


def parse_command(kind: str, argument: str = "") -> Fault:
    """Parse a fault that is due at once: ``("refuse", "429x3")``. UsageError if it is unknown."""
    known = next((known for known in FAULTS if known == kind), None)
    if known is None:
        raise UsageError(f"there is not a fault {quoted(kind)}", hint=f"the faults are {', '.join(FAULTS)}")
    if known == "rest":
        return _rest(argument or "502")
    if not argument:
        return Fault(known)
    if known == "silent":
        return Fault(known, span=_seconds(argument))
    if known == "refuse" and (match := _REFUSAL.fullmatch(argument)):
        return refusal(int(match[1]), int(match[2] or 1))
    raise UsageError(f"{quoted(argument)} is not an argument of the fault {kind}", hint=_HINT)


def refusal(status: int, times: int) -> Fault:
    """A fault that refuses ``times`` handshakes with the HTTP ``status``. UsageError if ``status`` is not an error."""
    if status not in {known.value for known in http.HTTPStatus if known >= 400} or times < 1:
        raise UsageError(
            f"a handshake cannot be refused with {status}, {times} times", hint="give an HTTP error status, as 429"
        )
    return Fault("refuse", status=status, times=times)


def _rest(argument: str) -> Fault:
    if match := _GARBAGE.fullmatch(argument):
        return Fault("rest", status=GARBAGE, times=int(match[1] or 1))
    if match := _REFUSAL.fullmatch(argument):
        return refusal(int(match[1]), int(match[2] or 1))._replace(kind="rest")
    raise UsageError(f"{quoted(argument)} is not an argument of the fault rest", hint="write rest:502x3 or rest:garbage")


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(str(error), hint=_HINT) from None
