"""``stockctl dlq``: dead letters, and their replay."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from stockctl.cli.options import DryRunOption, Group, SinceOption, TimezoneOption, moment, settings_of, text_of
from stockctl.cli.output import View, record_options, row_options, say, write_objects, write_rows
from stockctl.errors import StockctlError, UsageError

if TYPE_CHECKING:
    from stockctl.settings import Settings

app = Group(help="List, show and replay dead letters: rejected records, and why.")

Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Only letters with this text in their reason.")]
Topic = Annotated[str | None, typer.Option("--topic", metavar="TOPIC", help="Only letters of records of this topic.")]


def _since(settings: Settings, text: str | None) -> int | None:
    """The time of ``--since`` in ms UTC."""
    from zoneinfo import ZoneInfo

    from stockctl.exchange.calendar import to_ms

    since = moment("--since", text, ZoneInfo(settings.timezone))
    return None if since is None else to_ms(since)


def _at(settings: Settings, ms: int | None) -> datetime | None:
    from zoneinfo import ZoneInfo

    from stockctl.exchange.calendar import from_ms

    return None if ms is None else from_ms(ms, ZoneInfo(settings.timezone))


@app.command("list")
@row_options(limit=100)
def list_(
    ctx: typer.Context,
    reason: Reason = None,
    topic: Topic = None,
    since: SinceOption = None,
    tz: TimezoneOption = None,
    by_reason: Annotated[bool, typer.Option("--by-reason", help="Count the letters by reason.")] = False,
    *,
    view: View,
) -> None:
    """List dead letters, the newest first, or count them by reason.

    Example: stockctl dlq list --since -1d --by-reason
    """
    from stockctl.stream.dead_letters.reader import Count, Summary, counts, summaries

    settings = settings_of(ctx, {"timezone": tz})
    found = summaries(settings, say=say, reason=reason, topic=topic, since=_since(settings, since))
    if by_reason:
        counted = counts(found)
        write_rows(
            (row._asdict() | {"first": _at(settings, row.first), "last": _at(settings, row.last)} for row in counted),
            view,
            Count._fields,
        )
    else:
        write_rows(
            (row._asdict() | {"at": _at(settings, row.at), "replayed": _at(settings, row.replayed)} for row in found),
            view,
            Summary._fields,
        )
        if view.limit is not None and len(found) > view.limit:
            say(f"and {len(found) - view.limit} older ones; --limit shows more")
    if not found:
        say("no dead letters")


@app.command()
@record_options()
def show(
    ctx: typer.Context,
    id: Annotated[str, typer.Argument(metavar="ID", help="Id of the letter; `dlq list` shows it.")],
    *,
    view: View,
) -> None:
    """Show a dead letter: raw text, reason and origin.

    Once for each reader that rejected the record.

    Example: stockctl dlq show trades-2-17
    """
    import msgspec

    from stockctl.stream.dead_letters.reader import letters_of

    settings = settings_of(ctx)
    letters, replayed = letters_of(settings, id, say=say)
    if not letters:
        raise UsageError(
            f"there is no dead letter {id} in {settings.topics.dead_letters.name}", hint="`stockctl dlq list` shows the ids"
        )
    rows = [
        msgspec.structs.asdict(item.letter)
        | {
            "rejected_by": item.rejected_by,
            "ts_recv": _at(settings, item.letter.ts_recv),
            "replayed": _at(settings, replayed),
        }
        for item in letters
    ]
    write_objects(rows, view)


@app.command()
@row_options()
def replay(
    ctx: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of letters.")] = None,
    reason: Reason = None,
    topic: Topic = None,
    since: SinceOption = None,
    tz: TimezoneOption = None,
    every: Annotated[bool, typer.Option("--all", help="Replay every letter.")] = False,
    corrected: Annotated[
        str | None, typer.Option("--with", metavar="FILE", help="Send this text in place of the letter's; - reads stdin.")
    ] = None,
    dry_run: DryRunOption = False,
    *,
    view: View,
) -> None:
    """Republish dead letters to their original topic.

    Letters that are valid now, and each letter only once.

    Example: stockctl dlq replay trades-2-17 --with corrected.json
    """
    from collections import Counter

    from stockctl.feed.redecode import redecode
    from stockctl.lake.writer.allowed_sources import refusal_of
    from stockctl.stream.dead_letters.replay import Replay, ReplayResult

    filters = {"reason": reason, "topic": topic, "since": since}
    filtered = any(value is not None for value in filters.values())
    if bool(ids) + filtered + every != 1:
        raise UsageError("give ids, or --reason, --topic or --since, or --all", hint="`stockctl dlq list` shows the letters")
    if corrected is not None and len(ids or ()) != 1:
        raise UsageError("--with replaces the text of one letter", hint="give the id of that letter alone")
    settings = settings_of(ctx, {"timezone": tz})
    view.check(ReplayResult._fields)
    run = Replay(
        settings,
        redecode,
        ids=ids or (),
        corrected=None if corrected is None else text_of(corrected, "name a file with the corrected text").strip(),
        dry_run=dry_run,
        refusal=refusal_of(settings),
        say=say,
        **filters | {"since": _since(settings, since)},
    )
    results = list(run.run())
    write_rows((result._asdict() for result in results), view, ReplayResult._fields)
    counts = Counter(result.action for result in results)
    say(", ".join(f"{count} {action}" for action, count in counts.items()) or "no letter to replay")
    if absent := set(ids or ()) - {result.id for result in results}:
        raise UsageError(f"there is no dead letter {', '.join(sorted(absent))}", hint="`stockctl dlq list` shows the ids")
    if ids and counts["rejected"]:
        raise StockctlError(
            f"{counts['rejected']} of the letters are still invalid", hint="correct the text, and send it by --with FILE"
        )
