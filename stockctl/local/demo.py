"""``local demo``: the whole way of a trade once, with the same commands that anybody may type afterwards."""

from __future__ import annotations

import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from stockctl.errors import StockctlError
from stockctl.lake.reader.catalog import LakeReader
from stockctl.lake.reader.inventory import inventory
from stockctl.local import stack
from stockctl.local.files import file_errors
from stockctl.local.services import environment_of
from stockctl.settings import Settings, load_settings
from stockctl.units import counted, format_duration, format_size


@file_errors()
def demo(settings: Settings, command: Sequence[str], config: Path | None, *, seconds: float, say: stack.Say) -> list[str]:
    """Show the live table for ``seconds``, stop, prove the lake, and show what came into it; the symbols shown.

    ``command`` is how to call ``stockctl``, ``config`` the file of the settings, if one was named. A stack that runs already is
    used and left running; one that is started here is stopped, whatever happens. Ctrl-C during the live table shortens it.
    StockctlError names every step that went wrong.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    files = stack.files_of(settings)
    held = stack.current(files)
    own = not files.held or held.get("phase") == "stopping"
    wrong: list[str] = []

    def show(*arguments: str) -> None:
        say(f"\n$ stockctl {shlex.join(arguments)}")
        if code := _run([*command, *arguments], environment):
            wrong.append(f"`stockctl {arguments[0]} {arguments[1]}` ended with exit {code}")

    try:
        state = stack.up(settings, held.get("mode", "sim"), [*command, "local", "up", "--foreground"], config, say=say)
        symbols: list[str] = state["settings"]["symbols"]
        # What the user's shell says otherwise of Kafka and lake is not about this stack.
        environment = environment_of(state["settings"])
        lake = load_settings(profile="local", config=config, environ=environment)
        before = totals(lake)
        show("metrics", "watch", "--for", format_duration(seconds).replace(" ", ""))
        show("mongo", "status")
        died = [row for row in stack.status(settings) if row.restarts or row.state != "running"]
        wrong += [f"{row.part} is {row.state} after {counted(row.restarts, 'restart')}" for row in died]
    finally:
        if own and files.held:
            say("\n$ stockctl local down")
            wrong += stack.down(settings, say=say)
    show("lake", "verify", "--deep")
    after = totals(lake)
    say(f"\nin {lake.lake.url}, with what came in this time:")
    for table, (objects, rows, size) in after.items():
        had = before.get(table, (0, 0, 0))
        say(
            f"  {table:<12} {rows:,} rows (+{rows - had[1]:,}) in {objects:,} objects (+{objects - had[0]:,}), "
            f"{format_size(size)} (+{format_size(size - had[2])})"
        )
        if own and rows == had[1]:
            wrong.append(f"nothing came into {table}")
    if not after:
        wrong.append("the lake is empty")
    show("metrics", "summary", *symbols)
    if wrong:
        raise StockctlError("the demo went wrong: " + "; ".join(wrong), hint=f"see {files.folder / 'logs'}")
    return symbols


def totals(settings: Settings) -> dict[str, tuple[int, int, int]]:
    """Objects, rows and bytes of each of the lake's tables."""
    found: dict[str, tuple[int, int, int]] = {}
    with LakeReader(settings) as lake:
        for one in inventory(lake):
            objects, rows, size = found.get(one.table, (0, 0, 0))
            found[one.table] = (objects + one.objects, rows + one.rows, size + one.bytes)
    return found


def _run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run in the foreground; the exit code. Ctrl-C is the command's to answer, and we wait for its answer."""
    with subprocess.Popen(command, env=environment) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            try:
                # The terminal's Ctrl-C has reached it as well; SIGTERM to us alone has not.
                return process.wait(2)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
                return process.wait()
