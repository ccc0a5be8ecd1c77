"""Types of addresses: hosts, brokers and URLs. They reject what can never work.

Error messages repeat only the host: other parts may contain a password or a key.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated
from urllib.parse import unquote

from pydantic import AfterValidator

from stockctl.errors import quoted

_LABEL = r"[A-Za-z0-9_-]{1,63}"
_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*\.?")
_FOUR_NUMBERS = re.compile(r"\d+(?:\.\d+){3}")
_PLACE = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?P<port>:.*)?", re.DOTALL)
_BUCKET = re.compile(r"(?=.{3,63}$)[a-z0-9](?:[a-z0-9-]|\.(?!\.))*[a-z0-9]")
# The suffixes that AWS reserves are allowed: aliases of access points have them, and stand for a bucket.
_RESERVED_BUCKETS = re.compile(r"(?:xn--|sthree-|amzn-s3-demo-).*")
_SECRETS = "an address must not contain a key, a user or a query: use the settings for secrets"


def is_name(host: str) -> bool:
    """Whether ``host`` is a DNS name or an IPv4 address."""
    if not _NAME.fullmatch(host):
        return False
    return not _FOUR_NUMBERS.fullmatch(host) or _is_address(IPv4Address, host)


def _is_address(kind: type[IPv4Address | IPv6Address], text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


def _is_ipv6(text: str) -> bool:
    # The zone of a link-local address is written %25eth0 in URLs.
    return _is_address(IPv6Address, text.replace("%25", "%", 1))


def host_and_port(place: str) -> tuple[str, int | None]:
    """The host in ``place``, without the brackets of IPv6, and its port, if any. ValueError if it is not host or host:port."""
    if "@" in place:
        raise ValueError("it must not contain a user or a password: use their own settings")
    match = _PLACE.fullmatch(place)
    if match is None or (match["port"] or "").count(":") > 1:
        raise ValueError("write each host as host:port, and an IPv6 address in brackets: [::1]")
    host, port = match["host"], match["port"]
    if host.startswith("["):
        if not _is_ipv6(host[1:-1]):
            raise ValueError(f"{quoted(host)} is not an IPv6 address")
    elif not host:
        raise ValueError("it has no host")
    elif not is_name(host):
        raise ValueError(f"{quoted(host)} is not a host: write a DNS name or an IP address")
    if port is None:
        return host.strip("[]"), None
    if not re.fullmatch(r":[0-9]{1,5}", port) or not 1 <= int(port[1:]) <= 65535:
        raise ValueError(f"the port of {quoted(host)} is not a number from 1 to 65535")
    return host.strip("[]"), int(port[1:])


def _host(value: str) -> str:
    if not value or _is_ipv6(value):
        return value
    if "://" in value or "/" in value:
        raise ValueError("it must be a host, such as db.example.com, without :// and path")
    host, port = host_and_port(value)
    if port is not None or host != value:
        raise ValueError(f"it must be a host without port and brackets: write {host}")
    return value


Host = Annotated[str, AfterValidator(_host)]
"""A host, without a port."""


def _servers(value: str) -> str:
    servers = [part.strip() for part in value.split(",") if part.strip()]
    if not servers:
        raise ValueError("it has no broker: write host:9092, separated by commas")
    for server in servers:
        if "://" in server:
            raise ValueError("write a broker as host:9092 without ://; set kafka.security_protocol for TLS")
        host_and_port(server)
    return ",".join(servers)


BootstrapServers = Annotated[str, AfterValidator(_servers)]
"""Kafka brokers as host:port, separated by commas; the default port is 9092."""


def _url(*schemes: str) -> AfterValidator:
    begin = " or ".join(f"{scheme}://" for scheme in schemes)

    def check(value: str) -> str:
        if not value:
            return value
        scheme, sign, rest = value.partition("://")
        place, _, path = rest.partition("/")
        if "?" in value or "@" in place:
            # Addresses are printed in errors and logs, so they must contain no secret.
            raise ValueError(_SECRETS)
        if not sign or scheme.lower() not in schemes:
            raise ValueError(f"it does not start with {begin}: write {schemes[-1]}://host or {schemes[-1]}://host:port")
        host_and_port(place)
        if not path.isprintable() or set(path) & set(' #\\"<>'):
            raise ValueError('its path contains a space or one of #\\"<>: write %20 for a space, %23 for #')
        return value

    return AfterValidator(check)


HttpAddress = Annotated[str, _url("http", "https")]
"""An HTTP URL without secrets."""
WebSocketAddress = Annotated[str, _url("ws", "wss")]
"""A WebSocket URL without secrets."""


def _lake(value: str) -> str:
    """Reject what is not an absolute folder, or a bucket or prefix that S3 or its clients reject."""
    # The code that opens it compares schemes in lowercase.
    scheme, colon, rest = value.partition(":")
    value = f"{scheme.lower()}{colon}{rest}"
    if value.startswith("file:"):
        return _folder(value)
    if "?" in rest or "@" in rest.removeprefix("//").partition("/")[0]:
        raise ValueError(_SECRETS)
    if value and not value.startswith("s3://"):
        raise ValueError("it is neither file:///folder nor s3://bucket/prefix")
    return _bucket(value) if value else value


def _folder(value: str) -> str:
    place, path = re.fullmatch(r"[^:]*:(?://([^/]*))?(.*)", value, re.DOTALL).groups()  # type: ignore[union-attr]  # any text with a colon matches
    if place not in (None, "", "localhost") or not path.startswith("/") or set(path) & set("#?"):
        raise ValueError("it is not an absolute path: write file:///folder, with %23 for # and %3F for ? in its name")
    if "\0" in unquote(path):
        raise ValueError("it contains a NUL, which no folder name can")
    return value


def _bucket(value: str) -> str:
    bucket, _, prefix = value.partition("://")[2].partition("/")
    if not _BUCKET.fullmatch(bucket) or _FOUR_NUMBERS.fullmatch(bucket):
        raise ValueError(
            f"{quoted(bucket)} is not a bucket name: S3 allows 3 to 63 lowercase letters, digits, single dots and `-`, with a"
            " letter or a digit at both ends, and no IP address"
        )
    if _RESERVED_BUCKETS.fullmatch(bucket):
        raise ValueError(f"{quoted(bucket)} has a prefix reserved by AWS: use another bucket")
    parts = prefix.removesuffix("/").split("/") if prefix else []
    if any(part in ("", ".", "..") for part in parts) or not prefix.isprintable() or set(prefix) & set("#\\"):
        raise ValueError(f"{quoted(prefix)} is not a prefix: write names separated by single slashes, none of them `.` or `..`")
    return value


LakeAddress = Annotated[str, AfterValidator(_lake)]
"""The location of the lake: a folder, or an S3 bucket with a prefix."""
