"""Options that several commands share, each declared and parsed once."""

from stockctl.cli.options.changes import DryRunOption
from stockctl.cli.options.files import text_of
from stockctl.cli.options.globals import Globals, settings_of
from stockctl.cli.options.group import Group
from stockctl.cli.options.parser import is_help, usage_error
from stockctl.cli.options.services import HealthPortOption
from stockctl.cli.options.stores import IN_THE_FUTURE, mongo_of, say_next_batch
from stockctl.cli.options.strategies import ParamOption, StrategyArgument, params_of
from stockctl.cli.options.symbols import AnySymbolsArgument, SymbolsArgument
from stockctl.cli.options.times import (
    LAST_MS,
    AsOfOption,
    DateOption,
    ForOption,
    SinceDateOption,
    SinceOption,
    TimezoneOption,
    UntilOption,
    as_of_moment,
    day,
    moment,
    seconds,
)

__all__ = [
    "IN_THE_FUTURE",
    "LAST_MS",
    "AnySymbolsArgument",
    "AsOfOption",
    "DateOption",
    "DryRunOption",
    "ForOption",
    "Globals",
    "Group",
    "HealthPortOption",
    "ParamOption",
    "SinceDateOption",
    "SinceOption",
    "StrategyArgument",
    "SymbolsArgument",
    "TimezoneOption",
    "UntilOption",
    "as_of_moment",
    "day",
    "is_help",
    "moment",
    "mongo_of",
    "params_of",
    "say_next_batch",
    "seconds",
    "settings_of",
    "text_of",
    "usage_error",
]
