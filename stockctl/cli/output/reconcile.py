"""What ``diff``, ``apply`` and ``delete`` commands write, the same for every system."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from stockctl.cli.output.formats import write_rows
from stockctl.cli.output.messages import say, say_dry_run
from stockctl.cli.output.view import Format, View
from stockctl.errors import UnhealthyError
from stockctl.reconcile import Change, Difference
from stockctl.units import counted


def show_differences(
    differences: Iterable[Difference],
    view: View,
    subject: str,
    *,
    print_difference: Callable[[Difference], None] | None = None,
) -> None:
    """Write what a ``diff`` command found; UnhealthyError if there is a difference.

    ``subject`` is what was compared with the settings, such as "the topics". ``print_difference`` replaces the table: it is
    called for each difference as soon as it is known, unless the user asks for fields or a number of rows.
    """
    in_full = print_difference if view.form is Format.table and not view.fields and view.limit is None else None
    found: list[Difference] = []
    for difference in differences:
        if in_full is not None:
            in_full(difference)
        found.append(difference)
    if in_full is None:
        write_rows(
            (difference._asdict() for difference in found),
            view,
            Difference._fields,
            main=("name", "field", "wanted", "actual", "fix"),
        )
    if found:
        raise UnhealthyError(
            f"{counted(len(found), 'difference')} between {subject} and the settings", hint="the `fix` of each difference"
        )
    say(f"no differences between {subject} and the settings")


def show_plan(differences: Iterable[Difference], view: View) -> None:
    """Write what a command would change, for --dry-run."""
    found = list(differences)
    view.check(Difference._fields)
    if found or not view.is_table:
        write_rows((difference._asdict() for difference in found), view, Difference._fields)
    say_dry_run(empty=not found)


def check_change_fields(view: View, *, dry_run: bool = False) -> None:
    """UsageError for an unknown field, before an ``apply`` or ``delete`` command changes anything."""
    view.check(Difference._fields if dry_run else Change._fields)


def show_apply(
    view: View,
    *,
    dry_run: bool,
    differences: Callable[[], Iterable[Difference]],
    apply: Callable[[], Sequence[Change]],
) -> None:
    """Apply, and write what was done; for --dry-run, write what would be changed. UnhealthyError if something was skipped."""
    if dry_run:
        show_plan(differences(), view)
        return
    changes = apply()
    show_changes(changes, view)
    if skipped := [f"{change.kind} {change.name}" for change in changes if change.action == "skipped"]:
        raise UnhealthyError(f"skipped: {', '.join(skipped)}", hint="the `detail` of each")


def show_changes(changes: Sequence[Change], view: View) -> None:
    """Write what a command changed, or what it would change."""
    write_rows((change._asdict() for change in changes), view, Change._fields)
