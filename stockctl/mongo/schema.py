"""The collections with their validators, indexes and expiry: what there should be, what differs, and making it so.

Nothing is ever dropped: an index that stands in the way is told, and left to whoever made it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stockctl.clients.mongo import ClashError, Mongo
from stockctl.errors import ConfigError
from stockctl.mongo.views import VIEWS
from stockctl.reconcile import ABSENT, Change, Difference, absent
from stockctl.settings import Settings

TRADES, COVERAGE, FILINGS, BARS, COMPANIES = "trades", "coverage", "filings", "bars_1m", "companies"
META = "meta"
"""The collection of what MongoDB knows of itself: the source that it was begun with."""

EXPIRY = "ts_recv_expiry"
"""Name of the TTL indexes."""

_Rule = dict[str, Any]
_TEXT: _Rule = {"bsonType": "string"}
_DATE: _Rule = {"bsonType": "date"}
_NUMBER: _Rule = {"bsonType": "double"}
_COUNT: _Rule = {"bsonType": ["int", "long"]}
_NUMBER_OR_NONE: _Rule = {"bsonType": ["double", "null"]}


@dataclass(frozen=True)
class Index:
    """An index; ``expires`` is the number of seconds after which MongoDB deletes a document, None for never."""

    name: str
    keys: tuple[tuple[str, int], ...]
    expires: int | None = None

    @property
    def options(self) -> dict[str, Any]:
        """What is given to MongoDB beside the keys."""
        return {"name": self.name} | ({} if self.expires is None else {"expireAfterSeconds": self.expires})


@dataclass(frozen=True)
class Shape:
    """What one collection should be: the types of its required fields, and its indexes."""

    fields: Mapping[str, _Rule]
    indexes: tuple[Index, ...] = field(default=())

    @property
    def validator(self) -> dict[str, Any]:
        """The rule by which MongoDB takes a document. Fields that it does not name are free."""
        return {
            "$jsonSchema": {
                "bsonType": "object",
                "required": list(self.fields),
                "properties": {name: dict(rule) for name, rule in self.fields.items()},
            }
        }


def shapes(settings: Settings) -> dict[str, Shape]:
    """Every collection by its name."""
    kept = Index(EXPIRY, (("ts_recv", 1),), round(settings.mongo.retention))
    texts = {"_id": _TEXT, "symbol": _TEXT}
    return {
        TRADES: Shape(
            texts
            | {
                "price": _NUMBER | {"minimum": 0, "exclusiveMinimum": True},
                "volume": _NUMBER | {"minimum": 0},
                "ts_event": _DATE,
                "ts_recv": _DATE,
            }
            | dict.fromkeys(("conditions", "updates", "source"), _TEXT),
            (Index("symbol_ts_event", (("symbol", 1), ("ts_event", 1))), kept),
        ),
        FILINGS: Shape(
            texts,
            (Index("symbol_accepted", (("symbol", 1), ("accepted", 1))), Index("symbol_known", (("symbol", 1), ("known", 1)))),
        ),
        COVERAGE: Shape(
            dict.fromkeys(("_id", "kind", "symbols", "reason", "connection", "source"), _TEXT)
            | dict.fromkeys(("span_start", "span_end", "ts_recv"), _DATE),
            (Index("span_end", (("span_end", 1),)), kept),
        ),
        BARS: Shape(
            texts
            | {"bar": _DATE}
            | dict.fromkeys(("open", "high", "low", "close", "volume", "vwap"), _NUMBER_OR_NONE)
            | {"trades": _COUNT},
            (Index("symbol_bar", (("symbol", 1), ("bar", 1))),),
        ),
        COMPANIES: Shape(texts),
    }


class CollectionStatus(NamedTuple):
    """A collection as it is: about how many ``documents``, None where it is absent, and the names of its indexes."""

    collection: str
    documents: int | None
    indexes: str


APPLY = "`stockctl mongo apply`"


def differences(mongo: Mongo, settings: Settings) -> list[Difference]:
    """Everything in which the collections differ from the settings; what they have beyond is left out."""
    there = mongo.collections()
    found = [one for name, shape in shapes(settings).items() for one in _differences(mongo, name, shape, there)]
    return found + list(_view_differences(mongo))


def _view_differences(mongo: Mongo) -> Iterator[Difference]:
    there = mongo.views()
    for view in VIEWS:
        found = there.get(view.name)
        if found is None:
            yield absent("view", view.name, APPLY)
        elif (found.get("viewOn"), found.get("pipeline")) != (view.on, view.pipeline):
            yield Difference("view", view.name, "definition", f"of {view.on}", "another", APPLY)


def _differences(mongo: Mongo, name: str, shape: Shape, there: Mapping[str, Mapping[str, Any]]) -> Iterator[Difference]:
    if name not in there:
        yield absent("collection", name, APPLY)
        for index in shape.indexes:
            yield absent("index", f"{name}.{index.name}", APPLY, wanted=_told(index))
        return
    if there[name].get("validator") != shape.validator:
        found = "another" if there[name].get("validator") else "none"
        yield Difference("collection", name, "validator", f"of {len(shape.fields)} fields", found, APPLY)
    if there[name].get("validationAction", "error") != "error" or there[name].get("validationLevel", "strict") != "strict":
        yield Difference("collection", name, "validation", "strict", "lenient", APPLY)
    indexes = mongo.indexes(name)
    for index in shape.indexes:
        found_index = indexes.get(index.name)
        other = next((item for item in indexes.values() if item["key"] == list(index.keys)), None)
        if found_index is None and other is None:
            yield absent("index", f"{name}.{index.name}", APPLY, wanted=_told(index))
        elif found_index is None or found_index["key"] != list(index.keys) or _clashes(index, found_index):
            conflicting = found_index or other or {}
            fix = f'it conflicts: db.{name}.dropIndex("{conflicting.get("name")}"), if nothing else uses it, then {APPLY}'
            yield Difference("index", f"{name}.{index.name}", "definition", _told(index), _index_words(conflicting), fix)
        elif found_index.get("expireAfterSeconds") != index.expires:
            yield Difference("index", f"{name}.{index.name}", "definition", _told(index), _index_words(found_index), APPLY)


def _clashes(index: Index, found: Mapping[str, Any]) -> bool:
    """Whether the index differs in more than the time of its expiry, which alone can be changed."""
    limits = any(found.get(option) for option in ("unique", "sparse", "partialFilterExpression", "collation", "hidden"))
    return limits or (found.get("expireAfterSeconds") is None) != (index.expires is None)


def _told(index: Index) -> str:
    return _index_words({"key": list(index.keys), "expireAfterSeconds": index.expires})


def _index_words(index: Mapping[str, Any]) -> str:
    words = [", ".join(f"{name} {direction}" for name, direction in index["key"])]
    words += [option for option in ("unique", "sparse", "hidden") if index.get(option)]
    if index.get("expireAfterSeconds") is not None:
        words.append(f"documents go after {index['expireAfterSeconds']} s")
    return "; ".join(words)


def stored_source(mongo: Mongo) -> str | None:
    """The source of the trades that MongoDB holds; None if it holds none. ConfigError if they are none of ours."""
    trade = next(mongo.find(TRADES, {}, ["source"], limit=1), None)
    source = trade.get("source") if trade is not None else None
    if trade is not None and not isinstance(source, str):
        raise ConfigError(
            f"the collection {TRADES} of MongoDB at {mongo.place} holds documents of somebody else",
            hint="set mongo.database to a name that nothing else uses",
        )
    return source


def apply(mongo: Mongo, settings: Settings) -> list[Change]:
    """Make what is absent, and change what can be changed without dropping; the rest is left alone, and told.

    ConfigError, and nothing is changed, if somebody else's documents are where trades should be.
    """
    stored_source(mongo)
    changes: list[Change] = []
    there = mongo.collections()
    for name, shape in shapes(settings).items():
        differing = list(_differences(mongo, name, shape, there))
        if name not in there:
            mongo.create(name, shape.validator)
            changes.append(Change("collection", name, "created", f"with a validator of {len(shape.fields)} fields"))
        elif any(one.kind == "collection" for one in differing):
            mongo.set_validator(name, shape.validator)
            changes.append(Change("collection", name, "changed", f"validator of {len(shape.fields)} fields"))
        else:
            changes.append(Change("collection", name, "unchanged"))
        indexes = {one.name: one for one in differing if one.kind == "index"}
        changes += [_apply_index(mongo, name, index, indexes.get(f"{name}.{index.name}")) for index in shape.indexes]
    return changes + list(_apply_views(mongo))


def _apply_views(mongo: Mongo) -> Iterator[Change]:
    found = {one.name: one.actual for one in _view_differences(mongo)}
    for view in VIEWS:
        try:
            if found.get(view.name) == ABSENT:
                mongo.create_view(view.name, view.on, view.pipeline)
                yield Change("view", view.name, "created", f"of {view.on}")
            elif view.name in found:
                mongo.set_view(view.name, view.on, view.pipeline)
                yield Change("view", view.name, "changed", f"of {view.on}")
            else:
                yield Change("view", view.name, "unchanged")
        except ClashError as error:
            yield Change("view", view.name, "skipped", str(error))


def _apply_index(mongo: Mongo, name: str, index: Index, difference: Difference | None) -> Change:
    qualified = f"{name}.{index.name}"
    if difference is None:
        return Change("index", qualified, "unchanged")
    if difference.fix != APPLY:
        return Change("index", qualified, "skipped", f"found {difference.actual}: {difference.fix}")
    if difference.actual != ABSENT and index.expires is not None:
        mongo.set_expiry(name, index.name, index.expires)
        return Change("index", qualified, "changed", _told(index))
    try:
        mongo.create_index(name, index.keys, **index.options)
    except ClashError as error:
        return Change("index", qualified, "skipped", str(error))
    return Change("index", qualified, "created", _told(index))


def status(mongo: Mongo, settings: Settings) -> list[CollectionStatus]:
    """The documents and indexes of every collection."""
    existing = mongo.collections()
    return [
        CollectionStatus(name, mongo.count(name), ", ".join(sorted(mongo.indexes(name))))
        if name in existing
        else CollectionStatus(name, None, "")
        for name in shapes(settings)
    ]
