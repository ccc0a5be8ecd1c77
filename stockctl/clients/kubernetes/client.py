"""Kubernetes: the API server that a kubeconfig names; its errors in our words."""

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
from types import TracebackType
from typing import Any, Self

import yaml
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException, new_client_from_config
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import DynamicApiError, NotFoundError, ResourceNotFoundError
from kubernetes.utils.quantity import parse_quantity
from urllib3 import Retry
from urllib3.exceptions import HTTPError, ProtocolError

from stockctl.clients.kubernetes.errors import AbsentError, ConflictError, ImmutableError, translated
from stockctl.errors import ConfigError, StockctlError, UnreachableError, quoted
from stockctl.settings import Settings

MANAGER = "stockctl"
"""The field manager that our applies are noted under."""
_TIMEOUT = (5.0, 60.0)
"""Seconds to connect, and to answer."""
_BROKEN = (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError)
"""What a kubeconfig that is none ends in: the SDK takes its shape for granted."""

Manifest = dict[str, Any]


class Kubernetes:
    """The API server of ``infra.context``, or of the kubeconfig's current context."""

    def __init__(self, settings: Settings) -> None:
        """ConfigError without a kubeconfig, or without that context in it. Nothing is contacted yet."""
        try:
            # The SDK itself keeps what KUBECONFIG was when it was imported.
            file = settings.infra.kubeconfig or os.environ.get("KUBECONFIG")
            self._api = new_client_from_config(
                str(file) if file else None, context=settings.infra.context, persist_config=False
            )
        except (ConfigException, OSError, *_BROKEN) as error:
            words = f"it is broken ({error.__class__.__name__})" if isinstance(error, _BROKEN) else str(error).splitlines()[0]
            raise ConfigError(
                f"no use can be made of the kubeconfig: {words}",
                hint="set infra.kubeconfig, or KUBECONFIG; and infra.context to one of `kubectl config get-contexts`",
            ) from error
        self.url = str(self._api.configuration.host)
        # One more try and no more: whoever waits does so knowingly.
        self._api.rest_client.pool_manager.connection_pool_kw["retries"] = Retry(connect=1, read=0, redirect=0, status=0)
        self._known: DynamicClient | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._api.rest_client.pool_manager.clear()
        if self._folder is not None:
            self._folder.cleanup()

    def get(self, manifest: Manifest) -> Manifest | None:
        """The object of that kind, name and namespace as it stands; None if it is not there."""
        metadata = manifest["metadata"]
        with self._words("get", manifest):
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
        """Apply ``manifest`` on the server's side; the object as it stands then, or would.

        AbsentError when its namespace is not there, ConflictError when others manage what it would set (with ``force`` it is
        taken over), ImmutableError when that cannot be changed, RefusedError when rights are missing, StockctlError with the
        server's words when it takes the object for wrong.
        """
        with self._words("patch", manifest):
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
        """The objects of ``kind``, in one namespace or in all, that the selectors ``labels`` and ``fields`` choose."""
        asked = {"apiVersion": api_version, "kind": kind, "metadata": {"name": f"in {namespace or 'any namespace'}"}}
        with self._words("list", asked):
            answer = self._client().get(
                self._resource(asked),
                namespace=namespace,
                label_selector=labels,
                field_selector=fields,
                serialize=False,
                _request_timeout=_TIMEOUT,
            )
            # Within a list the server leaves out what they all are.
            return [{"apiVersion": api_version, "kind": kind} | item for item in json.loads(answer.data)["items"]]

    def delete(self, manifest: Manifest, *, foreground: bool = False) -> None:
        """Delete the object, and what it made: with ``foreground`` it stays until those are gone. One that is gone is fine."""
        metadata = manifest["metadata"]
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Foreground" if foreground else "Background",
        }
        with self._words("delete", manifest), suppress(NotFoundError):
            self._client().delete(
                self._resource(manifest),
                name=metadata["name"],
                namespace=metadata.get("namespace"),
                body=body,
                serialize=False,
                _request_timeout=_TIMEOUT,
            )

    def log(self, pod: Manifest, container: str, *, lines: int, previous: bool = False) -> list[str]:
        """The last ``lines`` of ``container``, or of its run before this one. StockctlError where there is no log."""
        query = [("container", container), ("tailLines", lines), ("previous", str(previous).lower())]
        with self._words("get the log of", pod):
            return bytes(self._ask(f"{_path(pod)}/log", query).data).decode(errors="replace").splitlines()

    def follow(self, pod: Manifest, container: str, *, lines: int | None = None) -> Iterator[str]:
        """Each line of ``container`` as it is logged, until it ends: from its last ``lines`` on, or from its first.

        UnreachableError when the connection is lost.
        """
        query = [("container", container), ("follow", "true"), *([("tailLines", lines)] if lines is not None else [])]
        with self._words("follow the log of", pod):
            answer = self._ask(f"{_path(pod)}/log", query, timeout=(_TIMEOUT[0], None))
            begun = b""
            try:
                # Pieces as they come in, wherever they were cut.
                for piece in answer.stream():
                    *whole, begun = (begun + piece).split(b"\n")
                    yield from (line.decode(errors="replace") for line in whole)
            except ProtocolError as error:
                raise UnreachableError(
                    f"the log of {pod['metadata']['name']} broke off: the connection to {self.url} is lost",
                    hint="the same again, once it is back",
                ) from error
            finally:
                answer.close()
            if begun:
                yield begun.decode(errors="replace")

    def proxied(self, pod: Manifest, port: int | str, path: str) -> bytes:
        """What ``pod`` answers at ``port`` to a GET of ``path``, asked by the API server. StockctlError when it does not."""
        with self._words("reach", pod):
            return bytes(self._ask(f"{_path(pod)}:{port}/proxy/{path}").data)

    def serves(self, group: str) -> bool:
        """Whether the server, or one behind it, answers for the API ``group``, such as ``metrics.k8s.io/v1beta1``.

        StockctlError when one should, and does not.
        """
        with self._words("ask for", {"kind": "API", "metadata": {"name": group}}):
            try:
                self._ask(f"/apis/{group}")
            except (ApiException, DynamicApiError) as error:
                if error.status == 404:
                    return False
                raise
            return True

    def version(self) -> tuple[str, datetime]:
        """The server's version, and its time, in whole seconds."""
        asked = {"kind": "version", "metadata": {"name": "of the cluster"}}
        with self._words("get", asked):
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
            # What kinds the server knows is asked for anew by each command: a file of it would grow old.
            self._folder = tempfile.TemporaryDirectory(prefix="stockctl-")
            name = hashlib.sha256(self.url.encode()).hexdigest()[:12]
            self._known = DynamicClient(self._api, cache_file=str(Path(self._folder.name) / name))
        return self._known

    def _resource(self, manifest: Manifest) -> Any:
        return self._client().resources.get(api_version=manifest["apiVersion"], kind=manifest["kind"])

    @contextmanager
    def _words(self, verb: str, manifest: Manifest) -> Iterator[None]:
        what = f"{manifest['kind']} {manifest['metadata']['name']}"
        try:
            yield
        except ResourceNotFoundError as error:
            raise StockctlError(
                f"the cluster at {self.url} knows no {manifest['kind']} of {manifest['apiVersion']}",
                hint="mend the manifest, or upgrade the cluster",
            ) from error
        except (ApiException, DynamicApiError) as error:
            raise translated(self.url, verb, what, error) from error
        except HTTPError as error:
            raise UnreachableError(
                f"no Kubernetes answers at {self.url}: {error.__class__.__name__}",
                hint="check the kubeconfig's server; a tunnel to a machine's own: ssh -L 6443:localhost:6443 MACHINE",
            ) from error


def amount(quantity: str | int) -> float:
    """A quantity as Kubernetes writes it, ``250m`` or ``64Mi``, as a number. StockctlError for what is none."""
    try:
        return float(parse_quantity(quantity))
    except ValueError as error:
        raise StockctlError(f"{quoted(quantity)} is no quantity, such as 250m or 64Mi", hint="mend the manifest") from error


def _path(pod: Manifest) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


__all__ = ["MANAGER", "AbsentError", "ConflictError", "ImmutableError", "Kubernetes", "Manifest", "amount"]
