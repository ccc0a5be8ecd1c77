"""Object storage: one interface for ``file://`` and ``s3://``, with put-if-absent on both; the only importer of obstore."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from stockctl.clients import aws
from stockctl.errors import ConfigError, RefusedError, StockctlError, UnreachableError
from stockctl.settings import S3Settings, Settings, require


class ObjectInfo(NamedTuple):
    """A listed object: its key relative to the URL of the store, size in bytes, time of the last change."""

    key: str
    size: int
    modified: datetime


class AbsentError(StockctlError):
    """No object has that key."""


class ExistsError(StockctlError):
    """Put-if-absent found an object with that key. After a lost response it may be your own: read the object to find out."""


class Store:
    """The objects below one URL. Keys are relative, with ``/`` as separator."""

    def __init__(self, backend: Any, url: str, folder: Path | None = None) -> None:
        self._backend = backend
        self.url = url
        self.folder = folder
        """The folder of a ``file://`` store; None for S3."""

    def put_new(self, key: str, data: bytes) -> None:
        """Write ``data`` to ``key`` only if it is absent, else ExistsError."""
        import obstore

        with _translate_errors(self, f"put {key}"):
            obstore.put(self._backend, key, data, mode="create", use_multipart=False)
            self._sync(key)

    def put(self, key: str, data: bytes) -> None:
        """Write ``data`` to ``key``, and replace an existing object."""
        import obstore

        with _translate_errors(self, f"put {key}"):
            obstore.put(self._backend, key, data)
            self._sync(key)

    def _sync(self, key: str) -> None:
        # The local backend renames files without fsync: a power failure could keep a claim and lose its objects.
        if self.folder is not None:
            sync(self.folder / key)

    def get(self, key: str) -> bytes:
        """The bytes of the object. AbsentError if it does not exist."""
        import obstore

        with _translate_errors(self, f"get {key}"):
            return bytes(obstore.get(self._backend, key).bytes())

    def exists(self, key: str) -> bool:
        """Whether the object exists."""
        import obstore

        try:
            with _translate_errors(self, f"look for {key}"):
                obstore.head(self._backend, key)
        except AbsentError:
            return False
        return True

    def objects(self, prefix: str = "", *, after: str | None = None) -> Iterator[ObjectInfo]:
        """Objects in the folder ``prefix`` and below, in key order; only those after the key ``after``, if given."""
        import obstore

        with _translate_errors(self, f"list {prefix or 'everything'}"):
            objects = (
                ObjectInfo(item["path"], int(item["size"]), item["last_modified"])
                for chunk in obstore.list(self._backend, prefix or None, offset=after, chunk_size=1000)
                for item in chunk
            )
            # A folder is listed unordered; S3 is listed in key order, page by page.
            yield from sorted(objects) if self.folder is not None else objects

    def folders(self, prefix: str = "") -> list[str]:
        """Sorted names of the folders directly below the folder ``prefix``."""
        import obstore

        with _translate_errors(self, f"list {prefix or 'the top'}"):
            prefixes = obstore.list_with_delimiter(self._backend, prefix or None)["common_prefixes"]
        return sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in prefixes)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete the objects at ``keys``; an absent object is not an error."""
        import obstore

        with _translate_errors(self, f"delete {keys[0] if keys else ''}"):
            if self.folder is None:
                for start in range(0, len(keys), 1000):
                    obstore.delete(self._backend, list(keys[start : start + 1000]))
                return
            # The local backend stops at the first absent object.
            for key in keys:
                with suppress(FileNotFoundError):
                    obstore.delete(self._backend, key)


def sync(path: Path) -> None:
    """Make the file at ``path`` and its name survive a power failure."""
    for target in (path, path.parent):
        handle = os.open(target, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class _translate_errors:
    """Raise obstore's exceptions as StockctlErrors; ``action`` is what failed (``get KEY``)."""

    def __init__(self, store: Store, action: str) -> None:
        self.store, self.action = store, action

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if error is None or not isinstance(error, Exception) or isinstance(error, StockctlError):
            return
        raise _translate(error, self.store, self.action) from error


