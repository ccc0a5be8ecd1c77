"""The part of kustomize that our manifests use: resources, patches, namespace, labels and images.

No maintained library for Python reads kustomizations, and the tool itself is not on every laptop. So this builds them the
same way, and refuses by name whatever it does not know, rather than leave it out: `kubectl apply -k` takes all the rest.
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
from stockctl.validation import decode_problem

Manifest = dict[str, Any]
"""One object of Kubernetes, as its YAML tells it."""

_KNOWN = {"apiVersion", "kind", "namespace", "resources", "patches", "labels", "images"}
_CLUSTER_WIDE = {"Namespace", "ClusterRole", "ClusterRoleBinding", "PersistentVolume", "StorageClass", "PriorityClass"}
"""Kinds that stand in no namespace."""
_TEMPLATES = {
    "Deployment": ["spec.template"],
    "StatefulSet": ["spec.template", "spec.volumeClaimTemplates"],
    "Job": ["spec.template"],
    "CronJob": ["spec.jobTemplate", "spec.jobTemplate.spec.template"],
}
"""Where objects of a kind hold the metadata of others, which take the labels too."""
_IMAGE = re.compile(r"(?P<name>[^@]+?)(?P<version>(:[^:/@]+)?(@.+)?)")
"""An image, and its tag, digest or both; a colon before a slash is that of a registry's port."""


class ManifestError(StockctlError):
    """A manifest or a kustomization cannot be used as it stands."""


def build(folder: Path) -> list[Manifest]:
    """Every object of the kustomization in ``folder``, in the order of its files.

    ManifestError names the file, and what is wrong in it.
    """
    file = folder / "kustomization.yaml"
    told = _kustomization(file)
    if unknown := sorted(set(told) - _KNOWN):
        raise ManifestError(
            f"{file} uses {', '.join(unknown)}, which stockctl does not know", hint=f"`kubectl apply -k {folder}` knows all"
        )
    found = [manifest for name in told.get("resources") or () for manifest in _resource(file, folder / str(name))]
    _refuse_twins(file, found)
    for patch in told.get("patches") or ():
        _patch(file, patch, found)
    if told.get("namespace"):
        move(found, str(told["namespace"]))
    for label in told.get("labels") or ():
        if unknown := sorted(set(label) - {"pairs", "includeTemplates"}):
            raise ManifestError(f"{file}: labels use {', '.join(unknown)}, which stockctl does not know")
        mark(found, label["pairs"], templates=bool(label.get("includeTemplates")))
    for image in told.get("images") or ():
        if unknown := sorted(set(image) - {"name", "newName", "newTag"}):
            raise ManifestError(f"{file}: images use {', '.join(unknown)}, which stockctl does not know")
        set_image(found, str(image["name"]), image.get("newName"), image.get("newTag"))
    return found


def label_of(manifest: Manifest) -> str:
    """How the object is called: ``Deployment producer``."""
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def move(manifests: list[Manifest], namespace: str) -> None:
    """Put every object into ``namespace``, and call the namespace itself so."""
    for manifest in manifests:
        if manifest["kind"] == "Namespace":
            manifest["metadata"]["name"] = namespace
        elif manifest["kind"] not in _CLUSTER_WIDE:
            manifest["metadata"]["namespace"] = namespace


def mark(manifests: list[Manifest], labels: Mapping[str, str], *, templates: bool = False) -> None:
    """Set ``labels`` on every object, and with ``templates`` on what the objects are templates for."""
    for manifest in manifests:
        holders = [manifest]
        for path in _TEMPLATES.get(manifest["kind"], ()) if templates else ():
            there = at(manifest, path)
            holders += there if isinstance(there, list) else [there] if there is not None else []
        for holder in holders:
            holder.setdefault("metadata", {}).setdefault("labels", {}).update(labels)


def set_image(manifests: list[Manifest], name: str, new_name: str | None, tag: str | None) -> bool:
    """Let every container of the image ``name`` (without its tag) run another name or tag of it, None keeping it; whether
    there is one.
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
    """The template of the pods that the object makes; None for one that makes none."""
    path = {"CronJob": "spec.jobTemplate.spec.template"}.get(manifest["kind"], "spec.template")
    return at(manifest, path) if manifest["kind"] in _TEMPLATES else None


def containers(manifest: Manifest) -> list[dict[str, Any]]:
    """The object's containers, those that run first included."""
    spec = (pod_template(manifest) or {}).get("spec", {})
    return [*spec.get("initContainers", []), *spec.get("containers", [])]


def at(manifest: Mapping[str, Any], path: str) -> Any:
    """What stands at the dotted ``path``; None if nothing does."""
    there: Any = manifest
    for part in path.split("."):
        there = there.get(part) if isinstance(there, Mapping) else None
    return there


