"""The part of kustomize that stockctl's manifests use: resources, patches, namespace, labels and images.

No maintained Python library builds kustomizations, and kustomize itself may not be installed. This module builds them the same
way, and reports unsupported fields as errors instead of ignoring them; `kubectl apply -k` supports them all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonpatch import JsonPatch, JsonPatchException
from jsonpointer import JsonPointerException

from stockctl.errors import StockctlError
from stockctl.infra import manifest_schema
from stockctl.validation_errors import decode_problem

Manifest = dict[str, Any]
"""A Kubernetes object, as in its YAML."""

_SUPPORTED = {"apiVersion", "kind", "namespace", "resources", "patches", "labels", "images"}
_CLUSTER_WIDE = {"Namespace", "ClusterRole", "ClusterRoleBinding", "PersistentVolume", "StorageClass", "PriorityClass"}
"""Kinds without a namespace."""
_TEMPLATES = {
    "Deployment": ["spec.template"],
    "StatefulSet": ["spec.template", "spec.volumeClaimTemplates"],
    "Job": ["spec.template"],
    "CronJob": ["spec.jobTemplate", "spec.jobTemplate.spec.template"],
}
"""The paths of templates in each kind, whose metadata get the labels too."""
_IMAGE = re.compile(r"(?P<name>[^@]+?)(?P<version>(:[^:/@]+)?(@.+)?)")
"""An image, and its tag, digest or both; a colon before a slash belongs to the registry's port."""


class ManifestError(StockctlError):
    """A manifest or a kustomization is invalid."""


def build(folder: Path) -> list[Manifest]:
    """Every object of the kustomization in ``folder``, in the order of its files.

    ManifestError names the file and the error in it.
    """
    file = folder / "kustomization.yaml"
    kustomization = _kustomization(file)
    if unsupported := sorted(set(kustomization) - _SUPPORTED):
        raise ManifestError(
            f"{file} uses {', '.join(unsupported)}, which stockctl does not support",
            hint=f"`kubectl apply -k {folder}` supports all of kustomize",
        )
    manifests = [each for name in kustomization.get("resources") or () for each in _resource(file, folder / str(name))]
    _refuse_duplicates(file, manifests)
    for patch in kustomization.get("patches") or ():
        _patch(file, patch, manifests)
    if kustomization.get("namespace"):
        set_namespace(manifests, str(kustomization["namespace"]))
    for label in kustomization.get("labels") or ():
        _refuse_unsupported(file, "labels", label, {"pairs", "includeTemplates"})
        set_labels(manifests, label["pairs"], templates=bool(label.get("includeTemplates")))
    for image in kustomization.get("images") or ():
        _refuse_unsupported(file, "images", image, {"name", "newName", "newTag"})
        set_image(manifests, str(image["name"]), image.get("newName"), image.get("newTag"))
    return manifests


def _refuse_unsupported(file: Path, field: str, mapping: Mapping[str, Any], supported: set[str]) -> None:
    if unsupported := sorted(set(mapping) - supported):
        raise ManifestError(f"{file}: {field} use {', '.join(unsupported)}, which stockctl does not support")


def label_of(manifest: Manifest) -> str:
    """Kind and name of the object: ``Deployment producer``."""
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def set_namespace(manifests: list[Manifest], namespace: str) -> None:
    """Put every object into ``namespace``, and rename the Namespace itself."""
    for manifest in manifests:
        if manifest["kind"] == "Namespace":
            manifest["metadata"]["name"] = namespace
        elif manifest["kind"] not in _CLUSTER_WIDE:
            manifest["metadata"]["namespace"] = namespace


def set_labels(manifests: list[Manifest], labels: Mapping[str, str], *, templates: bool = False) -> None:
    """Set ``labels`` on every object, and with ``templates`` on the templates in them."""
    for manifest in manifests:
        objects = [manifest]
        for path in _TEMPLATES.get(manifest["kind"], ()) if templates else ():
            template = at(manifest, path)
            objects += template if isinstance(template, list) else [template] if template is not None else []
        for each in objects:
            each.setdefault("metadata", {}).setdefault("labels", {}).update(labels)


def set_image(manifests: list[Manifest], name: str, new_name: str | None, tag: str | None) -> bool:
    """Change the name or the tag of the image ``name`` (without its tag) in every container; None keeps it. Whether a container
    uses the image.
    """
    found = False
    for manifest in manifests:
        for container in containers(manifest):
            image = _IMAGE.fullmatch(container["image"])
            if image and image["name"] == name:
                found = True
                container["image"] = (new_name or name) + (f":{tag}" if tag else image["version"])
    return found


def pod_template(manifest: Manifest) -> dict[str, Any] | None:
    """The pod template of a workload; None for other objects."""
    path = {"CronJob": "spec.jobTemplate.spec.template"}.get(manifest["kind"], "spec.template")
    return at(manifest, path) if manifest["kind"] in _TEMPLATES else None


