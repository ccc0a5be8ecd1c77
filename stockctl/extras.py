"""The optional packages of stockctl, by the extra that installs them."""

from __future__ import annotations

from importlib.util import find_spec

from stockctl.errors import ConfigError

EXTRAS = {
    "dashboard": ("fastapi", "fastapi_offline", "plotly", "uvicorn"),
    "local": ("noida_db", "secantus", "websockets"),
}
"""The packages that each extra needs, by the name under which they are imported."""


def missing_packages(extra: str) -> list[str]:
    """Those of ``extra`` that are not installed."""
    return [name for name in EXTRAS[extra] if find_spec(name) is None]


def missing_extra(subject: str, extra: str, packages: list[str]) -> ConfigError:
    """The error of ``subject``, which cannot run without ``packages`` of ``extra``."""
    return ConfigError(
        f"{subject} needs the packages {' and '.join(packages)} of the extra `{extra}`",
        hint=f"pip install 'stockctl[{extra}]'",
    )