_S3_ERROR = re.compile(r"<Code>(?P<code>\w+)</Code>.*?<Message>(?P<message>[^<]*)", re.DOTALL)
"""The error document of S3."""
_BUSY = re.compile(r"status code: (?:5\d\d|429)\b")


def _translate(error: Exception, store: Store, action: str) -> Exception:
    from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError

    # The lines after the first are a dump of the SDK's structures.
    text = str(error).split("\n", 1)[0].split("<?xml", 1)[0].rstrip(": ")
    s3_error = _S3_ERROR.search(str(error))
    if s3_error is not None:
        text = f"{text}: {s3_error['code']}: {s3_error['message']}"
    message = f"cannot {action} in {store.url}: {text}"
    if isinstance(error, AlreadyExistsError):
        return ExistsError(message)
    # obstore raises it as "not found" for a get, and as a generic error for a list.
    if "<Code>NoSuchBucket" in str(error):
        return ConfigError(f"cannot {action}: the bucket of {store.url} does not exist", hint="create it, or correct lake.url")
    if isinstance(error, FileNotFoundError):
        return AbsentError(message)
    refused = isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError)
    if s3_error is not None and s3_error["code"] == "RequestTimeTooSkewed":
        return RefusedError(message, hint="set the clock of this machine: S3 refuses requests whose time is 15 minutes off")
    # A refused listing is a generic error with only a status code.
    if refused or any(sign in str(error) for sign in ("status code: 401", "status code: 403", "Permission denied")):
        return RefusedError(message, hint="check the permissions and the credentials: `stockctl doctor` tries each permission")
    if _BUSY.search(str(error)) or "error sending request" in text or "HTTP error" in text:
        return UnreachableError(message, hint="check s3.endpoint_url, s3.region and the network")
    # ValueError: an invalid key, such as one with ``..``.
    if isinstance(error, BaseError | OSError | ValueError):
        return StockctlError(message)
    return error


def open_store(settings: Settings) -> Store:
    """Open the store at ``lake.url``, for writers: it creates a folder. It sends no request to S3."""
    url = str(require(settings, "lake.url"))
    parts = urlsplit(url)
    if parts.scheme == "file":
        return _open_folder(url, folder_of_url(url))
    return _open_s3(settings.s3, url, parts.netloc, parts.path.strip("/"))


def folder_of_url(url: str) -> Path:
    """The folder of a ``file://`` URL."""
    return Path(unquote(urlsplit(url).path))


def _open_folder(url: str, folder: Path) -> Store:
    from obstore.store import LocalStore

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RefusedError(f"cannot create the folder of {url}: {error.strerror}", hint="choose another lake.url") from error
    return Store(LocalStore(folder), url, folder)


def _open_s3(s3: S3Settings, url: str, bucket: str, prefix: str) -> Store:
    from botocore.exceptions import BotoCoreError
    from obstore.auth.boto3 import Boto3CredentialProvider
    from obstore.store import S3Store

    session = aws.session(s3, url)
    try:
        credentials = Boto3CredentialProvider(session)
    except (BotoCoreError, ValueError) as error:
        raise aws.credentials_error(url, error) from error
    options: dict[str, Any] = {"endpoint": s3.endpoint_url, "virtual_hosted_style_request": False} if s3.endpoint_url else {}
    plain = bool(s3.endpoint_url and s3.endpoint_url.startswith("http://"))
    backend = S3Store(
        bucket,
        prefix=prefix or None,
        region=session.region_name,
        credential_provider=credentials,
        client_options={"allow_http": plain, "timeout": timedelta(seconds=s3.timeout), "connect_timeout": timedelta(seconds=5)},
        # Short: callers retry longer failures, and read the object to learn the result of a put.
        retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=10)},
        **options,
    )
    return Store(backend, url)
