"""``stockctl strategies``: the strategies that there are, their parameters, and the files of a new one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stockctl.cli.options import DryRunOption, Group, ParamOption, StrategyArgument, params_of
from stockctl.cli.output import View, record_options, row_options, say, write_object, write_rows

app = Group(help="List, show and write strategies.")


@app.command("list")
@row_options()
def list_(ctx: typer.Context, *, view: View) -> None:
    """List built-in strategies and those of installed packages.

    Example: stockctl strategies list
    """
    from stockctl.strategies.catalog import NamedStrategy, named_strategies

    write_rows((strategy._asdict() for strategy in named_strategies()), view, NamedStrategy._fields)


@app.command()
@record_options()
def show(ctx: typer.Context, strategy: StrategyArgument, param: ParamOption = None, *, view: View) -> None:
    """Show a strategy's handlers, version and parameters.

    Example: stockctl strategies show sma-cross
    """
    from stockctl.strategies.catalog import handlers_of, parameters_of, summary_of
    from stockctl.strategies.loading import load_strategy

    loaded = load_strategy(strategy, params_of(param))
    instance = loaded.make("SYMBOL")
    record: dict[str, Any] = {
        "name": loaded.name,
        "summary": summary_of(loaded),
        "handlers": ", ".join(handlers_of(loaded)),
        "every": getattr(instance, "every", None),
        "warmup_days": getattr(instance, "warmup_days", 0),
        "version": loaded.version,
        "files": ", ".join(loaded.files),
    }
    for parameter in parameters_of(loaded):
        words = ", ".join(filter(None, (parameter.type, parameter.limits)))
        record[f"param.{parameter.name}"] = f"{parameter.default} ({words}) {parameter.description}".rstrip()
    write_object(record, view)


@app.command()
def init(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new strategy, such as my-strategy.")],
    folder: Annotated[Path, typer.Option("--folder", metavar="PATH", help="Folder to write to.")] = Path(),
    dry_run: DryRunOption = False,
) -> None:
    """Write a commented strategy and its test, to start from.

    Example: stockctl strategies init my-strategy
    """
    from stockctl.strategies.catalog import write_example

    paths = write_example(name, folder, dry_run=dry_run)
    if dry_run:
        say(f"would write {paths[0]} and {paths[1]}")
    else:
        say(f"wrote {paths[0]} and {paths[1]}; try `stockctl strategies show {paths[0]}`")
