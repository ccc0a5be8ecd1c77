"""The Secrets that the manifests refer to, created from the settings. No manifest file contains them."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable

from stockctl.errors import ConfigError
from stockctl.infra.kustomize import Manifest, ManifestError, at, containers, pod_template
from stockctl.settings import Settings, env_name, require
from stockctl.settings.dashboard import SHORTEST_TOKEN
from stockctl.settings.display import value_of
from stockctl.stream.kafka_connect.config import render as connector

CLUSTER_ID = "cluster-id"
"""The key of Kafka's cluster id in its Secret."""
_PASSWORD = re.compile(r"[A-Za-z0-9._~-]{16,}")
"""Passwords that need no quoting in Kafka's configuration, and are too long to guess from a hash."""

_MAKE = 'export {}=$(python3 -c "import secrets; print(secrets.token_urlsafe(24))"), and keep it'


def create(settings: Settings, manifests: list[Manifest]) -> list[Manifest]:
    """The Secrets that ``manifests`` refer to. ConfigError for a setting that is missing, or invalid as a password."""
    namespace = settings.infra.namespace
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "type": "Opaque",
            "data": {key: b64encode(value.encode()).decode() for key, value in data.items()},
        }
        for name in _referenced(manifests)
        if (data := _DATA[name](settings, manifests))
    ]


def cluster_id(settings: Settings) -> str:
    """The id of the Kafka cluster, derived from the namespace and the lake: the same whenever it is recreated."""
    seed = f"{settings.infra.namespace} {settings.lake.url}"
    return urlsafe_b64encode(hashlib.sha256(seed.encode()).digest()[:16]).decode().rstrip("=")


def _referenced(manifests: list[Manifest]) -> list[str]:
    names: set[str] = set()
    for manifest in manifests:
        for volume in at(pod_template(manifest) or {}, "spec.volumes") or ():
            names |= {volume["secret"]["secretName"]} if "secret" in volume else set()
        for container in containers(manifest):
            for variable in container.get("env", ()):
                if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                    names.add(reference["name"])
    # Users create the others, which their own manifests refer to.
    return sorted(names & set(_DATA))


def _secret(settings: Settings, name: str) -> str:
    return str(require(settings, name).get_secret_value())


def _password(settings: Settings, name: str) -> str:
    password = _secret(settings, name)
    if not _PASSWORD.fullmatch(password):
        raise ConfigError(
            f"the setting {name} from {settings.origin(name)} is invalid for a server in a cluster: use at least 16 letters, "
            "digits and . _ ~ -",
            hint=_MAKE.format(env_name(name)),
        )
    return password


def _finnhub(settings: Settings, _manifests: list[Manifest]) -> dict[str, str]:
    return {"token": _secret(settings, "finnhub.token")}


def _kafka(settings: Settings, _manifests: list[Manifest]) -> dict[str, str]:
    return {"password": _password(settings, "kafka.password"), CLUSTER_ID: cluster_id(settings)}


def _mongo(settings: Settings, _manifests: list[Manifest]) -> dict[str, str]:
    elsewhere = settings.infra.mongo_url is not None
    return {"password": _secret(settings, "mongo.password") if elsewhere else _password(settings, "mongo.password")}


def _dashboard(settings: Settings, _manifests: list[Manifest]) -> dict[str, str]:
    secret = value_of(settings, "dashboard.token")
    token = secret.get_secret_value() if secret else ""
    if len(token) < SHORTEST_TOKEN:
        problem = f"has fewer than {SHORTEST_TOKEN} characters" if token else "is not set"
        raise ConfigError(
            f"infra.dashboard is true, and the setting dashboard.token {problem}",
            hint=_MAKE.format(env_name("dashboard.token")),
        )
    return {"token": token}


def _aws(settings: Settings, _manifests: list[Manifest]) -> dict[str, str]:
    if settings.s3.access_key_id is None:
        return {}
    if settings.s3.session_token is not None:
        raise ConfigError(
            f"the setting s3.session_token from {settings.origin('s3.session_token')} expires within hours: a cluster needs a "
            "permanent key",
            hint="set a permanent key, or use the machine's IAM role (without s3.access_key_id)",
        )
    return {"access-key-id": settings.s3.access_key_id, "secret-access-key": _secret(settings, "s3.secret_access_key")}


def _connect(settings: Settings, manifests: list[Manifest]) -> dict[str, str]:
    """The logins of Kafka Connect's worker, as its properties file."""
    variables: dict[str, str] = {}
    for manifest in manifests:
        if manifest["kind"] == "ConfigMap" and manifest["metadata"]["name"] in ("kafka-settings", "mongo-settings"):
            variables |= manifest.get("data", {})
    needed = ("STOCKCTL_KAFKA__USERNAME", "STOCKCTL_MONGO__URL", "STOCKCTL_MONGO__USERNAME", "STOCKCTL_MONGO__AUTH_SOURCE")
    if missing := [name for name in needed if name not in variables]:
        raise ManifestError(
            f"the ConfigMaps kafka-settings and mongo-settings lack {', '.join(missing)}, which Connect's login needs",
            hint="add them to their manifests",
        )
    kafka = settings.kafka.model_copy(
        update={
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "SCRAM-SHA-256",
            "username": variables["STOCKCTL_KAFKA__USERNAME"],
        }
    )
    mongo = settings.mongo.model_copy(
        update={
            "url": variables["STOCKCTL_MONGO__URL"],
            "username": variables["STOCKCTL_MONGO__USERNAME"],
            "auth_source": variables["STOCKCTL_MONGO__AUTH_SOURCE"],
        }
    )
    connect = settings.connect.model_copy(update={"mongo_uri": None, "kafka_jaas": None})
    config = connector(settings.model_copy(update={"kafka": kafka, "mongo": mongo, "connect": connect}))
    lines = {"uri": config["connection.uri"], "jaas": config["consumer.override.sasl.jaas.config"]}
    return {"worker.properties": "".join(f"{key}={_escaped(value)}\n" for key, value in lines.items())}


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\")


_DATA: dict[str, Callable[[Settings, list[Manifest]], dict[str, str]]] = {
    "stockctl-aws": _aws,
    "stockctl-connect": _connect,
    "stockctl-dashboard": _dashboard,
    "stockctl-finnhub": _finnhub,
    "stockctl-kafka": _kafka,
    "stockctl-mongo": _mongo,
}
