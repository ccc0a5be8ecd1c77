"""``local demo``: the whole pipeline once, by the commands that you would type yourself."""

from __future__ import annotations

import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from stockctl.errors import StockctlError
from stockctl.lake.reader.inventory import inventory
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.local.files import file_errors, stack_files
from stockctl.local.services import environment_of
from stockctl.local.start import start
from stockctl.local.status import current_state, page_of, status
from stockctl.local.stop import stop
from stockctl.settings import Settings, load_settings
from stockctl.units import counted, format_duration, format_size


@file_errors()
def demo(
    settings: Settings, command: Sequence[str], config: Path | None, *, seconds: float, notify: Callable[[str], None]
) -> list[str]:
    """Show the live table for ``seconds``, stop, verify the lake, and show its new rows; the symbols.

    ``command`` calls ``stockctl``; ``config`` is the configuration file, if one was named. A running stack is used and left
    running; one that the demo starts is always stopped again. Ctrl-C shortens the live table. StockctlError names every step
    that failed.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    files = stack_files(settings)
    before_start = current_state(files)
    own = not files.held or before_start.get("phase") == "stopping"
    failures: list[str] = []

    def show(*arguments: str) -> None:
        notify(f"\n$ stockctl {shlex.join(arguments)}")
        if code := _run([*command, *arguments], environment):
            failures.append(f"`stockctl {arguments[0]} {arguments[1]}` exited with code {code}")

    try:
        supervisor = [*command, "local", "up", "--foreground"]
        state = start(settings, before_start.get("mode", "sim"), supervisor, config, notify=notify)
        symbols: list[str] = state["settings"]["symbols"]
        # The stack's own settings override the user's environment variables.
        environment = environment_of(state["settings"])
        lake = load_settings(profile="local", config=config, environ=environment)
        before = lake_totals(lake)
        for note in state["notes"]:
            notify(f"note: {note}")
        if page := page_of(state):
            notify(f"\nthe dashboard is at {page} while the demo runs")
        show("metrics", "watch", "--for", format_duration(seconds).replace(" ", ""))
        show("mongo", "status")
        died = [each for each in status(settings) if each.restarts or each.state != "running"]
        failures += [f"{each.service} is {each.state} after {counted(each.restarts, 'restart')}" for each in died]
    finally:
        if own and files.held:
            notify("\n$ stockctl local down")
            failures += stop(settings, notify=notify)
    show("lake", "verify", "--deep")
    after = lake_totals(lake)
    notify(f"\nrows in {lake.lake.url}, and how many of them are new:")
    for table, (objects, rows, size) in after.items():
        previous = before.get(table, (0, 0, 0))
        notify(
            f"  {table:<12} {rows:,} rows (+{rows - previous[1]:,}) in {objects:,} objects (+{objects - previous[0]:,}), "
            f"{format_size(size)} (+{format_size(size - previous[2])})"
        )
        if own and rows == previous[1]:
            failures.append(f"no new rows in {table}")
    if not after:
        failures.append("the lake is empty")
    show("metrics", "summary", *symbols)
    if failures:
        raise StockctlError("the demo failed: " + "; ".join(failures), hint=f"see the logs in {files.folder / 'logs'}")
    return symbols


def lake_totals(settings: Settings) -> dict[str, tuple[int, int, int]]:
    """Objects, rows and bytes of each of the lake's tables."""
    totals: dict[str, tuple[int, int, int]] = {}
    with LakeReader(settings) as lake:
        for each in inventory(lake):
            objects, rows, size = totals.get(each.table, (0, 0, 0))
            totals[each.table] = (objects + each.objects, rows + each.rows, size + each.bytes)
    return totals


def _run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run in the foreground; the exit code. The command handles Ctrl-C itself, and this waits for it."""
    with subprocess.Popen(command, env=environment) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            try:
                # A Ctrl-C of the terminal reached the command too; SIGTERM to this process did not.
                return process.wait(2)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
                return process.wait()
