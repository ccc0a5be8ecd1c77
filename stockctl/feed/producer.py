"""``produce``: the feed, or a capture of it, through the normaliser into Kafka."""

from __future__ import annotations

import logging
import time

from stockctl.clients.kafka import Admin
from stockctl.feed.publisher import check_topics
from stockctl.feed.replay import Replay
from stockctl.roles import Role
from stockctl.settings import Settings

log = logging.getLogger("stockctl.produce")


def produce_replay(
    settings: Settings, role: Role, path: str, *, speed: float | None = None, retime: bool = False, seconds: float | None = None
) -> str:
    """Replay ``path`` into Kafka, for at most ``seconds``; what was done, in words. StockctlError if not all is delivered."""
    _wait_for_kafka(settings)
    deadline = None if seconds is None else time.monotonic() + seconds
    done = Replay(settings, path, role.stop, speed=speed, retime=retime).run(deadline)
    return (
        f"replayed {path}: {done.lines} lines, {done.trades} trades and {done.dead_letters} dead letters "
        f"delivered in {done.seconds:.1f} s ({done.trades / max(done.seconds, 0.001):,.0f} trades/s)"
    )


def produce_live(settings: Settings, role: Role, *, seconds: float | None = None) -> str:
    """Feed into Kafka."""
    raise NotImplementedError


def _wait_for_kafka(settings: Settings) -> None:
    admin = Admin(settings)
    admin.wait(say=log.warning)
    check_topics(settings, admin)
