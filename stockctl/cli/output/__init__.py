"""Output of the commands: data on stdout in the format that the user asks for, messages and progress on stderr."""

from stockctl.cli.output.console import console, progress
from stockctl.cli.output.formats import numbered, write_arrow, write_object, write_objects, write_rows
from stockctl.cli.output.messages import YesOption, confirm, report_error, say, say_dry_run, set_quiet
from stockctl.cli.output.numbers import amount, amounts, is_number, named, plain
from stockctl.cli.output.pipe import reader_has_left, reader_may_leave
from stockctl.cli.output.reconcile import (
    changes_as_they_happen,
    check_change_fields,
    show_apply,
    show_changes,
    show_differences,
    show_plan,
)
from stockctl.cli.output.view import Format, OutputOption, View, record_options, row_options

__all__ = [
    "Format",
    "OutputOption",
    "View",
    "YesOption",
    "amount",
    "amounts",
    "changes_as_they_happen",
    "check_change_fields",
    "confirm",
    "console",
    "is_number",
    "named",
    "numbered",
    "plain",
    "progress",
    "reader_has_left",
    "reader_may_leave",
    "record_options",
    "report_error",
    "row_options",
    "say",
    "say_dry_run",
    "set_quiet",
    "show_apply",
    "show_changes",
    "show_differences",
    "show_plan",
    "write_arrow",
    "write_object",
    "write_objects",
    "write_rows",
]
