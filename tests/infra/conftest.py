"""Rendered overlays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stockctl.infra.render import Rendered, render
from stockctl.settings import Settings, load_settings

OVERLAYS = ("single-node", "ha")
SECRETS = {
    "STOCKCTL_DASHBOARD__TOKEN": "dashboard-token-of-a-test",
    "STOCKCTL_FINNHUB__TOKEN": "finnhub-token-of-a-test",
    "STOCKCTL_KAFKA__PASSWORD": "kafka-password-of-a-test",
    "STOCKCTL_MONGO__PASSWORD": "mongo-password-of-a-test",
}
PROFILE = """\
[profile.prod]
symbols = ["AAPL", "MSFT"]
[profile.prod.lake]
url = "s3://my-bucket/market"
[profile.prod.s3]
region = "us-east-1"
"""

SettingsOf = Callable[..., Settings]


@pytest.fixture
def settings_of(tmp_path: Path) -> SettingsOf:
    """Settings for a cluster, and others by their name or their environment variable."""
    file = tmp_path / "stockctl.toml"
    file.write_text(PROFILE)

    def made(**more: str) -> Settings:
        environment = {name: value for name, value in more.items() if name.startswith("STOCKCTL_")}
        flags = {name: value for name, value in more.items() if name not in environment}
        return load_settings(profile="prod", config=file, environ=SECRETS | environment, flags=flags, stack=False)

    return made


@pytest.fixture(params=OVERLAYS)
def rendered(request: pytest.FixtureRequest, settings_of: SettingsOf) -> Rendered:
    """Each overlay of the package, rendered with everything that is optional."""
    more = {"infra.mongo_clients": "203.0.113.7/32", "infra.dashboard": "true"}
    return render(settings_of(**{"infra.overlay": request.param} | more))
