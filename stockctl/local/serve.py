"""``local up --foreground``: the supervisor's own process, also that which ``local up`` starts in the background."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from stockctl.errors import StockctlError
from stockctl.feed import health
from stockctl.local import services
from stockctl.local.files import StackFiles, file_errors, stack_files
from stockctl.local.ports import choose_ports
from stockctl.local.stop import stop_leftovers
from stockctl.local.supervisor import Supervisor
from stockctl.service import running
from stockctl.settings import STACK_FILE_END, Settings, local_stack_file

_log = logging.getLogger("stockctl.local")


@file_errors()
def serve(settings: Settings, mode: services.Mode, command: Sequence[str], config: Path | None) -> None:
    """Run the supervisor until SIGTERM or Ctrl-C. ``settings`` are the user's, without those of an earlier stack; ``config``
    is their file, if one was named.

    StockctlError if another supervisor is running, or if a service did not stop cleanly.
    """
    files = stack_files(settings)
    with files.hold() as acquired:
        if not acquired:
            raise StockctlError(
                f"the local stack is already running in {files.folder}", hint="`stockctl local status` shows its services"
            )
        with running(settings) as service:
            # A closed terminal stops the stack, as Ctrl-C does.
            signal.signal(signal.SIGHUP, lambda *_: service.stop.set())
            services.check_requirements(settings, mode)
            if mode == "live":
                health.reach(settings)
            stop_leftovers(files, _log.warning)
            ports, changes = choose_ports(files, services.port_names(mode), services.preferred_ports(settings))
            for change in changes:
                _log.warning("%s", change)
            changes += (missing := services.notes())
            for note in missing:
                _log.warning("%s", note)
            plan = services.plan(settings, files, mode, ports, command, config)
            shared = to_toml(plan.shared)
            files.write(shared_file(files), shared)
            files.write(files.state, "{}")  # fails before anything starts if the path cannot be written
            about = {
                "mode": mode,
                "notes": changes,
                "settings": dict(plan.shared),
                "ports": ports,
                "symbols_given": from_command_line(settings),
                "effective": services.effective_settings(plan.settings, settings),
            }
            supervisor = Supervisor(files, services.services_of(plan, files, ports), about, {shared_file(files): shared})
            problems = supervisor.run(service.stop)
    if problems:
        raise StockctlError("the local stack did not stop cleanly: " + "; ".join(problems))


def from_command_line(settings: Settings) -> bool:
    """Whether the symbols are from the command line: then they stay until the stack is stopped."""
    return settings.origin("symbols") == "command line"


def shared_file(files: StackFiles) -> Path:
    """The file with the settings that the stack shares with other commands."""
    return local_stack_file(files.folder.parent)


def to_toml(values: Mapping[str, str | list[str]]) -> str:
    """The content of ``shared_file``: settings by their dotted names, and the line that marks its end."""
    tables: dict[str, list[str]] = {
        "": ["# Written by `stockctl local up`: the addresses of its services. Read by the profile local."]
    }
    for name, value in values.items():
        table, _, key = name.rpartition(".")
        tables.setdefault(table, [f"\n[{table}]"]).append(f"{key} = {json.dumps(value)}")
    return "\n".join([*(line for lines in tables.values() for line in lines), STACK_FILE_END])
