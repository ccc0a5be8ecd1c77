"""The results of comparing a system with the settings (``diff``) and of making it match them (``apply``).

Every ``diff`` and every ``apply`` of the command has these columns.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

PRESENT, ABSENT = "present", "absent"
"""Values of ``wanted`` and ``actual`` when something exists on one side only."""

OWNER = "owner"
"""The field of what someone else made."""

Action = Literal["created", "changed", "unchanged", "adopted", "deleted", "retained", "skipped"]
"""What ``apply`` did.

- ``adopted``: it was made by someone else, and stockctl manages it now.
- ``retained``: it is no longer wanted, and stays because it holds data.
- ``skipped``: it differs from the settings, and stockctl does not change it; the detail gives the reason.
"""


class Difference(NamedTuple):
    """One difference between a system and the settings.

    ``kind`` and ``name`` identify the thing that differs, ``field`` its property; the field is empty if the thing exists on one
    side only. ``fix`` is what resolves the difference.
    """

    kind: str
    name: str
    field: str
    wanted: str
    actual: str
    fix: str

    @property
    def summary(self) -> str:
        """The difference in one line, without the fix."""
        words = f"{self.field} is {self.actual or 'not set'}, not {self.wanted or 'set'}" if self.field else self.actual
        return f"{self.kind} {self.name}: {words}"


class Change(NamedTuple):
    """What ``apply`` did to one thing."""

    kind: str
    name: str
    action: Action
    detail: str = ""


def absent(kind: str, name: str, fix: str, *, wanted: str = PRESENT) -> Difference:
    """The difference of a thing that should exist and does not."""
    return Difference(kind, name, "", wanted, ABSENT, fix)


def owned_by_others(kind: str, name: str, fix: str) -> Difference:
    """The difference of a thing that someone else made under a name that stockctl needs."""
    return Difference(kind, name, OWNER, "stockctl", "someone else", fix)
