"""Kubernetes: the API server of a kubeconfig, with errors as StockctlErrors."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import yaml
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException, new_client_from_config
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import DynamicApiError, NotFoundError, ResourceNotFoundError
from kubernetes.utils.quantity import parse_quantity
from urllib3 import Retry
from urllib3.exceptions import HTTPError, ProtocolError

from stockctl.clients.closing import Closing
from stockctl.clients.kubernetes.errors import AbsentError, ConflictError, ImmutableError, translated
from stockctl.errors import ConfigError, StockctlError, UnreachableError, quoted
from stockctl.settings import InfraSettings

MANAGER = "stockctl"
"""The field manager of server-side apply."""
_TIMEOUT = (5.0, 60.0)
"""Seconds to connect, and to wait for a response."""
_BROKEN = (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError)
"""Exceptions of the SDK for an invalid kubeconfig."""

Manifest = dict[str, Any]


class Kubernetes(Closing):
    """The API server of ``infra.context``, or of the kubeconfig's current context."""

    def __init__(self, settings: InfraSettings) -> None:
        """ConfigError without a kubeconfig, or without that context in it. It sends no request."""
        try:
            # The SDK reads KUBECONFIG only when it is imported.
            file = settings.kubeconfig or os.environ.get("KUBECONFIG")
            self._api = new_client_from_config(str(file) if file else None, context=settings.context, persist_config=False)
        except (ConfigException, OSError, *_BROKEN) as error:
            words = f"it is invalid ({error.__class__.__name__})" if isinstance(error, _BROKEN) else str(error).splitlines()[0]
            raise ConfigError(
                f"cannot use the kubeconfig: {words}",
                hint="set infra.kubeconfig, or KUBECONFIG; and infra.context to one of `kubectl config get-contexts`",
            ) from error
        self.url = str(self._api.configuration.host)
        # One retry only: callers that want to wait do so themselves.
        self._api.rest_client.pool_manager.connection_pool_kw["retries"] = Retry(connect=1, read=0, redirect=0, status=0)
        self._known: DynamicClient | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def close(self) -> None:
        """Close the connections."""
        self._api.rest_client.pool_manager.clear()
        if self._folder is not None:
            self._folder.cleanup()

    def get(self, manifest: Manifest) -> Manifest | None:
        """The object with the kind, name and namespace of ``manifest``; None if it does not exist."""
        metadata = manifest["metadata"]
        with self._errors("get", manifest):
            try:
                resource = self._resource(manifest)
                answer = self._client().get(
                    resource,
                    name=metadata["name"],
                    namespace=metadata.get("namespace"),
                    serialize=False,
                    _request_timeout=_TIMEOUT,
                )
            except DynamicApiError as error:
                if error.status == 404:
                    return None
                raise
            return dict(json.loads(answer.data))

    def apply(self, manifest: Manifest, *, dry_run: bool = False, force: bool = False) -> Manifest:
        """Server-side apply of ``manifest``; return the resulting object, or with ``dry_run`` the object that would result.

        AbsentError without its namespace, ConflictError for fields of another manager (``force`` takes them over),
        ImmutableError for immutable fields, RefusedError for missing permissions, StockctlError with the server's message for
        an invalid object.
        """
        with self._errors("patch", manifest):
            options: dict[str, Any] = {"dry_run": "All"} if dry_run else {}
            answer = self._client().server_side_apply(
                self._resource(manifest),
                body=manifest,
                namespace=manifest["metadata"].get("namespace"),
                field_manager=MANAGER,
                force_conflicts=force or None,
                serialize=False,
                _request_timeout=_TIMEOUT,
                **options,
            )
            return dict(json.loads(answer.data))

    def find(
        self, api_version: str, kind: str, namespace: str | None = None, *, labels: str | None = None, fields: str | None = None
    ) -> list[Manifest]:
        """The objects of ``kind`` in one namespace or in all, filtered by label and field selectors."""
        asked = {"apiVersion": api_version, "kind": kind, "metadata": {"name": f"in {namespace or 'any namespace'}"}}
        with self._errors("list", asked):
            answer = self._client().get(
                self._resource(asked),
                namespace=namespace,
                label_selector=labels,
                field_selector=fields,
                serialize=False,
                _request_timeout=_TIMEOUT,
            )
            # The items of a list have no apiVersion and kind.
            return [{"apiVersion": api_version, "kind": kind} | item for item in json.loads(answer.data)["items"]]

    def delete(self, manifest: Manifest, *, foreground: bool = False) -> None:
        """Delete the object and its dependents, with ``foreground`` the dependents first. An absent object is not an error."""
        metadata = manifest["metadata"]
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Foreground" if foreground else "Background",
        }
        with self._errors("delete", manifest), suppress(NotFoundError):
            self._client().delete(
                self._resource(manifest),
                name=metadata["name"],
                namespace=metadata.get("namespace"),
                body=body,
                serialize=False,
                _request_timeout=_TIMEOUT,
            )

    def log(self, pod: Manifest, container: str, *, lines: int, previous: bool = False) -> list[str]:
        """The last ``lines`` of the log of ``container``, or of its previous run. StockctlError without a log."""
        query = [("container", container), ("tailLines", lines), ("previous", str(previous).lower())]
        with self._errors("get the log of", pod):
            return bytes(self._ask(f"{_path(pod)}/log", query).data).decode(errors="replace").splitlines()

    def follow(self, pod: Manifest, container: str, *, lines: int | None = None) -> Iterator[str]:
        """Follow the log of ``container`` until it ends, from its last ``lines`` on, or from its first line.

        UnreachableError if the connection is lost.
        """
        query = [("container", container), ("follow", "true"), *([("tailLines", lines)] if lines is not None else [])]
        with self._errors("follow the log of", pod):
            answer = self._ask(f"{_path(pod)}/log", query, timeout=(_TIMEOUT[0], None))
            rest = b""
            try:
                # Chunks may end within a line.
                for chunk in answer.stream():
                    *complete, rest = (rest + chunk).split(b"\n")
                    yield from (line.decode(errors="replace") for line in complete)
            except ProtocolError as error:
                raise UnreachableError(
                    f"the log of {pod['metadata']['name']} broke off: the connection to {self.url} is lost",
                    hint="run the command again when the cluster is reachable",
                ) from error
            finally:
                answer.close()
            if rest:
                yield rest.decode(errors="replace")

    def proxied(self, pod: Manifest, port: int | str, path: str) -> bytes:
        """GET ``path`` of ``pod`` at ``port`` through the proxy of the API server. StockctlError if the pod does not answer."""
        with self._errors("reach", pod):
            return bytes(self._ask(f"{_path(pod)}:{port}/proxy/{path}").data)

    def serves(self, group: str) -> bool:
        """Whether the server, or an aggregated API server, has the API ``group``, such as ``metrics.k8s.io/v1beta1``.

        StockctlError if an aggregated API server is registered, but does not answer.
        """
        with self._errors("ask for", {"kind": "API", "metadata": {"name": group}}):
            try:
                self._ask(f"/apis/{group}")
            except (ApiException, DynamicApiError) as error:
                if error.status == 404:
                    return False
                raise
            return True

    def version(self) -> tuple[str, datetime]:
        """The version of the server, and its time, in whole seconds."""
        asked = {"kind": "version", "metadata": {"name": "of the cluster"}}
        with self._errors("get", asked):
            answer = self._ask("/version")
            return str(json.loads(answer.data)["gitVersion"]), parsedate_to_datetime(answer.headers["Date"])

    def _ask(self, path: str, query: Sequence[tuple[str, Any]] = (), *, timeout: tuple[float, float | None] = _TIMEOUT) -> Any:
        return self._client().request(
            "get",
            path,
            query_params=list(query),
            header_params={"Accept": "*/*"},
            serialize=False,
            _request_timeout=timeout,
        )

    def _client(self) -> DynamicClient:
        if self._known is None:
            # Each command discovers the kinds of the server again: a cache file could be outdated.
            self._folder = tempfile.TemporaryDirectory(prefix="stockctl-")
            name = hashlib.sha256(self.url.encode()).hexdigest()[:12]
            self._known = DynamicClient(self._api, cache_file=str(Path(self._folder.name) / name))
        return self._known

    def _resource(self, manifest: Manifest) -> Any:
        return self._client().resources.get(api_version=manifest["apiVersion"], kind=manifest["kind"])

    @contextmanager
    def _errors(self, verb: str, manifest: Manifest) -> Iterator[None]:
        what = f"{manifest['kind']} {manifest['metadata']['name']}"
        try:
            yield
        except ResourceNotFoundError as error:
            raise StockctlError(
                f"the cluster at {self.url} has no kind {manifest['kind']} of {manifest['apiVersion']}",
                hint="fix the manifest, or upgrade the cluster",
            ) from error
        except (ApiException, DynamicApiError) as error:
            raise translated(self.url, verb, what, error) from error
        except HTTPError as error:
            raise UnreachableError(
                f"no Kubernetes answers at {self.url}: {error.__class__.__name__}",
                hint="check the server in the kubeconfig; for a tunnel to another machine: ssh -L 6443:localhost:6443 MACHINE",
            ) from error


def amount(quantity: str | int) -> float:
    """A Kubernetes quantity, such as ``250m`` or ``64Mi``, as a number. StockctlError if it is invalid."""
    try:
        return float(parse_quantity(quantity))
    except ValueError as error:
        raise StockctlError(f"{quoted(quantity)} is not a quantity, such as 250m or 64Mi", hint="fix the manifest") from error


def _path(pod: Manifest) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


__all__ = ["MANAGER", "AbsentError", "ConflictError", "ImmutableError", "Kubernetes", "Manifest", "amount"]
