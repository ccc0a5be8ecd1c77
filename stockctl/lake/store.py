"""Opening a lake that exists: reading commands create nothing."""

from __future__ import annotations

from pathlib import Path

from stockctl.clients.object_store import Store, folder_of_url, open_store
from stockctl.errors import ConfigError
from stockctl.lake.format.keys import LAKE_FOLDERS
from stockctl.settings import Settings, require

_SHOWN = 3
"""Names shown of a folder that is not a lake."""


class NoLakeError(ConfigError):
    """The folder in ``lake.url`` does not exist or is not a lake: nothing has been written yet, or the setting is wrong."""


def existing_store(settings: Settings) -> Store:
    """The store at ``lake.url``, for readers. It creates nothing. NoLakeError if the folder does not exist or is not a lake."""
    url = str(require(settings, "lake.url"))
    if url.startswith("file:") and (problem := _no_lake(folder_of_url(url))) is not None:
        raise NoLakeError(
            f"there is no lake at {url}, which lake.url names (from {settings.origin('lake.url')}): {problem}",
            hint="correct lake.url, or fill a new lake there: `stockctl consume s3`, or `stockctl local up`",
        )
    return open_store(settings)


def _no_lake(folder: Path) -> str | None:
    """Why ``folder`` is not a lake; None if it is one, or if it has no files yet."""
    if not folder.is_dir():
        return "that is not a folder" if folder.exists() else "the folder does not exist"
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return None  # the first request to the store reports it
    others = sorted(name for name in names if not name.startswith(".") and name != "lost+found")  # files of the volume itself
    if not others or any(name in names for name in LAKE_FOLDERS):
        return None
    more = len(others) - _SHOWN
    return f"the folder has other files: {', '.join(others[:_SHOWN])}{f' and {more} more' if more > 0 else ''}"
