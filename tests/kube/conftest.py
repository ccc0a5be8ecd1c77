"""One API server for the session; each test uses its own namespace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stockctl.settings import Settings
from tests.command import Command
from tests.conftest import mark_below
from tests.infra.conftest import PROFILE, SECRETS, SettingsOf, settings_of
from tests.kube.kubelet import Kubelet
from tests.kube.server import Kube
from tests.kube.standing import stand

__all__ = ["settings_of"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests in this folder need the API server."""
    mark_below(Path(__file__).parent, items, "kube")


@pytest.fixture(scope="session")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    """A running API server with its controllers."""
    server = Kube(tmp_path_factory.mktemp("kube"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def command(kube: Kube, tmp_path: Path) -> Command:
    """The command with the profile of a cluster and its kubeconfig."""
    (tmp_path / "stockctl.toml").write_text(PROFILE)
    namespace = tmp_path.name.replace("_", "-")
    return Command(
        tmp_path, STOCKCTL_PROFILE="prod", KUBECONFIG=str(kube.kubeconfig), STOCKCTL_INFRA__NAMESPACE=namespace, **SECRETS
    )


@pytest.fixture
def own_settings(command: Command, settings_of: SettingsOf) -> Settings:
    """The settings of the command."""
    names = {"infra.namespace": "STOCKCTL_INFRA__NAMESPACE", "infra.kubeconfig": "KUBECONFIG"}
    return settings_of(**{name: command.environment[variable] for name, variable in names.items()})


@pytest.fixture
def kubelet(kube: Kube, command: Command) -> Iterator[Kubelet]:
    """The fake kubelet of the command's namespace."""
    playing = Kubelet(kube, command.environment["STOCKCTL_INFRA__NAMESPACE"])
    with playing.running():
        yield playing


@pytest.fixture
def up(command: Command, kubelet: Kubelet, own_settings: Settings) -> Command:
    """The command, after everything is ready."""
    stand(own_settings)
    return command
