"""Faults in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.errors import UsageError
from stockctl.sim import FAULTS, Fault, parse_fault
from stockctl.sim.faults import parse_command


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("drop@30s", Fault("drop", seconds=30)),
        ("silent@1m:20s", Fault("silent", seconds=60, span=20)),
        ("silent@0s", Fault("silent")),
        ("resume@90", Fault("resume", seconds=90)),
        ("triple@500frames", Fault("triple", seconds=None, frames=500)),
        ("malformed@2m", Fault("malformed", seconds=120)),
        ("refuse@10s", Fault("refuse", seconds=10)),
        ("refuse@10s:503", Fault("refuse", seconds=10, status=503)),
        ("refuse@10s:429x3", Fault("refuse", seconds=10, status=429, times=3)),
    ],
)
def test_a_fault_says_what_and_when(text: str, fault: Fault) -> None:
    """KIND@WHEN[:ARGUMENT]."""
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    "text", ["", "drop", "drop@", "drop@soon", "fall@3s", "drop@3s:now", "silent@3s:long", "refuse@3s:200", "refuse@3s:429x0"]
)
def test_a_fault_that_cannot_be_is_refused_with_a_hint(text: str) -> None:
    """Exit code 2, and what to write instead."""
    with pytest.raises(UsageError) as raised:
        parse_fault(text)
    assert raised.value.hint


@given(st.text(alphabet="dropsilentrefuse@:0123456789xfams. "))
def test_nothing_but_a_usage_error_comes_of_nonsense(text: str) -> None:
    """Any text is a fault or a usage error."""
    try:
        assert parse_fault(text).kind in FAULTS
    except UsageError:
        return


@pytest.mark.parametrize("kind", FAULTS)
def test_every_fault_can_be_ordered_at_once(kind: str) -> None:
    """As GET /control/KIND does."""
    assert parse_command(kind).kind == kind
