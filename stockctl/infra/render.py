"""``infra render``: the objects of an overlay, filled in from the settings."""

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
    pod_template,
    set_image,
    set_labels,
    set_namespace,
)
from stockctl.resources import resource
from stockctl.settings import InfraSettings, Settings
from stockctl.settings.resource_names import IMAGE_REFERENCE

OWNER = {"app.kubernetes.io/managed-by": "stockctl"}
"""The label of every object that stockctl renders."""
CONTENT = "stockctl.io/content"
"""The annotation of a pod with the hash of its settings and secrets: when they change, the hash rolls the pod."""
COMPONENT = "app.kubernetes.io/component"
"""The label of optional objects: ``mongo`` of those that only a MongoDB within the cluster needs, ``dashboard`` of its page."""
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
"""The kinds in the order in which objects are applied; others come last."""


class Rendered(NamedTuple):
    """The objects of an overlay, with the Secrets apart."""

    manifests: list[Manifest]
    secrets: list[Manifest]

    @property
    def all(self) -> list[Manifest]:
        """Every object, in the order in which they are applied."""
        return sorted([*self.manifests, *self.secrets], key=_order)


def overlays(settings: InfraSettings) -> dict[str, Path]:
    """The folder of each overlay, by name."""
    folder = (settings.manifests or resource("manifests")) / "overlays"
    return {path.name: path for path in sorted(folder.glob("*")) if (path / "kustomization.yaml").is_file()}


def render(settings: Settings) -> Rendered:
    """The objects of the overlay ``infra.overlay``, filled in from the settings.

    UsageError for an unknown overlay, ConfigError for a setting that is missing or invalid for a cluster, ManifestError for an
    invalid manifest.
    """
    infra, available = settings.infra, overlays(settings.infra)
    if infra.overlay not in available:
        raise UsageError(f"there is no overlay {infra.overlay}", hint=f"one of {', '.join(available) or 'none'}")
    settings_values.check(settings)
    manifests = build(available[infra.overlay])
    set_namespace(manifests, infra.namespace)
    _set_images(infra, manifests)
    _check_images(manifests)
    if infra.dashboard:
        settings_values.start_dashboard(manifests)
    else:
        manifests = [each for each in manifests if not _is_for(each, "dashboard")]
    if infra.mongo_url is not None:
        manifests = [each for each in manifests if not _is_for(each, "mongo")]
        settings_values.use_external_mongo(settings, manifests)
    else:
        settings_values.allow_mongo_clients(infra, manifests)
    settings_values.allow_egress(settings, manifests)
    settings_values.fill(settings, manifests)
    settings_values.stop_signals_without_strategy(settings.signals, manifests)
    secret_objects = secrets.create(settings, manifests) if infra.secrets == "settings" else []
    _annotate_content(manifests, secret_objects)
    set_labels([*manifests, *secret_objects], OWNER)
    return Rendered(sorted(manifests, key=_order), secret_objects)


def to_yaml(manifests: list[Manifest]) -> str:
    """``manifests`` as YAML, one document each."""
    return yaml.dump_all(manifests, Dumper=_Dumper, sort_keys=False, explicit_start=True, width=128, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Writes strings of several lines as blocks, and uses no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_string(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _represent_string)


def _order(manifest: Manifest) -> tuple[int, str]:
    kind = manifest["kind"]
    return ORDER.index(kind) if kind in ORDER else len(ORDER), manifest["metadata"]["name"]


def _set_images(infra: InfraSettings, manifests: list[Manifest]) -> None:
    stockctl = set_image(manifests, "stockctl", infra.image, infra.image_tag)
    connect = set_image(manifests, "stockctl-connect", infra.connect_image, infra.image_tag)
    # connect_image may be unused: a profile serves several overlays, and some have no Connect.
    for name, used in (("image", stockctl), ("image_tag", stockctl or connect)):
        if (value := getattr(infra, name)) and not used:
            raise ConfigError(
                f"the setting infra.{name} is {value}, but the overlay {infra.overlay} has no image named stockctl",
                hint="name the image stockctl in its manifests, or unset the setting",
            )


def _check_images(manifests: list[Manifest]) -> None:
    # The API server accepts any string, and the pods would wait for an image that cannot exist.
    for manifest in manifests:
        for container in containers(manifest):
            if not IMAGE_REFERENCE.fullmatch(str(container.get("image"))):
                raise ManifestError(
                    f"{label_of(manifest)} has the image {container.get('image')}, which is not a valid image name",
                    hint="write registry.example.com:5000/team/name:tag, the path in lower case",
                )


def _is_for(manifest: Manifest, component: str) -> bool:
    return bool((at(manifest, "metadata.labels") or {}).get(COMPONENT) == component)


def _annotate_content(manifests: list[Manifest], secret_objects: list[Manifest]) -> None:
    """Annotate every pod with the hash of its settings and secrets, and give every Job a name with it: Jobs are immutable."""
    content = {
        # Kafka's id rolls no pod: formatted storage keeps its own.
        (each["kind"], each["metadata"]["name"]): {
            key: value for key, value in each["data"].items() if key != secrets.CLUSTER_ID
        }
        for each in [*manifests, *secret_objects]
        if "data" in each
    }
    for manifest in manifests:
        template = pod_template(manifest)
        if template is None:
            continue
        references_content = {f"{kind} {name}": content.get((kind, name)) for kind, name in references(manifest)}
        metadata = template.setdefault("metadata", {})
        metadata.setdefault("annotations", {})[CONTENT] = _digest(references_content)
        if manifest["kind"] == "Job":
            manifest["metadata"]["name"] += f"-{_digest(manifest['spec'])[:8]}"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def references(manifest: Manifest) -> list[tuple[str, str]]:
    """The ConfigMaps, Secrets and volume claims that the pods of ``manifest`` refer to, by kind and name."""
    pairs: set[tuple[str, str]] = set()
    for volume in at(pod_template(manifest) or {}, "spec.volumes") or ():
        if "configMap" in volume:
            pairs.add(("ConfigMap", volume["configMap"]["name"]))
        if "secret" in volume:
            pairs.add(("Secret", volume["secret"]["secretName"]))
        if "persistentVolumeClaim" in volume:
            pairs.add(("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]))
    for container in containers(manifest):
        for source in container.get("envFrom", ()):
            pairs |= {(_REFERENCES[key], source[key]["name"]) for key in source if key in _REFERENCES}
        for variable in container.get("env", ()):
            source = variable.get("valueFrom", {})
            pairs |= {(_REFERENCES[key], source[key]["name"]) for key in source if key in _REFERENCES}
    return sorted(pairs)


_REFERENCES = {"configMapRef": "ConfigMap", "secretRef": "Secret", "configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}

__all__ = ["CONTENT", "ORDER", "OWNER", "ManifestError", "Rendered", "label_of", "overlays", "references", "render", "to_yaml"]
