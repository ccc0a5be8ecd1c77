"""The settings in the manifests, except secrets: each service's own settings, MongoDB's address, network policies."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from stockctl.errors import ConfigError
from stockctl.infra.kustomize import Manifest, ManifestError, at
from stockctl.settings import Settings, SignalsSettings, env_name, require, setting_names
from stockctl.settings.addresses import host_and_port
from stockctl.settings.infra import InfraSettings
from stockctl.settings.layers import is_secret
from stockctl.settings.mongo_address import mongo_parts

TAKES = "stockctl.io/takes"
"""The annotation of a ConfigMap with the settings that it takes from the profile: names, or names of sections."""
_EXTERNAL = ("finnhub.url", "finnhub.rest_url", "s3.endpoint_url")
"""The settings with addresses that the services reach by the policy ``to-the-internet``."""


def check(settings: Settings) -> None:
    """ConfigError for a setting that a cluster needs and that is missing or invalid."""
    require(settings, "symbols")
    url = str(require(settings, "lake.url"))
    if not url.startswith("s3://"):
        raise ConfigError(
            f"the setting lake.url is {url}, but the pods of a cluster share no folder", hint="set it to s3://bucket/prefix"
        )
    if settings.s3.endpoint_url is None:
        require(settings, "s3.region")
    if settings.infra.mongo_url is not None:
        require(settings, "mongo.username")


def fill(settings: Settings, manifests: list[Manifest]) -> None:
    """Put the settings that differ from their defaults into the ConfigMaps that take them.

    Values in the manifests win: addresses within the cluster, and its replication.
    """
    maps = [manifest for manifest in manifests if manifest["kind"] == "ConfigMap"]
    fixed = {name for manifest in maps for name in manifest.get("data", {})}
    for manifest in maps:
        names = (at(manifest, "metadata.annotations") or {}).get(TAKES)
        if names is None:
            continue
        data = manifest.setdefault("data", {})
        for name in setting_names_of(names, manifest["metadata"]["name"]):
            variable = env_name(name)
            if variable not in fixed and settings.origin(name) != "default" and (value := environment_value(settings, name)):
                data[variable] = value


def stop_signals_without_strategy(signals: SignalsSettings, manifests: list[Manifest]) -> None:
    """Give the Deployment ``signals`` no pod if there is no strategy to run: each would exit at once, and begin again."""
    for manifest in manifests:
        if not signals.strategy and (manifest["kind"], manifest["metadata"]["name"]) == ("Deployment", "signals"):
            manifest["spec"]["replicas"] = 0


def start_dashboard(manifests: list[Manifest]) -> None:
    """Give the Deployment ``dashboard`` its pod. ManifestError if there is no such Deployment."""
    found = [each for each in manifests if (each["kind"], each["metadata"]["name"]) == ("Deployment", "dashboard")]
    for manifest in found:
        manifest["spec"]["replicas"] = 1
    if not found:
        raise ManifestError(
            "infra.dashboard is true, but the overlay has no Deployment dashboard",
            hint="add one to it, or unset infra.dashboard",
        )


def setting_names_of(annotation: str, config_map: str) -> Iterator[str]:
    """The settings that the ``annotation`` of ``config_map`` names. ConfigError for an unknown one."""
    for word in annotation.split():
        names = [name for name in setting_names() if name == word or name.startswith(word + ".")]
        if not names:
            raise ConfigError(
                f"the ConfigMap {config_map} takes the unknown setting {word}", hint=f"correct its annotation {TAKES}"
            )
        yield from (name for name in names if not is_secret(name))


def environment_value(settings: Settings, name: str) -> str:
    """The value of the dotted setting ``name`` as an environment variable; empty if it is not set."""
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def use_external_mongo(settings: Settings, manifests: list[Manifest]) -> None:
    """Change ``manifests`` for a MongoDB outside the cluster: its address, and a network policy that allows it."""
    url = str(settings.infra.mongo_url)
    for manifest in manifests:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        if (kind, name) == ("ConfigMap", "mongo-settings"):
            manifest.setdefault("data", {}).update(
                {
                    "STOCKCTL_MONGO__URL": url,
                    "STOCKCTL_MONGO__USERNAME": str(require(settings, "mongo.username")),
                    "STOCKCTL_MONGO__AUTH_SOURCE": settings.mongo.auth_source,
                }
            )
        elif (kind, name) == ("NetworkPolicy", "to-mongo"):
            manifest.setdefault("spec", {})["egress"] = [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": _ports(url)}]
            # Only where it is needed: some clusters reject IPv6 addresses.
            if "[" in url:
                manifest["spec"]["egress"][0]["to"].append({"ipBlock": {"cidr": "::/0"}})
        elif (kind, name) == ("Job", "mongo-setup"):
            spec = manifest["spec"]["template"]["spec"]
            spec.pop("initContainers", None)
            spec["volumes"] = [volume for volume in spec.get("volumes", ()) if volume["name"] != "mongo-config"]


def _ports(url: str) -> list[dict[str, int]]:
    ports: set[int] = set()
    for host in mongo_parts(url).hosts.split(","):
        _, port = host_and_port(host)
        # Names of mongodb+srv:// have no port; Atlas uses 27017.
        ports.add(port or 27017)
    return [{"port": port} for port in sorted(ports)]


def allow_egress(settings: Settings, manifests: list[Manifest]) -> None:
    """Allow egress to the addresses in the settings, where the manifests do not: they allow HTTPS outside the cluster."""
    egress = [rule for name in _EXTERNAL if (url := environment_value(settings, name)) and (rule := _egress_rule(url))]
    for manifest in manifests:
        if (manifest["kind"], manifest["metadata"]["name"]) == ("NetworkPolicy", "to-the-internet"):
            rules = manifest.setdefault("spec", {}).setdefault("egress", [])
            rules += [rule for index, rule in enumerate(egress) if rule not in egress[:index]]


def _egress_rule(url: str) -> dict[str, Any] | None:
    parts = urlsplit(url)
    host, port = str(parts.hostname), parts.port or (80 if parts.scheme in ("http", "ws") else 443)
    try:
        address = ip_address(host)
    except ValueError:
        if port == 443:
            return None
        # Any address, except the metadata service of the machine.
        block: dict[str, Any] = {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}
    else:
        block = {"cidr": f"{address}/{address.max_prefixlen}"}
    return {"to": [{"ipBlock": block}], "ports": [{"port": port}]}


def allow_mongo_clients(infra: InfraSettings, manifests: list[Manifest]) -> None:
    """Allow the networks of ``infra.mongo_clients`` to reach MongoDB at its node port; without any, remove that port."""
    outside = [manifest for manifest in manifests if manifest["metadata"]["name"] == "mongo-outside"]
    for manifest in outside:
        if not infra.mongo_clients:
            manifests.remove(manifest)
        elif manifest["kind"] == "NetworkPolicy":
            rules = at(manifest, "spec.ingress")
            if not isinstance(rules, list) or len(rules) != 1 or not isinstance(rules[0], dict):
                raise ManifestError(
                    "the NetworkPolicy mongo-outside needs exactly one ingress rule for infra.mongo_clients",
                    hint="correct its manifest, or unset infra.mongo_clients",
                )
            rules[0]["from"] = [{"ipBlock": {"cidr": network}} for network in infra.mongo_clients]
