"""MongoDB: a client with the settings applied, and errors as StockctlErrors; the only importer of pymongo.

Documents are mappings with ``_id``; their times are datetimes in UTC.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bson import encode
from bson.errors import BSONError
from pymongo import MongoClient, ReplaceOne
from pymongo.collection import Collection
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidURI,
    OperationFailure,
    PyMongoError,
)

from stockctl.clients.closing import Closing
from stockctl.clients.local_stack_lock import absent_stack
from stockctl.errors import ConfigError, RefusedError, StockctlError, TimedOutError, UnreachableError
from stockctl.settings import Settings, require
from stockctl.settings.mongo_address import mongo_files
from stockctl.units import format_duration

Document = dict[str, Any]

_REFUSED = {13, 18, 8000}
"""Unauthorized, AuthenticationFailed, AtlasError (the code of Atlas for a wrong password)."""
_INDEX_CONFLICT = {85, 86}
"""IndexOptionsConflict, IndexKeySpecsConflict."""
_QUIET = 1.0
"""Seconds of waiting without a message."""
_EXISTS = 48
_NO_CHANGE_STREAMS = 40573
_DUPLICATE = 11000
_BAD_DOCUMENT = {2, 9, 14, 52, 53, 54, 55, 56, 57, 121, 10334, 17280, 17419, 17420}
"""Codes that a document itself causes: validation failed (121), too large, an invalid field name. Any other code is a failure
of the server: a retry may succeed."""


class ClashError(StockctlError):
    """An index with the same name or keys exists with other options, or a collection has the name of a view."""


class NoChangeStreamsError(StockctlError):
    """The server is no replica set, so it has no change streams."""


class DocumentChange(NamedTuple):
    """A document of ``collection`` that was inserted, or is ``document`` now."""

    collection: str
    document: Document
    inserted: bool


class BadDocument(NamedTuple):
    """A document that MongoDB refuses: its index in the batch, and why."""

    number: int
    reason: str


class Mongo(Closing):
    """The database of the settings. It is thread-safe, and a context manager that closes its connections."""

    def __init__(self, settings: Settings, *, wait: float | None = None) -> None:
        """``wait`` limits the server selection, in seconds; the default is ``mongo.connect_wait``."""
        mongo = settings.mongo
        self._settings = settings
        if mongo.url is None and (absent := absent_stack(settings, "mongo.url")) is not None:
            raise absent
        self.address = str(require(settings, "mongo.url"))
        self._wait = mongo.connect_wait if wait is None else wait
        login: dict[str, Any] = {}
        if mongo.username is not None:
            login = {
                "username": mongo.username,
                "password": require(settings, "mongo.password").get_secret_value(),
                "authSource": mongo.auth_source,
            }
        _check_files(self.address)
        self._answered = True  # creating a client sends no request
        with self._translate_errors("create a client"):
            try:
                self._client: MongoClient[Document] = MongoClient(
                    self.address,
                    appname="stockctl",
                    tz_aware=True,
                    serverSelectionTimeoutMS=max(1, round(self._wait * 1000)),
                    connectTimeoutMS=max(1, round(min(self._wait, 10.0) * 1000)),
                    socketTimeoutMS=round(mongo.timeout * 1000),
                    **login,
                )
            except (ValueError, OSError) as error:
                # A certificate file without certificates.
                raise ConfigurationError(str(error)) from error
            self._database = self._client[mongo.database]
        self._answered = False
        """Whether a server has answered. Before that, a local stack that is not running is an error, without a wait."""

    @property
    def place(self) -> str:
        """Address and database, for messages."""
        return f"{self.address}, database {self._database.name}"

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def wait(self, *, say: Callable[[str], None]) -> None:
        """Wait until a server answers, at most ``mongo.connect_wait``; call ``say`` once if it takes more than a second."""
        message = f"waiting up to {format_duration(self._wait)} for MongoDB at {self.address}"
        timer = threading.Timer(_QUIET, say, [message])
        timer.daemon = True
        timer.start()
        try:
            with self._translate_errors("connect"):
                self._client.admin.command("ping")
        finally:
            timer.cancel()

    def version(self) -> str:
        """The server's version, after a request to the database, which fails for a wrong password."""
        with self._translate_errors("log in"):
            self._database.list_collection_names(filter={"name": "trades"})
            return str(self._client.server_info()["version"])

    # Collections and indexes

    def collections(self) -> dict[str, Document]:
        """Options of each collection of the database, by name, without views."""
        with self._translate_errors("list the collections"):
            collections = list(self._database.list_collections())
        return {item["name"]: item.get("options", {}) for item in collections if item.get("type", "collection") == "collection"}

    def views(self) -> dict[str, Document]:
        """The views of the database by name, each with ``viewOn`` and ``pipeline``."""
        with self._translate_errors("list the views"):
            views = list(self._database.list_collections(filter={"type": "view"}))
        return {item["name"]: item.get("options", {}) for item in views}

    def create_view(self, name: str, on: str, pipeline: Sequence[Document]) -> None:
        """Create a view. ClashError if a collection has its name; an existing view is not an error."""
        with self._translate_errors(f"create the view {name}"):
            try:
                self._database.create_collection(name, check_exists=False, viewOn=on, pipeline=list(pipeline))
            except OperationFailure as error:
                if error.code != _EXISTS:
                    raise
                if name not in self.views():
                    raise ClashError(
                        f"the view {name} cannot be created: a collection has its name", hint="rename it, if you need it"
                    ) from error

    def set_view(self, name: str, on: str, pipeline: Sequence[Document]) -> None:
        """Change the definition of the view."""
        with self._translate_errors(f"change the view {name}"):
            self._database.command("collMod", name, viewOn=on, pipeline=list(pipeline))

    def create(self, name: str, validator: Mapping[str, Any]) -> None:
        """Create a collection; an existing one is not an error."""
        with self._translate_errors(f"create the collection {name}"):
            try:
                # Only the server's answer counts: pymongo's own check comes before it, and raises another error.
                self._database.create_collection(name, check_exists=False, validator=validator)
            except OperationFailure as error:
                if error.code != _EXISTS:
                    raise

    def set_validator(self, name: str, validator: Mapping[str, Any]) -> None:
        """Replace the collection's validator; existing documents stay."""
        with self._translate_errors(f"change the validator of {name}"):
            self._database.command("collMod", name, validator=validator, validationLevel="strict", validationAction="error")

    def indexes(self, name: str) -> dict[str, Document]:
        """The collection's indexes by name, each with ``key`` (pairs of field and direction) and its options."""
        with self._translate_errors(f"list the indexes of {name}"):
            indexes = list(self._database[name].list_indexes())
        return {item["name"]: dict(item) | {"key": list(item["key"].items())} for item in indexes}

    def create_index(self, collection: str, keys: Sequence[tuple[str, int]], **options: Any) -> None:
        """Create an index unless it exists. ClashError if one with the same name or keys has other options."""
        with self._translate_errors(f"create the index {options.get('name')} of {collection}"):
            self._database[collection].create_index(list(keys), **options)

    def set_expiry(self, name: str, index: str, seconds: int) -> None:
        """Set ``expireAfterSeconds`` of the TTL index ``index``."""
        with self._translate_errors(f"change the index {index} of {name}"):
            self._database.command("collMod", name, index={"name": index, "expireAfterSeconds": seconds})

    # Documents

    def upsert(self, name: str, documents: Sequence[Document]) -> list[BadDocument]:
        """Replace or insert each document by its ``_id``, unordered; return those that MongoDB refuses.

        It raises an error unless all other documents are stored. It is safe to repeat.
        """
        if not documents:
            return []
        with self._translate_errors(f"write {len(documents)} documents to {name}"):
            return self._upsert(self._database[name], documents, retry=True)

    def _upsert(self, collection: Collection[Document], documents: Sequence[Document], *, retry: bool) -> list[BadDocument]:
        try:
            collection.bulk_write([ReplaceOne({"_id": one["_id"]}, one, upsert=True) for one in documents], ordered=False)
        except BulkWriteError as error:
            return self._failed(collection, documents, error.details, retry=retry)
        except (BSONError, DocumentTooLarge, OverflowError):
            # pymongo refused the complete batch before sending it: check each document.
            bad = [BadDocument(index, reason) for index, one in enumerate(documents) if (reason := _encoding_problem(one))]
            if not bad:
                raise
            valid = [index for index in range(len(documents)) if index not in {item.number for item in bad}]
            more = self._upsert(collection, [documents[index] for index in valid], retry=retry) if valid else []
            return bad + [BadDocument(valid[item.number], item.reason) for item in more]
        return []

    def _failed(
        self, collection: Collection[Document], documents: Sequence[Document], details: Mapping[str, Any], *, retry: bool
    ) -> list[BadDocument]:
        """Distinguish bad documents from failures of the server."""
        bad: list[BadDocument] = []
        conflicts: list[int] = []
        for item in details.get("writeErrors", ()):
            if item["code"] in _BAD_DOCUMENT:
                bad.append(BadDocument(item["index"], _reason(item)))
            elif item["code"] == _DUPLICATE and retry:
                # Another writer inserted the same id at the same time: now the replacement will find it.
                conflicts.append(item["index"])
            else:
                raise OperationFailure(str(item.get("errmsg")), item["code"])
        for failure in details.get("writeConcernErrors", ()):
            raise OperationFailure(str(failure.get("errmsg")), failure.get("code"))
        if conflicts:
            more = self._upsert(collection, [documents[index] for index in conflicts], retry=False)
            bad += [BadDocument(conflicts[item.number], item.reason) for item in more]
        return bad

    def set_fields(self, name: str, id: str, fields: Mapping[str, Any], where: Mapping[str, Any] | None = None) -> bool:
        """Set these fields of the document ``id``, and create it if it does not exist; other fields stay.

        With ``where`` nothing is created; False if the document does not match.
        """
        with self._translate_errors(f"write {id} to {name}"):
            result = self._database[name].update_one({"_id": id, **(where or {})}, {"$set": dict(fields)}, upsert=where is None)
        return where is None or bool(result.matched_count)

    def add(self, name: str, document: Document) -> Document:
        """Insert ``document`` unless its ``_id`` exists; return the stored document."""
        with self._translate_errors(f"write {document['_id']} to {name}"):
            try:
                self._database[name].insert_one(document)
            except DuplicateKeyError:
                return self._database[name].find_one({"_id": document["_id"]}) or document
        return document

    def get(self, name: str, id: str) -> Document | None:
        """The document ``id``; None if it does not exist."""
        with self._translate_errors(f"read {id} of {name}"):
            return self._database[name].find_one({"_id": id})

    def find(
        self,
        name: str,
        where: Mapping[str, Any],
        fields: Sequence[str] | None = None,
        *,
        sort: Sequence[tuple[str, int]] = (),
        limit: int = 0,
    ) -> Iterator[Document]:
        """Matching documents, with ``_id`` and ``fields`` (None: all)."""
        with self._translate_errors(f"read {name}"):
            yield from self._database[name].find(
                dict(where),
                list(fields) if fields is not None else None,
                sort=list(sort) or None,
                limit=limit,
                batch_size=10_000,
            )

    def aggregate(self, name: str, pipeline: Sequence[Mapping[str, Any]]) -> list[Document]:
        """The rows of an aggregation."""
        with self._translate_errors(f"aggregate {name}"):
            return list(self._database[name].aggregate(list(pipeline)))

    def count(self, name: str) -> int:
        """The estimated number of documents in the collection."""
        with self._translate_errors(f"count {name}"):
            return self._database[name].estimated_document_count()

    def watch(self, name: str, id: str, stop: Callable[[], bool]) -> Iterator[Document | None]:
        """The document ``id`` now (None: it does not exist), and after each of its changes, until ``stop()``.

        It misses no change. StockctlError without a replica set.
        """
        match = [{"$match": {"documentKey._id": id}}]
        with (
            self._translate_errors(f"watch {id} of {name}"),
            self._database[name].watch(match, full_document="updateLookup", max_await_time_ms=250) as changes,
        ):
            yield self._database[name].find_one({"_id": id})
            while not stop():
                change = changes.try_next()
                if change is not None and change.get("fullDocument") is not None:
                    yield change["fullDocument"]

    def changes(self, names: Sequence[str], stop: Callable[[], bool]) -> Iterator[DocumentChange | None]:
        """The changes of these collections until ``stop()``; None when the stream is open, and each time that it waits."""
        # Expired documents are deleted, which nobody needs to see.
        match = [{"$match": {"operationType": {"$ne": "delete"}, "ns.coll": {"$in": list(names)}}}]
        with (
            self._translate_errors("watch the database"),
            self._database.watch(match, full_document="updateLookup", max_await_time_ms=250) as changes,
        ):
            yield None
            while not stop():
                change = changes.try_next()
                if change is None:
                    yield None
                elif (document := change.get("fullDocument")) is not None:
                    yield DocumentChange(change["ns"]["coll"], document, change["operationType"] == "insert")

    @contextmanager
    def _translate_errors(self, action: str) -> Iterator[None]:
        if not self._answered and (absent := absent_stack(self._settings, "mongo.url")) is not None:
            raise absent
        try:
            yield
            self._answered = True
        except PyMongoError as error:
            raise self._describe(error, action) from error

    def _describe(self, error: PyMongoError, action: str) -> StockctlError:
        where = f"cannot {action}: MongoDB at {self.address}: "
        login = "check mongo.username, STOCKCTL_MONGO__PASSWORD, mongo.auth_source and the user's roles"
        code = error.code if isinstance(error, OperationFailure) else None
        if isinstance(error, OperationFailure) and code in _REFUSED:
            return RefusedError(f"{where}{_words(error)}", hint=login)
        if code == _NO_CHANGE_STREAMS:
            return NoChangeStreamsError(f"{where}{_words(error)}", hint="start mongod as a replica set of one node")
        if code in _INDEX_CONFLICT:
            return ClashError(f"{where}{_words(error)}", hint="`stockctl mongo diff`")
        if self.address.startswith("mongodb+srv:") and "DNS" in str(error):
            return UnreachableError(f"{where}{_words(error)}", hint="check the host in mongo.url, and that DNS answers here")
        if isinstance(error, InvalidURI | ConfigurationError):
            return ConfigError(f"{where}{_words(error)}", hint="check mongo.username, and the options and files of mongo.url")
        if isinstance(error, AutoReconnect):
            return UnreachableError(
                f"{where}nothing answers within {format_duration(self._wait)}: {_words(error)}",
                hint="is MongoDB running? `stockctl local up` starts a stand-in; else correct mongo.url",
            )
        if isinstance(error, ExecutionTimeout) or error.timeout:
            return TimedOutError(f"{where}{_words(error)}", hint="raise mongo.timeout; see `stockctl mongo status`")
        return StockctlError(f"{where}{_words(error)}")


def _check_files(address: str) -> None:
    """ConfigError if a file that an option names cannot be read."""
    for option, path in mongo_files(address).items():
        try:
            Path(path).open("rb").close()
        except OSError as error:
            raise ConfigError(
                f"the option {option} of mongo.url names {path}, which cannot be read: {error.strerror}",
                hint="check the path and its permissions",
            ) from error


def _words(error: PyMongoError) -> str:
    """The error without the raw responses and topologies that pymongo appends."""
    text = str(error).split(", full error:")[0].split(", Timeout:")[0].split(" (configured timeouts:")[0]
    return text if len(text) <= 500 else text[:500] + "…"


def _reason(item: Mapping[str, Any]) -> str:
    """Why MongoDB refused a document: with the field and the rule, if the error has them."""
    details = item.get("errInfo", {}).get("details", {})
    return f"{item.get('errmsg')}: {details}" if details else str(item.get("errmsg"))


def _encoding_problem(document: Document) -> str | None:
    try:
        size = len(encode(document))
    except (BSONError, DocumentTooLarge, OverflowError) as error:
        return str(error)
    return f"too large: {size} bytes" if size > 16 * 1024 * 1024 else None
