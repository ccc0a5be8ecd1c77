"""The source of a database's data. Simulated and real data must never mix."""

from __future__ import annotations

from collections.abc import Set

from stockctl.clients.mongo import Mongo
from stockctl.mongo.schema import META, stored_source


def begin_with(mongo: Mongo, first: str, extra: Set[str]) -> str:
    """The first source of the database; of an empty one it is ``first`` from now on.

    A database that the connector filled began with the source of the stored trades, unless ``extra`` has that.
    """
    stored = stored_source(mongo)
    begun = first if stored is None or stored in extra else stored
    return str(mongo.add(META, {"_id": "source", "source": begun})["source"])


def begun_with(mongo: Mongo) -> str | None:
    """The first source of the database, that of the stored trades where the connector filled it; None while it is empty."""
    begun = mongo.get(META, "source")
    return begun["source"] if begun is not None else stored_source(mongo)


def foreign_sources(mongo: Mongo, source: str, extra: Set[str]) -> tuple[str | None, Set[str]]:
    """The first source of the database, and those of ``source`` and the stored source that are neither that nor ``extra``.

    An empty database begins with ``source``, unless ``extra`` has it; one that the connector filled began with the source of
    the stored trades.
    """
    usual = [one for one in (stored_source(mongo), source) if one is not None and one not in extra]
    if usual:
        first = mongo.add(META, {"_id": "source", "source": usual[0]})["source"]
    else:
        first = (mongo.get(META, "source") or {}).get("source")
    return first, {*usual} - {first}
