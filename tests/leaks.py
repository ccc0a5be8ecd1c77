"""Looks for secrets in everything that a run leaves: files, words, objects with their metadata, records, command lines."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import boto3

from stockctl.lake.writer.batch import decompress
from stockctl.settings import Settings
from tests.command import BIN
from tests.topics import messages


def spellings(secret: str) -> set[bytes]:
    """The ways in which ``secret`` may be written."""
    texts = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    return {text.encode() for text in texts} | {base64.b64encode(secret.encode()).rstrip(b"=")}


class Leaks:
    """Collects where one of ``secrets`` was seen; ``looked`` counts, by kind, at how much it looked."""

    def __init__(self, *secrets: str) -> None:
        self._spellings = {spelling for secret in secrets for spelling in spellings(secret)}
        self.seen: list[str] = []
        self.looked: dict[str, int] = {}

    def look(self, kind: str, name: str, data: bytes | str) -> None:
        """Look into ``data``."""
        self.looked[kind] = self.looked.get(kind, 0) + 1
        held = data.encode() if isinstance(data, str) else data
        if any(spelling in held for spelling in self._spellings):
            self.seen.append(f"{kind} {name}")

    def files(self, folder: Path) -> None:
        """Look into every file below ``folder``, decompressed, and at its name."""
        for path in folder.rglob("*"):
            self.look("name", str(path), str(path))
            if path.is_file():
                self.look("file", str(path), path.read_bytes())
                if path.suffix in (".gz", ".zst"):
                    self.look("lines", str(path), decompress(path.read_bytes(), path.name))

    def objects(self, settings: Settings) -> None:
        """Look into every object of the lake in S3, at its key and at all its metadata."""
        secret = settings.s3.secret_access_key
        client = boto3.client(
            "s3",
            endpoint_url=settings.s3.endpoint_url,
            region_name=settings.s3.region,
            aws_access_key_id=settings.s3.access_key_id,
            aws_secret_access_key=secret.get_secret_value() if secret else None,
        )
        bucket, _, prefix = str(settings.lake.url).removeprefix("s3://").partition("/")
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for item in page.get("Contents", []):
                answer: dict[str, Any] = dict(client.get_object(Bucket=bucket, Key=item["Key"]))
                data = answer.pop("Body").read()
                self.look("object", item["Key"], data if not item["Key"].endswith(".gz") else decompress(data, item["Key"]))
                self.look("metadata", item["Key"], json.dumps(answer | {"key": item["Key"]}, default=str))
        client.close()

    def records(self, settings: Settings) -> None:
        """Look into every record of the topics: key, value and headers."""
        for topic in (
            settings.topics.trades,
            settings.topics.feed_events,
            settings.topics.signals,
            settings.topics.dead_letters,
        ):
            for message in messages(settings, topic.name):
                self.look("record", topic.name, repr((message.key(), message.headers())).encode() + (message.value() or b""))

    @contextmanager
    def command_lines(self) -> Iterator[None]:
        """Look at the command line of every process that runs the installed script, again and again, until left."""
        stop, script = threading.Event(), str(BIN / "stockctl").encode()

        def watch() -> None:
            while not stop.wait(0.02):
                for path in Path("/proc").glob("[0-9]*/cmdline"):
                    try:
                        line = path.read_bytes()
                    except OSError:
                        continue  # it has ended
                    if script in line.split(b"\0"):  # and not one that the fork server started: its line is the server's
                        self.look("command line", line.decode(errors="replace"), line)

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
