"""The registry of engines: where metrics are computed.

To add an engine, write a module in this folder with a class that implements ``stockctl.metrics.engines.base.Engine``, and add a
line to ``ENGINES``. ``--engine`` offers every name in it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stockctl.metrics.engines.base import Engine

ENGINES = {
    "lake": "LakeEngine",
    "mongo": "MongoEngine",
    "redshift": "RedshiftEngine",
}
"""The class of each engine, in the module of this folder that has the engine's name. Modules load on first use."""

DEFAULT_ENGINE = "lake"


def engine_class(name: str) -> type[Engine]:
    """The class of the engine ``name``. KeyError if there is no such engine."""
    loaded: type[Engine] = getattr(import_module(f"{__package__}.{name}"), ENGINES[name])
    return loaded
