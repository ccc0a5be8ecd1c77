"""``local reset``: delete the stack's data and its lakes."""

from __future__ import annotations

import logging
import shutil
from typing import NamedTuple

from stockctl.errors import StockctlError
from stockctl.local.files import file_errors, stack_files
from stockctl.local.stop import stop_leftovers
from stockctl.settings import Settings

_log = logging.getLogger("stockctl.local")


class DataFolder(NamedTuple):
    """A folder with data of the stack, and its size in bytes."""

    folder: str
    bytes: int


@file_errors()
def data_folders(settings: Settings) -> list[DataFolder]:
    """The folders that ``reset`` deletes."""
    state_dir = settings.state_dir.absolute()
    folders = [state_dir / name for name in ("local", "lake", "lake-live") if (state_dir / name).is_dir()]
    return [
        DataFolder(str(folder), sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())) for folder in folders
    ]


@file_errors()
def require_stopped(settings: Settings) -> None:
    """StockctlError if the stack is running. Creates nothing."""
    if stack_files(settings).held:
        raise _running()


@file_errors()
def reset(settings: Settings) -> None:
    """Delete the stack's state and its lakes below ``state_dir``. StockctlError while it is running."""
    files = stack_files(settings)
    with files.hold() as acquired:
        if not acquired:
            raise _running()
        stop_leftovers(files, _log.warning)
        # The folder with the lock goes last: no stack may start on a lake that is being deleted.
        for data in reversed(data_folders(settings)):
            shutil.rmtree(data.folder)


def _running() -> StockctlError:
    return StockctlError("the local stack is running", hint="stop it first: `stockctl local down`")
