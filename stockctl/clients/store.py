"""Object storage: one interface over ``file://`` and ``s3://``, with put-if-absent on both.

The only importer of obstore.
"""

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
from stockctl.settings import Settings, require


class ObjectInfo(NamedTuple):
    """One listed object: its key below the store's prefix, size in bytes, time of the last change."""

    key: str
    size: int
    modified: datetime


class AbsentError(StockctlError):
    """There is no object of that key."""


class ExistsError(StockctlError):
    """Put-if-absent found an object of that key, or a server said so: a lost answer looks the same, so look at the object."""


class Store:
    """The objects below one URL. Keys are relative, with ``/`` between their parts."""

    def __init__(self, backend: Any, url: str, folder: Path | None = None) -> None:
        self._backend = backend
        self.url = url
        self.folder = folder
        """The folder of a ``file://`` store, None for others."""

    def put_new(self, key: str, data: bytes) -> None:
        """Put ``data`` at ``key`` unless something is there: ExistsError."""
        import obstore

        with _translated(self, f"put {key}"):
            obstore.put(self._backend, key, data, mode="create", use_multipart=False)
            self._sync(key)

    def put(self, key: str, data: bytes) -> None:
        """Put ``data`` at ``key``, in place of whatever is there."""
        import obstore

        with _translated(self, f"put {key}"):
            obstore.put(self._backend, key, data)
            self._sync(key)

    def _sync(self, key: str) -> None:
        # The local backend renames into place without fsync: a power cut could keep a claim and lose the objects it names.
        if self.folder is not None:
            sync(self.folder / key)

    def get(self, key: str) -> bytes:
        """The object's bytes. AbsentError if there is none."""
        import obstore

        with _translated(self, f"get {key}"):
            return bytes(obstore.get(self._backend, key).bytes())

    def size(self, key: str) -> int:
        """The object's size in bytes. AbsentError if there is none."""
        import obstore

        with _translated(self, f"look at {key}"):
            return int(obstore.head(self._backend, key)["size"])

    def objects(self, prefix: str = "", *, after: str | None = None) -> Iterator[ObjectInfo]:
        """Objects below the folder ``prefix`` in key order, those after the key ``after`` if it is given."""
        import obstore

        with _translated(self, f"list {prefix or 'everything'}"):
            found = (
                ObjectInfo(item["path"], int(item["size"]), item["last_modified"])
                for chunk in obstore.list(self._backend, prefix or None, offset=after, chunk_size=1000)
                for item in chunk
            )
            # A folder lists in no order; S3 lists in key order, page by page.
            yield from sorted(found) if self.folder is not None else found

    def folders(self, prefix: str = "") -> list[str]:
        """Names of the folders directly below the folder ``prefix``, sorted."""
        import obstore

        with _translated(self, f"list {prefix or 'the top'}"):
            found = obstore.list_with_delimiter(self._backend, prefix or None)["common_prefixes"]
        return sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in found)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete the objects at ``keys``; one that is absent is no error."""
        import obstore

        with _translated(self, f"delete {keys[0] if keys else ''}"):
            if self.folder is None:
                for start in range(0, len(keys), 1000):
                    obstore.delete(self._backend, list(keys[start : start + 1000]))
                return
            # A folder gives up the whole list at the first that is absent.
            for key in keys:
                with suppress(FileNotFoundError):
                    obstore.delete(self._backend, key)


def sync(path: Path) -> None:
    """See that the file at ``path`` and its name survive a power cut."""
    for target in (path, path.parent):
        handle = os.open(target, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class _translated:
    """Turn obstore's exceptions into ours; ``doing`` says what was tried."""

    def __init__(self, store: Store, doing: str) -> None:
        self.store, self.doing = store, doing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if error is None or not isinstance(error, Exception) or isinstance(error, StockctlError):
            return
        raise _translate(error, self.store, self.doing) from error


_ANSWER = re.compile(r"<Code>(?P<code>\w+)</Code>.*?<Message>(?P<message>[^<]*)", re.DOTALL)
"""What S3 says of a request that failed."""
_BUSY = re.compile(r"status code: (?:5\d\d|429)\b")


def _translate(error: Exception, store: Store, doing: str) -> Exception:
    from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError

    # Everything behind the first line is a dump of the SDK's own structures.
    text = str(error).split("\n", 1)[0].split("<?xml", 1)[0].rstrip(": ")
    answer = _ANSWER.search(str(error))
    if answer is not None:
        text = f"{text}: {answer['code']}: {answer['message']}"
    message = f"cannot {doing} in {store.url}: {text}"
    if isinstance(error, AlreadyExistsError):
        return ExistsError(message)
    # A get answers it as "not found", a list as a generic error.
    if "<Code>NoSuchBucket" in str(error):
        return ConfigError(f"cannot {doing}: the bucket of {store.url} does not exist", hint="make it, or correct lake.url")
    if isinstance(error, FileNotFoundError):
        return AbsentError(message)
    refused = isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError)
    if answer is not None and answer["code"] == "RequestTimeTooSkewed":
        return RefusedError(message, hint="set this machine's clock: S3 takes no request that is a quarter of an hour off")
    # A refused listing comes as a general error that only tells the status.
    if refused or any(sign in str(error) for sign in ("status code: 401", "status code: 403", "Permission denied")):
        return RefusedError(message, hint="check the rights and the credentials: `stockctl doctor` tries each right")
    if _BUSY.search(str(error)) or "error sending request" in text or "HTTP error" in text:
        return UnreachableError(message, hint="check s3.endpoint_url, s3.region and the network")
    # ValueError: the key is none that a store takes, such as one with ``..`` in it.
    if isinstance(error, BaseError | OSError | ValueError):
        return StockctlError(message)
    return error


def open_store(settings: Settings) -> Store:
    """The store at ``lake.url``, for writers: a folder is made. S3 is not contacted yet."""
    url = str(require(settings, "lake.url"))
    parts = urlsplit(url)
    if parts.scheme == "file":
        return _open_folder(url, folder_of_url(url))
    return _open_s3(settings, url, parts.netloc, parts.path.strip("/"))


def folder_of_url(url: str) -> Path:
    """The folder of a ``file://`` URL."""
    return Path(unquote(urlsplit(url).path))


def _open_folder(url: str, folder: Path) -> Store:
    from obstore.store import LocalStore

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RefusedError(f"cannot make the folder of {url}: {error.strerror}", hint="choose another lake.url") from error
    return Store(LocalStore(folder), url, folder)


def _open_s3(settings: Settings, url: str, bucket: str, prefix: str) -> Store:
    from botocore.exceptions import BotoCoreError
    from obstore.auth.boto3 import Boto3CredentialProvider
    from obstore.store import S3Store

    s3 = settings.s3
    session = aws.session(settings, url)
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
        # Short: what outlasts this is retried above, where the answer of a put is not believed but looked up.
        retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=10)},
        **options,
    )
    return Store(backend, url)
