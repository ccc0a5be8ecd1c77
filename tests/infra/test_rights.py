"""The permissions of an operator: the manifest grants exactly those in docs/deploy.md."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_the_manifest_grants_the_permissions_in_the_docs() -> None:
    """Each row of the page's table: scope, verbs, resources."""
    page = (ROOT / "docs" / "deploy.md").read_text()
    rows = re.findall(r"^\| (cluster|namespace) \| ([^|]+) \| ([^|]+) \|", page, re.MULTILINE)
    assert len(rows) == 5
    documented = {
        (where, verb, resource)
        for where, verbs, resources in rows
        for verb in re.findall(r"`(\w+)`", verbs)
        for resource in re.findall(r"[a-z]+(?:/[a-z]+)?", resources)
    }
    places = {"ClusterRole": "cluster", "Role": "namespace"}
    granted = {
        (places[role["kind"]], verb, resource)
        for role in yaml.safe_load_all((ROOT / "manifests" / "rbac" / "operator.yaml").read_text())
        for rule in role["rules"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
    }
    assert granted == documented
