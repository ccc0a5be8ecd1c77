"""The Secrets that the manifests refer to, made of the settings; they are in no file."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable

from stockctl.errors import ConfigError
from stockctl.infra.kustomize import Manifest, ManifestError, at, containers, pod_template
from stockctl.settings import Settings, env_name, require
from stockctl.stream.mongo_sink.config import render as connector

CLUSTER_ID = "cluster-id"
"""The key of Kafka's id in its Secret."""
_PASSWORD = re.compile(r"[A-Za-z0-9._~-]{16,}")
"""Passwords that need no quoting in Kafka's configuration, and that are too long to be guessed from a hash."""


def make(settings: Settings, found: list[Manifest]) -> list[Manifest]:
    """The Secrets that ``found`` refers to. ConfigError naming the setting that is absent, or no password for a server."""
    namespace = settings.infra.namespace
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "type": "Opaque",
            "data": {key: b64encode(value.encode()).decode() for key, value in data.items()},
        }
        for name in _wanted(found)
        if (data := _MAKERS[name](settings, found))
    ]


def cluster_id(settings: Settings) -> str:
    """The id of the cluster's Kafka: another for each namespace and lake, the same whenever it is made anew."""
    told = f"{settings.infra.namespace} {settings.lake.url}"
    return urlsafe_b64encode(hashlib.sha256(told.encode()).digest()[:16]).decode().rstrip("=")


def _wanted(found: list[Manifest]) -> list[str]:
    names: set[str] = set()
    for manifest in found:
        for volume in at(pod_template(manifest) or {}, "spec.volumes") or ():
            names |= {volume["secret"]["secretName"]} if "secret" in volume else set()
        for container in containers(manifest):
            for variable in container.get("env", ()):
                if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                    names.add(reference["name"])
    # Others are the user's own, of manifests of their own.
    return sorted(names & set(_MAKERS))


def _secret(settings: Settings, name: str) -> str:
    return str(require(settings, name).get_secret_value())


def _password(settings: Settings, name: str) -> str:
    password = _secret(settings, name)
    if not _PASSWORD.fullmatch(password):
        raise ConfigError(
            f"the setting {name} from {settings.origin(name)} does not do for a server in a cluster: at least 16 letters, "
            "digits and . _ ~ -",
            hint=f'export {env_name(name)}=$(python3 -c "import secrets; print(secrets.token_urlsafe(24))"), and keep it',
        )
    return password


def _finnhub(settings: Settings, _found: list[Manifest]) -> dict[str, str]:
    return {"token": _secret(settings, "finnhub.token")}


def _kafka(settings: Settings, _found: list[Manifest]) -> dict[str, str]:
    return {"password": _password(settings, "kafka.password"), CLUSTER_ID: cluster_id(settings)}


def _mongo(settings: Settings, _found: list[Manifest]) -> dict[str, str]:
    elsewhere = settings.infra.mongo_url is not None
    return {"password": _secret(settings, "mongo.password") if elsewhere else _password(settings, "mongo.password")}


def _aws(settings: Settings, _found: list[Manifest]) -> dict[str, str]:
    if settings.s3.access_key_id is None:
        return {}
    if settings.s3.session_token is not None:
        raise ConfigError(
            f"the setting s3.session_token from {settings.origin('s3.session_token')} ends within hours, and a cluster stays",
            hint="use a key that lasts, or the machine's role (set no s3.access_key_id)",
        )
    return {"access-key-id": settings.s3.access_key_id, "secret-access-key": _secret(settings, "s3.secret_access_key")}


def _connect(settings: Settings, found: list[Manifest]) -> dict[str, str]:
    """The logins of Kafka Connect's worker, as its file of properties."""
    told: dict[str, str] = {}
    for manifest in found:
        if manifest["kind"] == "ConfigMap" and manifest["metadata"]["name"] in ("kafka-settings", "mongo-settings"):
            told |= manifest.get("data", {})
    needed = ("STOCKCTL_KAFKA__USERNAME", "STOCKCTL_MONGO__URL", "STOCKCTL_MONGO__USERNAME", "STOCKCTL_MONGO__AUTH_SOURCE")
    if missing := [name for name in needed if name not in told]:
        raise ManifestError(
            f"kafka-settings and mongo-settings, of which Connect's login is made, have no {', '.join(missing)}",
            hint="mend their manifests",
        )
    kafka = settings.kafka.model_copy(
        update={
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "SCRAM-SHA-256",
            "username": told["STOCKCTL_KAFKA__USERNAME"],
        }
    )
    mongo = settings.mongo.model_copy(
        update={
            "url": told["STOCKCTL_MONGO__URL"],
            "username": told["STOCKCTL_MONGO__USERNAME"],
            "auth_source": told["STOCKCTL_MONGO__AUTH_SOURCE"],
        }
    )
    connect = settings.connect.model_copy(update={"mongo_uri": None, "kafka_jaas": None})
    config = connector(settings.model_copy(update={"kafka": kafka, "mongo": mongo, "connect": connect}))
    lines = {"uri": config["connection.uri"], "jaas": config["consumer.override.sasl.jaas.config"]}
    return {"worker.properties": "".join(f"{key}={_escaped(value)}\n" for key, value in lines.items())}


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\")


_MAKERS: dict[str, Callable[[Settings, list[Manifest]], dict[str, str]]] = {
    "stockctl-aws": _aws,
    "stockctl-connect": _connect,
    "stockctl-finnhub": _finnhub,
    "stockctl-kafka": _kafka,
    "stockctl-mongo": _mongo,
}
