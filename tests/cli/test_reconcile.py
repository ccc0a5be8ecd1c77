"""Every ``diff`` and every ``apply`` writes the same columns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from stockctl.cli.main import app
from stockctl.errors import UnhealthyError
from stockctl.reconcile import Change, Difference

DIFFERENCE = Difference("kind", "name", "field", "1", "2", "fix")
CHANGE = Change("kind", "name", "changed", "detail")

# The module that compares and applies for each group, and what opens its client.
GROUPS = {
    "topics": ("stockctl.stream.topics", "stockctl.cli.topics._connect"),
    "connect": ("stockctl.stream.kafka_connect.connector", "stockctl.cli.connect._clients"),
    "mongo": ("stockctl.mongo.schema", "stockctl.cli.mongo.mongo_of"),
    "glue": ("stockctl.warehouse.glue.catalog", "stockctl.cli.warehouse.glue._glue"),
    "spectrum": ("stockctl.warehouse.spectrum.schema", "stockctl.clients.redshift.client.connect"),
    "infra": ("stockctl.infra.diff", "stockctl.clients.kubernetes.client.Kubernetes"),
}


def commands(name: str) -> set[str]:
    """The groups that have a command called ``name``."""
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    return {group for group, command in root.commands.items() if isinstance(command, TyperGroup) and name in command.commands}


@pytest.fixture
def without_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands compare and apply nothing: one difference, and one change, come from each."""

    @contextmanager
    def opened(*_: Any) -> Iterator[Any]:
        yield SimpleNamespace(url="https://cluster")

    @contextmanager
    def opened_with_settings(*_: Any) -> Iterator[tuple[Any, ...]]:
        settings = SimpleNamespace(connect=SimpleNamespace(connector="connector"))
        yield (None, settings)

    @contextmanager
    def opened_twice(*_: Any) -> Iterator[tuple[Any, ...]]:
        yield (None, None, SimpleNamespace(connect=SimpleNamespace(connector="connector")))

    openers = {"topics": lambda _: (None, SimpleNamespace(topics=None)), "connect": opened_twice, "glue": opened_with_settings}
    for group, (module, opener) in GROUPS.items():
        monkeypatch.setattr(opener, openers.get(group, opened))
        monkeypatch.setattr(f"{module}.differences", lambda *_, **__: [DIFFERENCE])
        if group != "infra":
            monkeypatch.setattr(f"{module}.apply", lambda *_, **__: [CHANGE])
    monkeypatch.setattr("stockctl.cli.warehouse.spectrum._lake", lambda _: None)
    monkeypatch.setattr("stockctl.infra.render.render", lambda _: None)
    monkeypatch.setattr(
        import_module("stockctl.cli.infra.render"),  # the package has a function of this name
        "cluster_settings",
        lambda *_: SimpleNamespace(infra=SimpleNamespace(namespace="stockctl")),
    )


def test_the_groups_are_all_there_are() -> None:
    assert commands("diff") == set(GROUPS)
    assert commands("apply") == set(GROUPS) - {"infra"}


@pytest.mark.usefixtures("without_clients")
@pytest.mark.parametrize("group", GROUPS)
def test_every_diff_has_the_same_columns(group: str) -> None:
    result = CliRunner().invoke(app, [group, "diff", "-o", "json"])
    assert isinstance(result.exception, UnhealthyError)
    assert "1 difference between " in str(result.exception)
    assert json.loads(result.stdout) == [DIFFERENCE._asdict()]


@pytest.mark.usefixtures("without_clients")
@pytest.mark.parametrize("group", sorted(set(GROUPS) - {"infra"}))
def test_every_apply_has_the_same_columns(group: str) -> None:
    result = CliRunner().invoke(app, [group, "apply", "-o", "json"])
    assert result.exception is None
    assert json.loads(result.stdout) == [CHANGE._asdict()]
