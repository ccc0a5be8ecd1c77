"""The schema of the MongoDB database: collections with validators, indexes and expiry, and views.

``differences`` compares it with a database, ``apply`` creates and changes what it can. Nothing is ever dropped: a conflicting
index is reported, and stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from stockctl.clients.mongo import ClashError, Mongo
from stockctl.errors import ConfigError
from stockctl.mongo.views import VIEWS
from stockctl.reconcile import ABSENT, Change, Difference, absent
from stockctl.records import FeedEvent, SignalRecord, Trade, column_limits, column_types, time_columns
from stockctl.settings import MongoSettings

TRADES, COVERAGE, SIGNALS = "trades", "coverage", "signals"
FILINGS, BARS, COMPANIES = "filings", "bars_1m", "companies"
META = "meta"
"""The collection of facts about the database: the source that it was begun with."""

EXPIRY = "ts_recv_expiry"
"""Name of the TTL indexes."""

_LIMITS = ("unique", "sparse", "partialFilterExpression", "collation", "hidden")
"""Options of an index that none of stockctl's has, and that cannot be changed."""

_Rule = dict[str, Any]
_TEXT: _Rule = {"bsonType": "string"}
_DATE: _Rule = {"bsonType": "date"}
_NUMBER: _Rule = {"bsonType": "double"}
_COUNT: _Rule = {"bsonType": ["int", "long"]}
_NUMBER_OR_NULL: _Rule = {"bsonType": ["double", "null"]}
_RULES: dict[type, _Rule] = {str: _TEXT, int: _COUNT, float: _NUMBER}
"""The rule of each type of a record's columns, unless they are times."""


@dataclass(frozen=True)
class Index:
    """An index. With ``expires`` MongoDB deletes a document that many seconds after the time in its key."""

    name: str
    keys: tuple[tuple[str, int], ...]
    expires: int | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of ``createIndex`` besides the keys."""
        return {"name": self.name} | ({} if self.expires is None else {"expireAfterSeconds": self.expires})


@dataclass(frozen=True)
class CollectionSchema:
    """The schema of one collection: the rules of its required fields, and its indexes."""

    fields: Mapping[str, _Rule]
    indexes: tuple[Index, ...] = field(default=())

    @property
    def validator(self) -> dict[str, Any]:
        """The collection's ``$jsonSchema``. Other fields are allowed."""
        return {
            "$jsonSchema": {
                "bsonType": "object",
                "required": list(self.fields),
                "properties": {name: dict(rule) for name, rule in self.fields.items()},
            }
        }


def collection_schemas(settings: MongoSettings) -> dict[str, CollectionSchema]:
    """Every collection by its name."""
    expiry = Index(EXPIRY, (("ts_recv", 1),), round(settings.retention))
    texts = {"_id": _TEXT, "symbol": _TEXT}
    return {
        TRADES: CollectionSchema(_fields_of(Trade), (Index("symbol_ts_event", (("symbol", 1), ("ts_event", 1))), expiry)),
        FILINGS: CollectionSchema(
            texts,
            (Index("symbol_accepted", (("symbol", 1), ("accepted", 1))), Index("symbol_known", (("symbol", 1), ("known", 1)))),
        ),
        COVERAGE: CollectionSchema(
            # Texts first, as in the collections that exist: another order is another validator.
            dict(sorted(_fields_of(FeedEvent).items(), key=lambda field: field[1] != _TEXT)),
            (Index("span_end", (("span_end", 1),)), expiry),
        ),
        SIGNALS: CollectionSchema(
            _fields_of(SignalRecord),
            (Index("symbol_ts_event", (("symbol", 1), ("ts_event", 1))), Index("run", (("run", 1),)), expiry),
        ),
        BARS: CollectionSchema(
            texts
            | {"bar": _DATE}
            | dict.fromkeys(("open", "high", "low", "close", "volume", "vwap"), _NUMBER_OR_NULL)
            | {"trades": _COUNT},
            (Index("symbol_bar", (("symbol", 1), ("bar", 1))),),
        ),
        COMPANIES: CollectionSchema(texts),
    }


def _fields_of(record: type[msgspec.Struct]) -> dict[str, _Rule]:
    """The rules of the documents that ``mongo.documents`` makes of ``record``, with the limits of its numbers."""
    limits, times = column_limits(record), time_columns(record)
    fields: dict[str, _Rule] = {}
    for name, type_ in column_types(record).items():
        limit = limits.get(name)
        rule = dict(_DATE if name in times else _RULES[type_])
        if type_ is float and limit is not None and limit.gt is not None:
            rule |= {"minimum": limit.gt, "exclusiveMinimum": True}
        elif type_ is float and limit is not None and limit.ge is not None:
            rule |= {"minimum": limit.ge}
        if type_ is float and limit is not None and limit.le is not None:
            rule |= {"maximum": limit.le}
        fields["_id" if name == "id" else name] = rule
    return fields


class CollectionStatus(NamedTuple):
    """A collection: the approximate number of its ``documents``, None if it is absent, and the names of its indexes."""

    collection: str
    documents: int | None
    indexes: str


APPLY = "`stockctl mongo apply`"


def differences(mongo: Mongo, settings: MongoSettings) -> list[Difference]:
    """The differences between the database and the settings. What the database has beyond them is none."""
    existing = mongo.collections()
    schemas = collection_schemas(settings)
    differing = [one for name, schema in schemas.items() for one in _differences(mongo, name, schema, existing)]
    return differing + list(_view_differences(mongo))


