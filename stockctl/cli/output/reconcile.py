"""What ``diff``, ``apply`` and ``delete`` commands write, the same for every system."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from stockctl.cli.output.formats import write_rows
from stockctl.cli.output.messages import say, say_dry_run
from stockctl.cli.output.pipe import reader_may_leave
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
    if found := _write_differences(differences, view, print_difference, header=True):
        raise UnhealthyError(
            f"{counted(len(found), 'difference')} between {subject} and the settings", hint="the `fix` of each difference"
        )
    say(f"no differences between {subject} and the settings")


def show_plan(
    differences: Iterable[Difference], view: View, *, print_difference: Callable[[Difference], None] | None = None
) -> None:
    """Write what a command would change, for --dry-run; ``print_difference`` is as in ``show_differences``."""
    say_dry_run(empty=not _write_differences(differences, view, print_difference))


def _write_differences(
    differences: Iterable[Difference],
    view: View,
    print_difference: Callable[[Difference], None] | None,
    *,
    header: bool = False,
) -> list[Difference]:
    """Write the differences, and return them. Only with ``header`` does a table without rows have its header."""
    in_full = print_difference if _in_lines(view) else None
    found: list[Difference] = []
    for difference in differences:
        if in_full is not None:
            in_full(difference)
        found.append(difference)
    if in_full is None:
        view.check(Difference._fields)
        if found or header or not view.is_table:
            rows = (difference._asdict() for difference in found)
            write_rows(rows, view, Difference._fields, main=("name", "field", "wanted", "actual", "fix"))
    return found


def check_change_fields(view: View, *, dry_run: bool = False) -> None:
    """UsageError for an unknown field, before a command changes anything; ``dry_run`` is that of an ``apply``."""
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


def show_changes(changes: Sequence[Change], view: View, *, dry_run: bool = False) -> None:
    """Write what a command changed; for the --dry-run of a ``delete`` command, what it would delete."""
    if changes or not view.is_table:
        write_rows((change._asdict() for change in changes), view, Change._fields)
    if dry_run:
        say_dry_run(empty=not changes)


@contextmanager
def changes_as_they_happen(view: View) -> Iterator[Callable[[Change], None]]:
    """Takes each change of a command that runs for minutes. As a table it is one line at once, unless nothing changed.

    Other formats, fields and a number of rows are written at the end, also when the command fails on the way.
    """
    changes: list[Change] = []

    def show(change: Change) -> None:
        if not _in_lines(view):
            changes.append(change)
        elif change.action != "unchanged":
            with reader_may_leave():
                print(f"{change.action} {change.kind} {change.name}")

    try:
        yield show
    finally:
        if changes:
            show_changes(changes, view)


def _in_lines(view: View) -> bool:
    """Whether lines of text may replace the table."""
    return view.form is Format.table and not view.fields and view.limit is None
