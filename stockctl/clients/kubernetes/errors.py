"""What the API server of Kubernetes refuses, in our words."""

from __future__ import annotations

import json
from typing import Any

from stockctl.errors import RefusedError, StockctlError, UnreachableError


class AbsentError(StockctlError):
    """There is no such object, or no such namespace for it."""


class ConflictError(StockctlError):
    """Others manage fields that an apply would set."""


class ImmutableError(StockctlError):
    """An apply would set fields that hold for as long as the object is there."""


_FIXED = ("field is immutable", "updates to statefulset spec for fields other than", "spec is immutable")
"""How the server says that a field cannot be changed."""
_BUSY = {429, 500, 503, 504}
"""Answers of a server that is there, and cannot do it now: overloaded, starting, without its store."""
_MISTAKES = ("failed to create typed", "failed to convert")
"""How the server says, as an error of its own, that an object does not fit its kind."""
_OWN = {"get", "list", "patch", "delete"}
"""What the server does by itself. For the rest it asks others, whose failure is not its own."""
_ADMISSION = {
    "it is being terminated": "wait until the namespace is gone, then `stockctl infra up` again",
    "exceeded quota": "raise the quota of the namespace, or free what uses it up",
}
"""How the server says that something is forbidden to everybody, and what then."""
_AGAIN = "`stockctl infra status` tells what is there"


def translated(url: str, verb: str, what: str, error: Any) -> StockctlError:
    """Our error for the SDK's ``error`` that the server at ``url`` answered to ``verb`` on ``what`` (``Deployment lake``)."""
    told = said(error)
    if verb == "reach" and not _is_of_server(error):
        return StockctlError(f"{what} answers {error.status}: {told}", hint="its log: `stockctl infra logs`")
    if error.status == 401:
        return RefusedError(f"the cluster at {url} does not know who asks", hint="renew the kubeconfig's login")
    if error.status in _BUSY and verb in _OWN and not told.startswith(_MISTAKES):
        return UnreachableError(f"Kubernetes at {url} cannot {verb} {what} now: {told}", hint="the same again, a little later")
    if error.status == 403:
        for words, hint in _ADMISSION.items():
            if words in told:
                return StockctlError(f"the cluster refuses {what}: {told}", hint=hint)
        return RefusedError(f"no right to {verb} {what}: {told}", hint="ask for the rights that docs/deploy.md lists")
    if error.status == 404:
        return AbsentError(f"cannot {verb} {what}: {told}", hint=_AGAIN if verb != "patch" else "apply its namespace first")
    if error.status == 409:
        return ConflictError(f"others manage fields of {what}: {told}", hint="leave them those, or take them over on purpose")
    if error.status == 422 and any(words in told for words in _FIXED):
        return ImmutableError(
            f"{what} cannot be changed while it is there: {told}", hint="undo that change, or delete the object first"
        )
    if verb != "patch":
        return StockctlError(f"cannot {verb} {what}: {told}", hint=_AGAIN)
    return StockctlError(f"the cluster refuses {what}: {told}", hint="mend the manifest there")


def said(error: Any) -> str:
    """The server's own words."""
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)


def _is_of_server(error: Any) -> bool:
    """Whether the server itself answered so, and not a pod that it passed a request on to."""
    try:
        return bool(json.loads(error.body)["kind"] == "Status")
    except (TypeError, ValueError, KeyError):
        return False
