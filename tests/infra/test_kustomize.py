"""Building kustomizations: what is supported does as kustomize does, and everything else is refused by name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from stockctl.infra.kustomize import Manifest, ManifestError, build, containers, set_image

WORKLOAD = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: one}
spec:
  selector: {matchLabels: {app: one}}
  template:
    metadata: {labels: {app: one}}
    spec:
      initContainers: [{name: first, image: "stockctl:1"}]
      containers: [{name: main, image: stockctl}, {name: other, image: stockctl-connect}]
---
apiVersion: v1
kind: Namespace
metadata: {name: any}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: one}
data: {a: "1"}
"""


def kustomization(folder: Path, text: str, **files: str) -> list[Manifest]:
    """Build a folder with ``kustomization.yaml`` of ``text``, and ``files`` by name beside it."""
    folder.mkdir(exist_ok=True)
    (folder / "kustomization.yaml").write_text(text)
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(content)
    return build(folder)


def test_resources_keep_their_order(tmp_path: Path) -> None:
    kustomization(tmp_path / "base", "resources: [all.yaml]", all=WORKLOAD)
    more = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: two}\n"
    found = kustomization(tmp_path / "over", "resources: [../base, more.yaml]", more=more)
    assert [(manifest["kind"], manifest["metadata"]["name"]) for manifest in found] == [
        ("Deployment", "one"),
        ("Namespace", "any"),
        ("ConfigMap", "one"),
        ("ConfigMap", "two"),
    ]


def test_a_namespace_applies_to_namespaced_objects(tmp_path: Path) -> None:
    deployment, namespace, config = kustomization(tmp_path, "namespace: mine\nresources: [all.yaml]", all=WORKLOAD)
    assert deployment["metadata"]["namespace"] == config["metadata"]["namespace"] == "mine"
    assert namespace["metadata"] == {"name": "mine"}


@pytest.mark.parametrize("templates", [True, False])
def test_labels_apply_to_objects_and_templates_but_not_selectors(tmp_path: Path, templates: bool) -> None:
    text = f"resources: [all.yaml]\nlabels: [{{pairs: {{a: b}}, includeTemplates: {str(templates).lower()}}}]"
    deployment, *others = kustomization(tmp_path, text, all=WORKLOAD)
    assert all(each["metadata"]["labels"] == {"a": "b"} for each in [deployment, *others])
    assert deployment["spec"]["template"]["metadata"]["labels"] == {"app": "one"} | ({"a": "b"} if templates else {})
    assert deployment["spec"]["selector"] == {"matchLabels": {"app": "one"}}


@pytest.mark.parametrize(
    ("change", "images"),
    [
        ("newTag: '2'", ["stockctl:2", "stockctl:2", "stockctl-connect"]),
        ("newName: here/it", ["here/it:1", "here/it", "stockctl-connect"]),
        ("newName: here/it, newTag: '2'", ["here/it:2", "here/it:2", "stockctl-connect"]),
    ],
)
def test_an_image_is_changed_by_its_full_name(tmp_path: Path, change: str, images: list[str]) -> None:
    text = f"resources: [all.yaml]\nimages: [{{name: stockctl, {change}}}]"
    spec = kustomization(tmp_path, text, all=WORKLOAD)[0]["spec"]["template"]["spec"]
    assert [container["image"] for container in spec["initContainers"] + spec["containers"]] == images


@pytest.mark.parametrize(
    ("image", "renamed", "tagged"),
    [
        ("registry:5000/it", "here", "registry:5000/it:2"),
        ("registry:5000/it:1", "here:1", "registry:5000/it:2"),
        ("registry:5000/it:1@sha256:ab", "here:1@sha256:ab", "registry:5000/it:2"),
        ("registry:5000/it@sha256:ab", "here@sha256:ab", "registry:5000/it:2"),
    ],
)
def test_an_image_name_may_contain_a_port(image: str, renamed: str, tagged: str) -> None:
    def change(name: str | None = None, tag: str | None = None) -> Any:
        pod = {"spec": {"containers": [{"name": "one", "image": image}]}}
        manifest: Manifest = {"kind": "Job", "metadata": {"name": "one"}, "spec": {"template": pod}}
        assert set_image([manifest], "registry:5000/it", name, tag)
        return containers(manifest)[0]["image"]

    assert (change(name="here"), change(tag="2")) == (renamed, tagged)


def test_a_patch_changes_only_its_target(tmp_path: Path) -> None:
    patch = "patches: [{target: {kind: ConfigMap, name: one}, patch: '- {op: replace, path: /data/a, value: \"2\"}'}]"
    deployment, _, config = kustomization(tmp_path, f"resources: [all.yaml]\n{patch}", all=WORKLOAD)
    assert config["data"] == {"a": "2"}
    assert "data" not in deployment


def test_a_patch_of_an_aliased_value_changes_one_place(tmp_path: Path) -> None:
    both = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\na: &a {b: 1}\nc: *a\n"
    patch = "patches: [{target: {name: one}, patch: '- {op: add, path: /a/b, value: 2}'}]"
    (config,) = kustomization(tmp_path, f"resources: [both.yaml]\n{patch}", both=both)
    assert (config["a"], config["c"]) == ({"b": 2}, {"b": 1})


