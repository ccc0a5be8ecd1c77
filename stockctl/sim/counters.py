"""What a simulator tells of itself."""

from __future__ import annotations

import msgspec


class Counters(msgspec.Struct):
    """What has happened since the start. ``open`` connections and ``subscribed`` symbols are those of now.

    ``refused`` counts handshakes, ``frames`` and ``rows`` trade frames and their rows, over all connections and with every
    repetition; ``errors`` counts error frames. ``requests`` are those to the REST API with a good key,
    ``limited`` those of them that were turned away with 429.
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
