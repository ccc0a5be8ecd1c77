"""``stockctl config``: the settings and where they came from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stockctl.cli.options import DryRunOption, Group, settings_of
from stockctl.cli.output import Format, View, row_options, say, say_dry_run, write_rows
from stockctl.errors import StockctlError, UsageError

app = Group(help="Create a configuration file, and show the settings.")

TEMPLATE = """\
# stockctl settings, one table per profile. `stockctl config show --origin` shows the origin of each value.
# Secrets do not belong here: set STOCKCTL_FINNHUB__TOKEN or STOCKCTL_FINNHUB__TOKEN_FILE in the environment.

[profile.local]
symbols = ["AAPL", "MSFT", "NVDA", "TSLA", "BINANCE:BTCUSDT"]

[profile.prod]
symbols = ["AAPL", "MSFT"]

[profile.prod.kafka]
bootstrap_servers = "kafka-1:9092,kafka-2:9092"
security_protocol = "SASL_SSL"
username = "stockctl"

[profile.prod.lake]
url = "s3://my-bucket/market"

[profile.prod.s3]
region = "us-east-1"
"""


@app.command()
def init(
    path: Annotated[Path, typer.Argument(metavar="[PATH]", help="File to write.")] = Path("stockctl.toml"),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    dry_run: DryRunOption = False,
) -> None:
    """Write a configuration file to start from.

    Example: stockctl config init
    """
    if dry_run and (force or not path.exists()):
        say(f"{path.absolute()} would be {'replaced' if path.exists() else 'written'}")
        say_dry_run()
        return
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(TEMPLATE)
    except FileExistsError as error:
        raise StockctlError(f"{path} exists already", hint="--force replaces it") from error
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", hint="name another path") from error
    say(f"wrote {path.absolute()}")


@app.command()
@row_options()
def show(
    ctx: typer.Context,
    origin: Annotated[bool, typer.Option("--origin", help="Show the origin of each value.")] = False,
    *,
    view: View,
) -> None:
    """Show every setting of the active profile.

    A terminal shows durations and sizes as you write them: 30m, 64MB. Secrets show their last four characters.

    Example: stockctl config show --origin
    """
    from stockctl.settings import display_value, setting_names, written_value

    settings = settings_of(ctx)
    # A Parquet column has one type.
    value = written_value if view.on_terminal or view.form is Format.parquet else display_value
    rows = [
        {"setting": name, "value": value(settings, name)} | ({"origin": settings.origin(name)} if origin else {})
        for name in setting_names()
    ]
    write_rows(rows, view)


@app.command("path")
def path_(ctx: typer.Context) -> None:
    """Show where settings are read from, the strongest first.

    Example: stockctl config path
    """
    for place in settings_of(ctx).places:
        print(place)
