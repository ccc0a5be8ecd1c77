"""One grammar: an option means the same in every command, and what changes something can be tried with --dry-run."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import pytest

from stockctl.cli.main import app
from tests.cli.test_main import LEAVES

CHANGING = (
    "apply",
    "compact",
    "delete",
    "down",
    "fetch",
    "init",
    "prune",
    "replay",
    "reset",
    "restart",
    "run",
    "sync",
    "up",
)
"""Last words of commands that change a store, a broker, a catalog or a cluster."""
PROCESSES = {"local up", "local down", "signals run"}
"""These start and stop processes on this machine; `status` shows them, and nothing is deleted."""
COMPUTES = {"backtest run"}
"""These run what the user names, and change nothing."""
CHANGES = [name for name in LEAVES if name.split()[-1] in CHANGING and name not in PROCESSES | COMPUTES]
ONE_THING = {"config init", "connect restart", "strategies init"}
"""These change one thing, which a message names."""
ASK = {
    "connect delete": "the configuration may have been changed in Kafka Connect",
    "glue delete": "--adopt took over tables that someone else made",
    "infra down": "trades of the time until `infra up` are lost, and with --delete-data the volumes",
    "lake prune": "data",
    "local reset": "data",
}
"""Commands that delete what no other command can make again: that is what they ask about."""

OWN_THING = {
    "--adopt": "Glue has crawlers, Redshift has views",
    "--all": "the list of the command says of what",
    "--before": "one command compacts these dates, the other deletes them",
    "--last": "periods of a statement, or filings of each symbol",
    "--prune": "of Redshift's tables only those that Glue does not manage",
    "--replay": "the simulator sends the frames, produce decodes them",
    "--seed": "of the simulator's rows, or of the cuts of a check",
    "--session": "metrics look for hours with trades, `lake gaps` for hours that have begun",
    "--since": "some commands know dates alone",
    "--timeout": "one command waits for pods, the other for their end",
    "--workers": "the symbols of a run, or the sets of a sweep",
}
"""Options whose help names the thing that they are about, with the reason why it differs."""


def options() -> dict[str, dict[str, Any]]:
    """Every option with the commands that have it."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for name, command in LEAVES.items():
        for parameter in command.params:
            for flag in parameter.opts:
                if flag.startswith("--") and not parameter.hidden:
                    found[flag][name] = parameter
    return found


@pytest.mark.parametrize("flag", sorted(options()))
def test_an_option_means_the_same_in_every_command(flag: str) -> None:
    commands = options()[flag]
    # A date is a time to commands that know dates alone.
    kinds = {name: (each.is_flag, each.multiple, str(each.metavar).replace("DATE", "TIME")) for name, each in commands.items()}
    assert len(set(kinds.values())) == 1, kinds
    texts = {parameter.help for parameter in commands.values()}
    assert (len(texts) == 1) == (flag not in OWN_THING), texts


NOUN = r"[A-Z]+"
SHOWN = re.compile(rf"{NOUN}(,{NOUN})*(\|[A-Za-z]+|\|-)*|[a-z-]+(\|[a-z-]+)+")
"""What stands for a value in help: an upper-case noun, or the values to choose from, as they are typed."""


@pytest.mark.parametrize("name", LEAVES)
def test_help_shows_each_value_as_an_upper_case_noun_or_as_its_choices(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app([*name.split(), "--help"])
    usage, _, rest = capsys.readouterr().out.partition("\n\n")
    arguments = re.sub(r"\s+", " ", usage).partition("[OPTIONS]")[2].split()
    for argument in arguments:
        assert SHOWN.fullmatch(argument.removesuffix("...").strip("[]")), argument
    for line in rest.splitlines():
        if option := re.match(r"  (?:-\w, )?--[a-z-]+(?: / --[a-z-]+)?(?: (\S+))?(?:  |$)", line):
            assert option[1] is None or SHOWN.fullmatch(option[1]), line
    documented = re.findall(r"^  (\S+)", rest.partition("Arguments:\n")[2].partition("\n\n")[0], re.MULTILINE)
    assert documented == arguments


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_something_has_a_dry_run(name: str) -> None:
    (option,) = [parameter for parameter in LEAVES[name].params if "--dry-run" in parameter.opts]
    assert (option.is_flag, option.default, option.help) == (True, False, "Show what would change, and change nothing.")


@pytest.mark.parametrize("name", [name for name in CHANGES if name not in ONE_THING])
def test_what_changes_something_writes_rows(name: str) -> None:
    assert {"--output", "--fields", "--limit", "--wide"} <= options_of(name)


def test_only_what_deletes_for_good_asks() -> None:
    assert {name for name in LEAVES if "--yes" in options_of(name)} == ASK.keys()
    assert ASK.keys() <= set(CHANGES)


def options_of(name: str) -> set[str]:
    return {flag for parameter in LEAVES[name].params for flag in parameter.opts}