def _kustomization(file: Path) -> Mapping[str, Any]:
    loaded = _loaded(file)
    if len(loaded) > 1 or not all(isinstance(told, dict) for told in loaded):
        raise ManifestError(f"{file} is no kustomization", hint="write `resources:` with the files below it")
    told = _copy(loaded[0]) if loaded else {}
    if fault := manifest_schema.fault(told, manifest_schema.KUSTOMIZATION):
        raise ManifestError(f"{file} does not do: {fault}", hint="mend it there")
    return told


def _loaded(file: Path) -> list[Any]:
    try:
        return [document for document in yaml.safe_load_all(file.read_text(encoding="utf-8")) if document is not None]
    except OSError as error:
        raise ManifestError(f"cannot read {file}: {error.strerror}", hint="check the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ManifestError(f"{file} is no valid YAML{_where(error)}", hint="mend it there") from error


def _where(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f": {decode_problem(error)}"
    mark = getattr(error, "problem_mark", None)
    return f", line {mark.line + 1}: {getattr(error, 'problem', error)}" if mark is not None else f": {error}"


def _documents(file: Path) -> list[Manifest]:
    loaded = _loaded(file)
    for document in loaded:
        if not isinstance(document, dict) or not {"apiVersion", "kind"} <= set(document):
            raise ManifestError(f"{file} holds a document without apiVersion and kind", hint="add them to it")
    return loaded


def _resource(file: Path, path: Path) -> Iterator[Manifest]:
    if path.is_dir():
        yield from build(path)
        return
    if not path.is_file():
        raise ManifestError(f"{file} names {path.name}, which is not there", hint="mend its resources")
    for manifest in _documents(path):
        metadata = manifest.get("metadata")
        if not isinstance(metadata, dict) or not metadata.get("name"):
            raise ManifestError(f"{path} holds a {manifest['kind']} without metadata.name", hint="give it a name")
        yield _checked(path, label_of(manifest), manifest)


def _checked(file: Path, label: str, manifest: Any, after: str = "") -> Manifest:
    if fault := manifest_schema.of_object(manifest):
        raise ManifestError(f"{file}: {label} does not do: {fault}{after}", hint="mend it there")
    return dict(_copy(manifest))


def _copy(value: Any) -> Any:
    """A copy without YAML's aliases, so that a patch of one place changes no other; and without what is null, thus absent."""
    if isinstance(value, dict):
        return {key: _copy(each) for key, each in value.items() if each is not None}
    return [_copy(each) for each in value] if isinstance(value, list) else value


def _refuse_twins(file: Path, found: list[Manifest]) -> None:
    names = [label_of(manifest) for manifest in found]
    if twins := sorted({name for name in names if names.count(name) > 1}):
        raise ManifestError(f"{file}: {', '.join(twins)} stands there twice", hint="rename or remove one")


def _patch(file: Path, patch: Mapping[str, Any], found: list[Manifest]) -> None:
    target = patch.get("target", {})
    if set(target) - {"kind", "name"} or not target or not set(patch) <= {"target", "patch", "path"}:
        raise ManifestError(f"{file}: stockctl knows patches with a target of kind and name alone", hint="write it so")
    name = " ".join(str(target[key]) for key in ("kind", "name") if key in target)
    steps = _steps(file, patch)
    if not isinstance(steps, list):
        raise ManifestError(f"{file}: the patch of {name} is no list of steps", hint="write `- {op: …, path: …, value: …}`")
    places = [
        place
        for place, manifest in enumerate(found)
        if target.get("kind", manifest["kind"]) == manifest["kind"]
        and target.get("name", manifest["metadata"]["name"]) == manifest["metadata"]["name"]
    ]
    if not places:
        raise ManifestError(f"{file} has a patch for {name}, which is not there", hint="mend the target")
    for place in places:
        try:
            patched: Any = JsonPatch(steps).apply(found[place])
        except (JsonPatchException, JsonPointerException) as error:
            raise ManifestError(f"{file}: the patch of {name} does not fit: {error}", hint="mend its path") from error
        found[place] = _checked(file, label_of(found[place]), patched, f", after the patch of {name}")


def _steps(file: Path, patch: Mapping[str, Any]) -> Any:
    source = file.parent / str(patch["path"]) if "path" in patch else file
    try:
        return yaml.safe_load(source.read_text(encoding="utf-8") if "path" in patch else str(patch.get("patch", "")))
    except OSError as error:
        raise ManifestError(f"cannot read {source}, which {file} names: {error.strerror}", hint="mend its patches") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ManifestError(f"a patch in {source} is no valid YAML{_where(error)}", hint="mend it there") from error
