"""Which source MongoDB's data is of. Simulated and real data must never mix."""

from __future__ import annotations

from collections.abc import Set

from stockctl.clients.mongo import Mongo
from stockctl.mongo.schema import META, stored_source


def begin_with(mongo: Mongo, first: str, extra: Set[str]) -> str:
    """The source that MongoDB was begun with; ``first`` begins it if it is empty.

    One that others have filled, as the connector does, was begun with what is there, unless that is among ``extra``.
    """
    stored = stored_source(mongo)
    begun = first if stored is None or stored in extra else stored
    return str(mongo.add(META, {"_id": "source", "source": begun})["source"])


def begun_with(mongo: Mongo) -> str | None:
    """The source that MongoDB was begun with; None while it is empty. What others have filled was begun with what is there."""
    begun = mongo.get(META, "source")
    return begun["source"] if begun is not None else stored_source(mongo)


def strangers(mongo: Mongo, source: str, extra: Set[str]) -> tuple[str | None, Set[str]]:
    """The source that MongoDB was begun with, and which of ``source`` and of what is stored are neither that nor ``extra``.

    An empty MongoDB is begun with ``source``, unless it is among ``extra``. One that others have filled, as the connector does,
    was begun with what is there.
    """
    held = stored_source(mongo)
    stored, asking = ({held} if held is not None else set()) - extra, {source} - extra
    if begin := stored or asking:
        first = mongo.add(META, {"_id": "source", "source": min(begin)})["source"]
    else:
        first = (mongo.get(META, "source") or {}).get("source")
    return first, (asking | stored) - {first}
