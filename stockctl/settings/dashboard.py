"""The settings of ``dashboard``."""

from __future__ import annotations

from pydantic import Field, SecretStr

from stockctl.settings.addresses import Host
from stockctl.settings.types import Duration, NameList, Section

SHORTEST_TOKEN = 16
"""Fewest characters of ``dashboard.token``."""


class DashboardSettings(Section):
    """The live page, and the API behind it."""

    bind: Host = Field(
        "127.0.0.1", min_length=1, description="Address to listen on. Other addresses than the loopback need dashboard.token."
    )
    port: int = Field(8765, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    token: SecretStr | None = Field(None, description="Token that a browser needs, from 16 characters on.")
    hosts: NameList = Field(
        [], description="Names under which browsers reach the page besides localhost and dashboard.bind, without ports."
    )
    requests_per_second: int = Field(20, gt=0, description="Requests per second of one client; the rest is answered with 429.")
    frame_every: Duration = Field(0.25, ge=0.05, description="Shortest time between two updates of a view.")
    max_trades: int = Field(10_000, gt=0, description="Most trades in one answer of /api/trades.")
    max_views: int = Field(64, gt=0, description="Views that are kept up to date at the same time.")

    @property
    def address(self) -> str:
        """The page's address for a browser on the machine that serves it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.bind, self.bind)  # noqa: S104  # addresses that mean all
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
