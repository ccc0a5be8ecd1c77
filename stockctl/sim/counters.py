"""Counters of a simulator."""

from __future__ import annotations

import msgspec


class Counters(msgspec.Struct):
    """Counts since the start; ``open`` connections and ``subscribed`` symbols are current.

    ``refused`` counts handshakes, ``frames`` and ``rows`` trade frames and their rows, over all connections, repetitions
    included; ``errors`` counts error frames. ``requests`` are those to the REST API with a good key,
    ``limited`` those of them answered with 429.
    """

    connections: int = 0
    open: int = 0
    refused: int = 0
    frames: int = 0
    rows: int = 0
    pings: int = 0
    errors: int = 0
    requests: int = 0
    limited: int = 0
    subscribed: list[str] = msgspec.field(default_factory=list)
