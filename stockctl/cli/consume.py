"""``stockctl consume``: from Kafka into the lake or MongoDB."""

from __future__ import annotations

from typing import Annotated

import typer

from stockctl.cli.options import Group, HealthPortOption, settings_of
from stockctl.units import counted

MaxAgeOption = Annotated[
    str | None, typer.Option("--max-age", metavar="DURATION", help="Close a batch this long after its first record: 1s, 5m.")
]
MaxRecordsOption = Annotated[
    int | None, typer.Option("--max-records", metavar="N", min=1, help="Close a batch at this many records.")
]

app = Group(help="Write the records of the topics into the lake or MongoDB.")


@app.command()
def s3(
    ctx: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Stop at the current end of the topics.")] = False,
    max_age: MaxAgeOption = None,
    max_bytes: Annotated[str | None, typer.Option(metavar="SIZE", help="Close a batch at this size, such as 64MB.")] = None,
    max_records: MaxRecordsOption = None,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Skip records that Kafka no longer holds, and record the loss permanently.")
    ] = False,
    health_port: HealthPortOption = None,
) -> None:
    """Write trades and feed events into the lake, each exactly once.

    Example: stockctl consume s3 --once
    """
    from stockctl.cli.output import say
    from stockctl.lake.writer.sink import S3Sink
    from stockctl.service import running
    from stockctl.stream.consumer_loop import LEAVE_WITHIN, consume

    flags = {"lake.max_age": max_age, "lake.max_bytes": max_bytes, "lake.max_records": max_records}
    settings = settings_of(ctx, flags)
    with running(settings, health_port=health_port, leave_within=LEAVE_WITHIN) as service:
        sink = S3Sink(settings, service.stop, once=once, accept_loss=accept_loss)
        consume(sink, service, report_every=settings.log.every)
    rejected = f", {counted(sink.rejected, 'record')} to {settings.topics.dead_letters.name}" if sink.rejected else ""
    say(f"wrote {counted(sink.rows, 'row')} to {settings.lake.url}{rejected}")


@app.command()
def mongo(
    ctx: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Stop at the current end of the topics.")] = False,
    max_age: MaxAgeOption = None,
    max_records: MaxRecordsOption = None,
    health_port: HealthPortOption = None,
) -> None:
    """Write trades and feed events into MongoDB.

    Bars and company documents are kept current.

    Example: stockctl consume mongo --once
    """
    from stockctl.cli.output import say
    from stockctl.company.trade_fields import refresh_trades
    from stockctl.mongo.sink import MongoSink
    from stockctl.service import running
    from stockctl.stream.consumer_loop import LEAVE_WITHIN, consume

    settings = settings_of(ctx, {"mongo.max_age": max_age, "mongo.max_records": max_records})
    with running(settings, health_port=health_port, leave_within=LEAVE_WITHIN) as service:
        sink = MongoSink(settings, service.stop, refresh_trades, once=once)
        consume(sink, service, report_every=settings.log.every)
    rejected = f", {counted(sink.rejected, 'record')} to {settings.topics.dead_letters.name}" if sink.rejected else ""
    say(f"wrote {counted(sink.rows, 'document')} to {settings.mongo.url}{rejected}")
