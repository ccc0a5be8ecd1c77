"""Unexpected errors: logged with where they were, so that what they happen in can go on."""

from __future__ import annotations

import logging
import traceback

log = logging.getLogger("stockctl.dashboard")

HINT = "the log of the dashboard says where; report it: this is a defect of stockctl"


def log_defect(doing: str, error: BaseException) -> str:
    """Log that ``doing`` failed with ``error``, and where; what a browser may read of it."""
    place = "".join(traceback.format_tb(error.__traceback__))
    # Not its text, which may have what a log must not.
    log.error("%s failed: unexpected %s\n%s", doing, type(error).__name__, place)
    return f"unexpected {type(error).__name__}"
