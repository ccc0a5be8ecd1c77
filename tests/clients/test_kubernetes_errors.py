"""What the API server of Kubernetes refuses, in our words and with our exit codes."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from stockctl.clients.kubernetes.errors import translated
from stockctl.errors import RefusedError, StockctlError, UnreachableError

URL = "https://cluster:6443"


def answered(status: int, message: str, verb: str = "patch") -> StockctlError:
    """The error for what the server answered, in its form."""
    body = json.dumps({"kind": "Status", "status": "Failure", "message": message})
    return translated(URL, verb, "ConfigMap one", SimpleNamespace(status=status, body=body, reason="a reason"))


@pytest.mark.parametrize("verb", ["get", "list", "patch", "delete"])
@pytest.mark.parametrize("status", [429, 500, 503, 504])
def test_a_server_that_cannot_now_is_one_that_is_away(status: int, verb: str) -> None:
    error = answered(status, "etcdserver: request timed out", verb)
    assert isinstance(error, UnreachableError)
    assert str(error) == f"Kubernetes at {URL} cannot {verb} ConfigMap one now: etcdserver: request timed out"


@pytest.mark.parametrize("words", ["failed to create typed patch object: field not declared", "failed to convert new object"])
def test_an_object_that_does_not_fit_its_kind_is_to_be_fixed(words: str) -> None:
    """The server takes it for an error of its own, and would answer the same later."""
    assert type(answered(500, words)) is StockctlError


@pytest.mark.parametrize("verb", ["reach", "ask for", "get the log of", "follow the log of"])
def test_what_another_behind_the_server_does_not_answer_is_that_ones_failure(verb: str) -> None:
    assert type(answered(503, "error trying to reach service", verb)) is StockctlError


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        (
            'configmaps "one" is forbidden: unable to create new content in namespace stockctl because it is being terminated',
            "wait until the namespace is gone",
        ),
        ('configmaps "one" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1', "raise the quota"),
    ],
)
def test_what_is_forbidden_for_other_reasons_than_rights_says_so(message: str, hint: str) -> None:
    error = answered(403, message)
    assert type(error) is StockctlError
    assert message in str(error)
    assert "right" not in str(error)
    assert str(error.hint).startswith(hint)


def test_a_right_that_is_missing_is_asked_for() -> None:
    error = answered(403, 'configmaps "one" is forbidden: User "guest" cannot patch resource "configmaps"')
    assert isinstance(error, RefusedError)
    assert str(error.hint).startswith("docs/deploy.md lists the permissions")
