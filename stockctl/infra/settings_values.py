"""What the settings put into the manifests, beside secrets: the roles' own settings, where MongoDB is, who reaches what."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from stockctl.errors import ConfigError
from stockctl.infra.kustomize import Manifest, ManifestError, at
from stockctl.settings import Settings, env_name, require, setting_names
from stockctl.settings.addresses import host_and_port
from stockctl.settings.layers import is_secret
from stockctl.settings.mongo_address import mongo_parts

TAKES = "stockctl.io/takes"
"""The annotation of a ConfigMap with the settings that it takes from the profile: names, or whole sections."""
_OUTSIDE = ("finnhub.url", "finnhub.rest_url", "s3.endpoint_url")
"""The settings with addresses that the roles reach by the policy ``to-the-internet``."""


def check(settings: Settings) -> None:
    """ConfigError when a setting is absent that a cluster needs, or cannot be used in one."""
    require(settings, "symbols")
    url = str(require(settings, "lake.url"))
    if not url.startswith("s3://"):
        raise ConfigError(
            f"the setting lake.url is {url}, and the pods of a cluster share no folder", hint="set it to s3://bucket/prefix"
        )
    if settings.s3.endpoint_url is None:
        require(settings, "s3.region")
    if settings.infra.mongo_url is not None:
        require(settings, "mongo.username")


def fill(settings: Settings, found: list[Manifest]) -> None:
    """Put the settings that differ from their defaults into the ConfigMaps that take them.

    What the manifests say themselves stays: addresses within the cluster, and its replication.
    """
    maps = [manifest for manifest in found if manifest["kind"] == "ConfigMap"]
    fixed = {name for manifest in maps for name in manifest.get("data", {})}
    for manifest in maps:
        taken = (at(manifest, "metadata.annotations") or {}).get(TAKES)
        if taken is None:
            continue
        data = manifest.setdefault("data", {})
        for name in taken_names(taken, manifest["metadata"]["name"]):
            variable = env_name(name)
            if variable not in fixed and settings.origin(name) != "default" and (value := text_of(settings, name)):
                data[variable] = value


def taken_names(taken: str, where: str) -> Iterator[str]:
    """The settings that the annotation ``taken`` of the ConfigMap ``where`` names. ConfigError for one that is none."""
    for word in taken.split():
        names = [name for name in setting_names() if name == word or name.startswith(word + ".")]
        if not names:
            raise ConfigError(f"the ConfigMap {where} takes {word}, which is no setting", hint=f"mend its annotation {TAKES}")
        yield from (name for name in names if not is_secret(name))


def text_of(settings: Settings, name: str) -> str:
    """The value of the dotted setting ``name`` as the environment carries it; nothing for one that is not set."""
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def with_mongo_elsewhere(settings: Settings, found: list[Manifest]) -> list[Manifest]:
    """``found`` with a MongoDB outside the cluster: its address for the roles, and leave to reach it."""
    url = str(settings.infra.mongo_url)
    for manifest in found:
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
            # Only where it is asked for: not every cluster knows addresses of IPv6.
            if "[" in url:
                manifest["spec"]["egress"][0]["to"].append({"ipBlock": {"cidr": "::/0"}})
        elif (kind, name) == ("Job", "mongo-setup"):
            spec = manifest["spec"]["template"]["spec"]
            spec.pop("initContainers", None)
            spec["volumes"] = [volume for volume in spec.get("volumes", ()) if volume["name"] != "mongo-config"]
    return found


def _ports(url: str) -> list[dict[str, int]]:
    ports: set[int] = set()
    for host in mongo_parts(url).hosts.split(","):
        _, port = host_and_port(host)
        # The names behind mongodb+srv tell their ports: 27017, as Atlas has it.
        ports.add(port or 27017)
    return [{"port": port} for port in sorted(ports)]


def open_ways(settings: Settings, found: list[Manifest]) -> None:
    """Let the roles reach what the settings name, where that is not HTTPS to somewhere outside, which the manifests allow."""
    ways = [way for name in _OUTSIDE if (url := text_of(settings, name)) and (way := _way(url))]
    for manifest in found:
        if (manifest["kind"], manifest["metadata"]["name"]) == ("NetworkPolicy", "to-the-internet"):
            rules = manifest.setdefault("spec", {}).setdefault("egress", [])
            rules += [way for place, way in enumerate(ways) if way not in ways[:place]]


def _way(url: str) -> dict[str, Any] | None:
    parts = urlsplit(url)
    host, port = str(parts.hostname), parts.port or (80 if parts.scheme in ("http", "ws") else 443)
    try:
        address = ip_address(host)
    except ValueError:
        if port == 443:
            return None
        # Wherever that name leads, it is not to what the machine tells of itself.
        block: dict[str, Any] = {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}
    else:
        block = {"cidr": f"{address}/{address.max_prefixlen}"}
    return {"to": [{"ipBlock": block}], "ports": [{"port": port}]}


def admit_clients(settings: Settings, found: list[Manifest]) -> None:
    """Let the addresses of ``infra.mongo_clients`` reach MongoDB at the node's port; without any, that port is not there."""
    outside = [manifest for manifest in found if manifest["metadata"]["name"] == "mongo-outside"]
    for manifest in outside:
        if not settings.infra.mongo_clients:
            found.remove(manifest)
        elif manifest["kind"] == "NetworkPolicy":
            rules = at(manifest, "spec.ingress")
            if not isinstance(rules, list) or len(rules) != 1 or not isinstance(rules[0], dict):
                raise ManifestError(
                    "the NetworkPolicy mongo-outside has not one rule of ingress, which infra.mongo_clients would fill",
                    hint="mend its manifest, or unset infra.mongo_clients",
                )
            rules[0]["from"] = [{"ipBlock": {"cidr": network}} for network in settings.infra.mongo_clients]