def containers(manifest: Manifest) -> list[dict[str, Any]]:
    """The init containers and containers of a workload."""
    spec = (pod_template(manifest) or {}).get("spec", {})
    return [*spec.get("initContainers", []), *spec.get("containers", [])]


def at(manifest: Mapping[str, Any], path: str) -> Any:
    """The value at the dotted ``path``; None if there is none."""
    value: Any = manifest
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _kustomization(file: Path) -> Mapping[str, Any]:
    documents = _load(file)
    if len(documents) > 1 or not all(isinstance(each, dict) for each in documents):
        raise ManifestError(f"{file} is not a kustomization", hint="write `resources:` with the files below it")
    kustomization = _copy(documents[0]) if documents else {}
    if error := manifest_schema.schema_error(kustomization, manifest_schema.KUSTOMIZATION):
        raise ManifestError(f"{file} is invalid: {error}", hint="correct it there")
    return kustomization


def _load(file: Path) -> list[Any]:
    try:
        return [document for document in yaml.safe_load_all(file.read_text(encoding="utf-8")) if document is not None]
    except OSError as error:
        raise ManifestError(f"cannot read {file}: {error.strerror}", hint="check the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ManifestError(f"{file} is not valid YAML{_where(error)}", hint="correct it there") from error


def _where(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f": {decode_problem(error)}"
    mark = getattr(error, "problem_mark", None)
    return f", line {mark.line + 1}: {getattr(error, 'problem', error)}" if mark is not None else f": {error}"


def _documents(file: Path) -> list[Manifest]:
    documents = _load(file)
    for document in documents:
        if not isinstance(document, dict) or not {"apiVersion", "kind"} <= set(document):
            raise ManifestError(f"{file} contains a document without apiVersion and kind", hint="add them to it")
    return documents


def _resource(file: Path, path: Path) -> Iterator[Manifest]:
    if path.is_dir():
        yield from build(path)
        return
    if not path.is_file():
        raise ManifestError(f"{file} names {path.name}, which does not exist", hint="correct its resources")
    for manifest in _documents(path):
        metadata = manifest.get("metadata")
        if not isinstance(metadata, dict) or not metadata.get("name"):
            raise ManifestError(f"{path} contains a {manifest['kind']} without metadata.name", hint="give it a name")
        yield _checked(path, label_of(manifest), manifest)


def _checked(file: Path, label: str, manifest: Any, after: str = "") -> Manifest:
    if error := manifest_schema.object_error(manifest):
        raise ManifestError(f"{file}: {label} is invalid: {error}{after}", hint="correct it there")
    return dict(_copy(manifest))


def _copy(value: Any) -> Any:
    """A copy without YAML aliases, so that a patch of one place changes no other, and without keys that are null."""
    if isinstance(value, dict):
        return {key: _copy(each) for key, each in value.items() if each is not None}
    return [_copy(each) for each in value] if isinstance(value, list) else value


def _refuse_duplicates(file: Path, manifests: list[Manifest]) -> None:
    names = [label_of(manifest) for manifest in manifests]
    if duplicates := sorted({name for name in names if names.count(name) > 1}):
        raise ManifestError(f"{file}: duplicate {', '.join(duplicates)}", hint="rename or remove one")


def _patch(file: Path, patch: Mapping[str, Any], manifests: list[Manifest]) -> None:
    target = patch.get("target", {})
    if set(target) - {"kind", "name"} or not target or not set(patch) <= {"target", "patch", "path"}:
        raise ManifestError(
            f"{file}: stockctl supports patches with a target of kind and name only", hint="write the target so"
        )
    name = " ".join(str(target[key]) for key in ("kind", "name") if key in target)
    operations = _operations(file, patch)
    if not isinstance(operations, list):
        raise ManifestError(
            f"{file}: the patch of {name} is not a list of operations", hint="write `- {op: …, path: …, value: …}`"
        )
    indexes = [
        index
        for index, manifest in enumerate(manifests)
        if target.get("kind", manifest["kind"]) == manifest["kind"]
        and target.get("name", manifest["metadata"]["name"]) == manifest["metadata"]["name"]
    ]
    if not indexes:
        raise ManifestError(f"{file} has a patch for {name}, which does not exist", hint="correct the target")
    for index in indexes:
        try:
            patched: Any = JsonPatch(operations).apply(manifests[index])
        except (JsonPatchException, JsonPointerException) as error:
            raise ManifestError(f"{file}: the patch of {name} cannot be applied: {error}", hint="correct its path") from error
        manifests[index] = _checked(file, label_of(manifests[index]), patched, f", after the patch of {name}")


def _operations(file: Path, patch: Mapping[str, Any]) -> Any:
    source = file.parent / str(patch["path"]) if "path" in patch else file
    try:
        return yaml.safe_load(source.read_text(encoding="utf-8") if "path" in patch else str(patch.get("patch", "")))
    except OSError as error:
        raise ManifestError(
            f"cannot read {source}, which {file} names: {error.strerror}", hint="correct its patches"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ManifestError(f"a patch in {source} is not valid YAML{_where(error)}", hint="correct it there") from error