@pytest.mark.parametrize(
    ("text", "content", "said"),
    [
        ("configMapGenerator: []", WORKLOAD, "kustomization.yaml uses configMapGenerator, which stockctl does not support"),
        ("resources: [none.yaml]", WORKLOAD, "names none.yaml, which does not exist"),
        ("resources: [all.yaml]", "a: [", "all.yaml is not valid YAML, line 1: "),
        ("resources: [all.yaml]", "a: 1", "all.yaml contains a document without apiVersion and kind"),
        ("resources: [all.yaml]", "apiVersion: v1\nkind: Secret", "all.yaml contains a Secret without metadata.name"),
        ("resources: [all.yaml, all.yaml]", WORKLOAD, "duplicate ConfigMap one, Deployment one, Namespace any"),
        (
            "resources: [all.yaml]\npatches: [{target: {kind: Job}, patch: '[]'}]",
            WORKLOAD,
            "a patch for Job, which does not exist",
        ),
        (
            "resources: [all.yaml]\npatches: [{target: {name: any}, patch: '- {op: remove, path: /data/x}'}]",
            WORKLOAD,
            "the patch of any cannot be applied: .*data",
        ),
        ("resources: [all.yaml]\npatches: [{patch: '[]'}]", WORKLOAD, "patches with a target of kind and name only"),
        ("resources: [all.yaml]\npatches: [{target: {name: any}, patch: 'a: 1'}]", WORKLOAD, "is not a list of operations"),
        ("resources: [all.yaml]\npatches: [{target: {name: any}, path: none.yaml}]", WORKLOAD, "cannot read .*none.yaml"),
        ("resources: [all.yaml]\nlabels: [{pairs: {a: b}, includeSelectors: true}]", WORKLOAD, "labels use includeSelectors"),
        ("resources: [all.yaml]\nimages: [{name: a, digest: b}]", WORKLOAD, "images use digest"),
        ("resources: all.yaml", WORKLOAD, "kustomization.yaml is invalid: resources is not a list"),
        ("resources: [1]", WORKLOAD, "kustomization.yaml is invalid: resources\\[0\\] is not a string"),
        ("images: [{newTag: a}]", WORKLOAD, "kustomization.yaml is invalid: images\\[0\\].name is missing"),
        (
            "resources: [all.yaml]",
            WORKLOAD.replace("image: stockctl}", "imag: a}"),
            "all.yaml: Deployment one is invalid: spec.template.spec.containers\\[0\\].image is missing",
        ),
        (
            "resources: [all.yaml]",
            WORKLOAD.replace("  template:", "  replicas: true\n  template:"),
            "Deployment one is invalid: spec.replicas is not an integer",
        ),
        (
            "resources: [all.yaml]",
            WORKLOAD.replace('a: "1"', "a: 1"),
            "all.yaml: ConfigMap one is invalid: data.a is not a string",
        ),
        (
            "resources: [all.yaml]\npatches: [{target: {kind: Deployment}, patch: '- {op: remove, path: /spec/template}'}]",
            WORKLOAD,
            "kustomization.yaml: Deployment one is invalid: spec.template is missing",
        ),
        ("resources: [all.yaml]\npatches: [{target: , patch: '[]'}]", WORKLOAD, "patches with a target of kind and name only"),
        *(
            (
                f"resources: [all.yaml]\npatches: [{{target: {{kind: ConfigMap}}, patch: '- {step}'}}]",
                WORKLOAD,
                f"kustomization.yaml: ConfigMap one is invalid: {said}, after the patch of ConfigMap",
            )
            for step, said in (
                ("{op: remove, path: /kind}", "kind is missing"),
                ("{op: remove, path: /metadata}", "metadata is missing"),
                ("{op: remove, path: /metadata/name}", "metadata.name is missing"),
                ('{op: replace, path: "", value: text}', "it is not a mapping"),
                ('{op: replace, path: "", value: [1]}', "it is not a mapping"),
            )
        ),
        *(
            (
                f"resources: [all.yaml]\npatches: [{{target: {{name: one}}, patch: '- {step}'}}]",
                WORKLOAD,
                "the patch of one cannot be applied",
            )
            for step in ("1", "text", "{op: 1, path: /data}", "{op: remove, path: 1}", "[]")
        ),
    ],
)
def test_invalid_and_unsupported_input_is_named(tmp_path: Path, text: str, content: str, said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        kustomization(tmp_path, text, all=content)


def test_null_means_absent(tmp_path: Path) -> None:
    (config,) = kustomization(
        tmp_path, "resources: [one.yaml]", one="apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata:"
    )
    assert "data" not in config


def test_the_result_equals_that_of_kustomize() -> None:
    """``expected.yaml`` is what `kubectl kustomize over` (kustomize 5.5.0) wrote."""
    folder = Path(__file__).with_name("kustomized")

    def by_name(manifests: Iterable[Manifest]) -> dict[tuple[str, str], Manifest]:
        return {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in manifests}

    expected = by_name(yaml.safe_load_all((folder / "expected.yaml").read_text()))
    assert len(expected) == 9
    assert by_name(build(folder / "over")) == expected
