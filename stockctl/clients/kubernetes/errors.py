"""Errors of the Kubernetes API server as StockctlErrors."""

from __future__ import annotations

import json
from typing import Any

from stockctl.errors import RefusedError, StockctlError, UnreachableError


class AbsentError(StockctlError):
    """The object or its namespace does not exist."""


class ConflictError(StockctlError):
    """An apply would set fields that another field manager owns."""


class ImmutableError(StockctlError):
    """An apply would change immutable fields."""


_IMMUTABLE = ("field is immutable", "updates to statefulset spec for fields other than", "spec is immutable")
"""Messages of the server about an immutable field."""
_BUSY = {429, 500, 503, 504}
"""Status codes of a server that cannot answer now: overloaded, starting, without etcd."""
_INVALID = ("failed to create typed", "failed to convert")
"""Messages of the server, with status 500, about an object that does not match its schema."""
_OWN_VERBS = {"get", "list", "patch", "delete"}
"""Verbs that the server executes itself. It proxies other requests, whose failures are not its own."""
_ADMISSION = {
    "it is being terminated": "wait until the namespace is gone, then `stockctl infra up` again",
    "exceeded quota": "raise the quota of the namespace, or free what uses it up",
}
"""Messages of admission controllers, which refuse every user, with a hint."""
_SHOW = "`stockctl infra status` shows what is there"


def translated(url: str, verb: str, what: str, error: Any) -> StockctlError:
    """The StockctlError for ``error`` of the server at ``url``, after ``verb`` on ``what`` (``Deployment lake``)."""
    message = message_of(error)
    if verb == "reach" and not _is_of_server(error):
        return StockctlError(f"{what} answers {error.status}: {message}", hint="its log: `stockctl infra logs`")
    if error.status == 401:
        return RefusedError(
            f"the cluster at {url} refuses the credentials of the kubeconfig", hint="renew the login of the kubeconfig"
        )
    if error.status in _BUSY and verb in _OWN_VERBS and not message.startswith(_INVALID):
        return UnreachableError(f"Kubernetes at {url} cannot {verb} {what} now: {message}", hint="try again in a minute")
    if error.status == 403:
        for words, hint in _ADMISSION.items():
            if words in message:
                return StockctlError(f"the cluster refuses {what}: {message}", hint=hint)
        return RefusedError(
            f"permission denied: {verb} {what}: {message}", hint="docs/deploy.md lists the permissions that you need"
        )
    if error.status == 404:
        return AbsentError(f"cannot {verb} {what}: {message}", hint=_SHOW if verb != "patch" else "apply its namespace first")
    if error.status == 409:
        return ConflictError(
            f"field conflict on {what}: {message}", hint="keep those fields with their manager, or take them over on purpose"
        )
    if error.status == 422 and any(words in message for words in _IMMUTABLE):
        return ImmutableError(f"{what} has immutable fields: {message}", hint="undo that change, or delete the object first")
    if verb != "patch":
        return StockctlError(f"cannot {verb} {what}: {message}", hint=_SHOW)
    return StockctlError(f"the cluster refuses {what}: {message}", hint="fix the manifest there")


def message_of(error: Any) -> str:
    """The message of the server."""
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)


def _is_of_server(error: Any) -> bool:
    """Whether the server itself sent the error, and not a pod behind its proxy."""
    try:
        return bool(json.loads(error.body)["kind"] == "Status")
    except (TypeError, ValueError, KeyError):
        return False
