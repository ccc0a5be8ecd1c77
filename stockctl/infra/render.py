"""The objects of an overlay as the settings want them: the manifests, filled in."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from stockctl.errors import ConfigError, UsageError
from stockctl.infra import secrets, settings_values
from stockctl.infra.kustomize import (
    Manifest,
    ManifestError,
    at,
    build,
    containers,
    label_of,
    mark,
    move,
    pod_template,
    set_image,
)
from stockctl.resources import resource
from stockctl.settings import Settings
from stockctl.settings.names import IMAGE_REFERENCE

OWNER = {"app.kubernetes.io/managed-by": "stockctl"}
"""The label of everything that stockctl renders."""
CONTENT = "stockctl.io/content"
"""The annotation of a pod with the hash of the settings and secrets that it reads: another hash, another pod."""
MONGO = "app.kubernetes.io/component"
"""The label, with the value mongo, of what is there only for a MongoDB within the cluster."""
ORDER = (
    "Namespace",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "ConfigMap",
    "Secret",
    "PersistentVolumeClaim",
    "Service",
    "StatefulSet",
    "Job",
    "Deployment",
    "CronJob",
)
"""Kinds in the order in which their objects are made; others come behind."""


class Rendered(NamedTuple):
    """The objects of an overlay, secrets among them or apart."""

    manifests: list[Manifest]
    secrets: list[Manifest]

    @property
    def all(self) -> list[Manifest]:
        """Every object, in the order in which they are made."""
        return sorted([*self.manifests, *self.secrets], key=_place)


def overlays(settings: Settings) -> dict[str, Path]:
    """The overlays that there are, each name with its folder."""
    folder = (settings.infra.manifests or resource("manifests")) / "overlays"
    return {path.name: path for path in sorted(folder.glob("*")) if (path / "kustomization.yaml").is_file()}


def render(settings: Settings) -> Rendered:
    """The objects of the overlay ``infra.overlay``, filled in from the settings.

    UsageError for an overlay that is not there, ConfigError for a setting that is absent or does not do in a cluster,
    ManifestError for a manifest that is broken.
    """
    infra, there = settings.infra, overlays(settings)
    if infra.overlay not in there:
        raise UsageError(f"there is no overlay {infra.overlay}", hint=f"one of {', '.join(there) or 'none'}")
    settings_values.check(settings)
    found = build(there[infra.overlay])
    move(found, infra.namespace)
    _set_images(settings, found)
    _check_images(found)
    if infra.mongo_url is not None:
        found = settings_values.with_mongo_elsewhere(settings, [manifest for manifest in found if not _is_for_mongo(manifest)])
    else:
        settings_values.admit_clients(settings, found)
    settings_values.open_ways(settings, found)
    settings_values.fill(settings, found)
    made = secrets.make(settings, found) if infra.secrets == "settings" else []
    _tell_content(found, made)
    mark([*found, *made], OWNER)
    return Rendered(sorted(found, key=_place), made)


def text(manifests: list[Manifest]) -> str:
    """``manifests`` as YAML, a document each."""
    return yaml.dump_all(manifests, Dumper=_Dumper, sort_keys=False, explicit_start=True, width=128, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such, and nothing as an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def _place(manifest: Manifest) -> tuple[int, str]:
    kind = manifest["kind"]
    return ORDER.index(kind) if kind in ORDER else len(ORDER), manifest["metadata"]["name"]


def _set_images(settings: Settings, found: list[Manifest]) -> None:
    infra = settings.infra
    ours = set_image(found, "stockctl", infra.image, infra.image_tag)
    connect = set_image(found, "stockctl-connect", infra.connect_image, infra.image_tag)
    # Of a profile for several overlays, one may well have no Connect.
    for name, used in (("image", ours), ("image_tag", ours or connect)):
        if (value := getattr(infra, name)) and not used:
            raise ConfigError(
                f"the setting infra.{name} is {value}, and the overlay {infra.overlay} has no image stockctl to change",
                hint="name the image just stockctl in its manifests, or unset the setting",
            )


def _check_images(found: list[Manifest]) -> None:
    # A cluster takes any text, and its pods then wait for an image that cannot be.
    for manifest in found:
        for container in containers(manifest):
            if not IMAGE_REFERENCE.fullmatch(str(container.get("image"))):
                raise ManifestError(
                    f"{label_of(manifest)} has the image {container.get('image')}, which can be none",
                    hint="write registry.example.com:5000/team/name:tag, the path in small letters",
                )


def _is_for_mongo(manifest: Manifest) -> bool:
    return bool(manifest["metadata"].get("labels", {}).get(MONGO) == "mongo")


def _tell_content(found: list[Manifest], made: list[Manifest]) -> None:
    """Give every pod the hash of what it reads, and every Job a name of its own for it: a Job cannot be changed."""
    held = {
        # No pod is another for Kafka's id: storage that is formatted keeps the one that it has.
        (each["kind"], each["metadata"]["name"]): {
            key: value for key, value in each["data"].items() if key != secrets.CLUSTER_ID
        }
        for each in [*found, *made]
        if "data" in each
    }
    for manifest in found:
        template = pod_template(manifest)
        if template is None:
            continue
        read = {f"{kind} {name}": held.get((kind, name)) for kind, name in read_by(manifest)}
        metadata = template.setdefault("metadata", {})
        metadata.setdefault("annotations", {})[CONTENT] = _digest(read)
        if manifest["kind"] == "Job":
            manifest["metadata"]["name"] += f"-{_digest(manifest['spec'])[:8]}"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def read_by(manifest: Manifest) -> list[tuple[str, str]]:
    """The ConfigMaps, Secrets and volumes that the pods of ``manifest`` read, by kind and name."""
    found: set[tuple[str, str]] = set()
    for volume in at(pod_template(manifest) or {}, "spec.volumes") or ():
        if "configMap" in volume:
            found.add(("ConfigMap", volume["configMap"]["name"]))
        if "secret" in volume:
            found.add(("Secret", volume["secret"]["secretName"]))
        if "persistentVolumeClaim" in volume:
            found.add(("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]))
    for container in containers(manifest):
        for source in container.get("envFrom", ()):
            found |= {(_REFERENCES[key], source[key]["name"]) for key in source if key in _REFERENCES}
        for variable in container.get("env", ()):
            source = variable.get("valueFrom", {})
            found |= {(_REFERENCES[key], source[key]["name"]) for key in source if key in _REFERENCES}
    return sorted(found)


_REFERENCES = {"configMapRef": "ConfigMap", "secretRef": "Secret", "configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}

__all__ = ["CONTENT", "ORDER", "OWNER", "ManifestError", "Rendered", "label_of", "overlays", "read_by", "render", "text"]