def _view_differences(mongo: Mongo) -> Iterator[Difference]:
    existing = mongo.views()
    for view in VIEWS:
        options = existing.get(view.name)
        if options is None:
            yield absent("view", view.name, APPLY)
        elif (options.get("viewOn"), options.get("pipeline")) != (view.on, view.pipeline):
            yield Difference("view", view.name, "definition", f"of {view.on}", "another", APPLY)


def _differences(
    mongo: Mongo, name: str, schema: CollectionSchema, existing: Mapping[str, Mapping[str, Any]]
) -> Iterator[Difference]:
    if name not in existing:
        yield absent("collection", name, APPLY)
        for index in schema.indexes:
            yield absent("index", f"{name}.{index.name}", APPLY, wanted=_definition(index))
        return
    options = existing[name]
    if options.get("validator") != schema.validator:
        actual = "another" if options.get("validator") else "none"
        yield Difference("collection", name, "validator", f"of {len(schema.fields)} fields", actual, APPLY)
    if options.get("validationAction", "error") != "error" or options.get("validationLevel", "strict") != "strict":
        yield Difference("collection", name, "validation", "strict", "lenient", APPLY)
    indexes = mongo.indexes(name)
    for index in schema.indexes:
        by_name = indexes.get(index.name)
        by_keys = next((item for item in indexes.values() if item["key"] == list(index.keys)), None)
        if by_name is None and by_keys is None:
            yield absent("index", f"{name}.{index.name}", APPLY, wanted=_definition(index))
        elif by_name is None or by_name["key"] != list(index.keys) or _conflicts(index, by_name):
            conflicting = by_name or by_keys or {}
            fix = f'it conflicts: db.{name}.dropIndex("{conflicting.get("name")}"), if nothing else uses it, then {APPLY}'
            yield Difference("index", f"{name}.{index.name}", "definition", _definition(index), _index_words(conflicting), fix)
        elif by_name.get("expireAfterSeconds") != index.expires:
            yield Difference("index", f"{name}.{index.name}", "definition", _definition(index), _index_words(by_name), APPLY)


def _conflicts(index: Index, actual: Mapping[str, Any]) -> bool:
    """Whether the index differs in more than the time of its expiry, the only option that can be changed."""
    return any(map(actual.get, _LIMITS)) or (actual.get("expireAfterSeconds") is None) != (index.expires is None)


def _definition(index: Index) -> str:
    return _index_words({"key": list(index.keys), "expireAfterSeconds": index.expires})


def _index_words(index: Mapping[str, Any]) -> str:
    words = [", ".join(f"{name} {direction}" for name, direction in index["key"])]
    words += [option for option in _LIMITS if index.get(option)]
    if index.get("expireAfterSeconds") is not None:
        words.append(f"documents expire after {index['expireAfterSeconds']} s")
    return "; ".join(words)


def stored_source(mongo: Mongo) -> str | None:
    """The source of the trades in the database; None if it has none. ConfigError if stockctl did not write them."""
    trade = next(mongo.find(TRADES, {}, ["source"], limit=1), None)
    source = trade.get("source") if trade is not None else None
    if trade is not None and not isinstance(source, str):
        raise ConfigError(
            f"the collection {TRADES} of MongoDB at {mongo.place} holds documents that stockctl did not write",
            hint="set mongo.database to a name that nothing else uses",
        )
    return source


def apply(mongo: Mongo, settings: MongoSettings) -> list[Change]:
    """Create what is absent, change what can be changed without dropping anything, and report the rest as skipped.

    ConfigError, before any change, if the collection of trades holds documents that stockctl did not write.
    """
    stored_source(mongo)
    changes: list[Change] = []
    existing = mongo.collections()
    for name, schema in collection_schemas(settings).items():
        differing = list(_differences(mongo, name, schema, existing))
        if name not in existing:
            mongo.create(name, schema.validator)
            changes.append(Change("collection", name, "created", f"with a validator of {len(schema.fields)} fields"))
        elif any(one.kind == "collection" for one in differing):
            mongo.set_validator(name, schema.validator)
            changes.append(Change("collection", name, "changed", f"validator of {len(schema.fields)} fields"))
        else:
            changes.append(Change("collection", name, "unchanged"))
        indexes = {one.name: one for one in differing if one.kind == "index"}
        changes += [_apply_index(mongo, name, index, indexes.get(f"{name}.{index.name}")) for index in schema.indexes]
    return changes + list(_apply_views(mongo))


def _apply_views(mongo: Mongo) -> Iterator[Change]:
    differing = {one.name: one.actual for one in _view_differences(mongo)}
    for view in VIEWS:
        try:
            if differing.get(view.name) == ABSENT:
                mongo.create_view(view.name, view.on, view.pipeline)
                yield Change("view", view.name, "created", f"of {view.on}")
            elif view.name in differing:
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
        return Change("index", qualified, "changed", _definition(index))
    try:
        mongo.create_index(name, index.keys, **index.options)
    except ClashError as error:
        return Change("index", qualified, "skipped", str(error))
    return Change("index", qualified, "created", _definition(index))


def status(mongo: Mongo, settings: MongoSettings) -> list[CollectionStatus]:
    """The documents and indexes of every collection."""
    existing = mongo.collections()
    return [
        CollectionStatus(name, mongo.count(name), ", ".join(sorted(mongo.indexes(name))))
        if name in existing
        else CollectionStatus(name, None, "")
        for name in collection_schemas(settings)
    ]
