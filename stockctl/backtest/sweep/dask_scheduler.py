"""A sweep on the workers of a Dask scheduler: each reads the lake itself, with the settings of its own machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from stockctl.backtest.lake_run import Failure
from stockctl.backtest.sweep.sweep import Run, caught, results_of
from stockctl.backtest.sweep.work import LakeData, Trial, Work
from stockctl.errors import ConfigError, UnreachableError
from stockctl.settings import Settings, load_settings

_WAIT = 10.0
"""Seconds that a scheduler may take to answer."""


def connect(address: str) -> Any:
    """A client of the scheduler at ``address``.

    ConfigError without the package; UnreachableError if no scheduler answers.
    """
    try:
        # Its functions have no types.
        distributed: Any = import_module("distributed")
    except ImportError:
        raise ConfigError("--scheduler needs Dask", hint="pip install 'stockctl[scale]'") from None
    try:
        return distributed.Client(address, timeout=_WAIT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UnreachableError(
            f"no Dask scheduler answers at {address}: {error}",
            hint="start one with `dask scheduler`, and workers with `dask worker`",
        ) from error


def run_on(client: Any) -> Run:
    """Runs work on the workers of ``client``. What is not done is cancelled when the caller stops."""

    def run(work: Sequence[Work]) -> Iterator[list[Trial]]:
        distributed: Any = import_module("distributed")
        # No secret is sent: a worker has its own settings.
        tasks = [_without_settings(each) for each in work]
        futures: Any = [client.submit(_work, each, flags, pure=False) for each, flags in tasks]
        try:
            for _, found in distributed.as_completed(futures, with_results=True, loop=client.loop):
                yield results_of(found)
        finally:
            client.cancel(futures)

    return run


def _without_settings(work: Work) -> tuple[Work, dict[str, Any]]:
    if not isinstance(work.data, LakeData):
        return work, {}
    lake = work.data.settings.lake
    flags = {"lake.url": lake.url, "lake.timezone": lake.timezone, "lake.partition_by": lake.partition_by}
    nothing: Any = None
    return work._replace(data=work.data._replace(settings=nothing)), {name: str(value) for name, value in flags.items()}


_SETTINGS: dict[str, Settings] = {}


def _work(work: Work, flags: dict[str, str]) -> list[Trial] | Failure:
    """Run ``work`` on a worker."""
    if flags and isinstance(work.data, LakeData):
        key = repr(sorted(flags.items()))
        if key not in _SETTINGS:
            _SETTINGS[key] = load_settings(flags=dict(flags))
        work = work._replace(data=work.data._replace(settings=_SETTINGS[key]))
    return caught(work)
