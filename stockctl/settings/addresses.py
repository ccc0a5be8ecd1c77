"""Addresses of other systems: hosts, brokers and URLs. A form that can never work is refused as it is read.

No message repeats more than a host: what stands in another part's place may be a password or a key.
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
# Not the suffixes that AWS keeps for itself: aliases of access points have them, and stand for a bucket.
_BUCKETS_OF_AWS = re.compile(r"(?:xn--|sthree-|amzn-s3-demo-).*")
_SECRETS = "an address holds no key, user or query: secrets have settings of their own"


def is_name(host: str) -> bool:
    """Whether ``host`` is a name as DNS has them, or an address of IPv4."""
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
    """The host in ``place``, without the brackets of IPv6, and its port, if any. ValueError where it names none that can be."""
    if "@" in place:
        raise ValueError("it holds no user and no password: they have settings of their own")
    match = _PLACE.fullmatch(place)
    if match is None or (match["port"] or "").count(":") > 1:
        raise ValueError("of each host, one colon stands before the port; an address of IPv6 stands in brackets: [::1]")
    host, port = match["host"], match["port"]
    if host.startswith("["):
        if not _is_ipv6(host[1:-1]):
            raise ValueError(f"{quoted(host)} is no address of IPv6")
    elif not host:
        raise ValueError("it names no host")
    elif not is_name(host):
        raise ValueError(f"{quoted(host)} is no host: write a name of letters, digits, dots and `-`, or an IP address")
    if port is None:
        return host.strip("[]"), None
    if not re.fullmatch(r":[0-9]{1,5}", port) or not 1 <= int(port[1:]) <= 65535:
        raise ValueError(f"the port of {quoted(host)} is no number from 1 to 65535")
    return host.strip("[]"), int(port[1:])


def _host(value: str) -> str:
    if not value or _is_ipv6(value):
        return value
    if "://" in value or "/" in value:
        raise ValueError("it is a host alone, such as db.example.com: no address with :// or a path")
    host, port = host_and_port(value)
    if port is not None or host != value:
        raise ValueError(f"it is a host alone, without port and brackets: write {host}")
    return value


Host = Annotated[str, AfterValidator(_host)]
"""A host, without a port."""


def _servers(value: str) -> str:
    servers = [part.strip() for part in value.split(",") if part.strip()]
    if not servers:
        raise ValueError("it names no broker: write host:9092, several joined by commas")
    for server in servers:
        if "://" in server:
            raise ValueError("a broker is host:9092 without ://; kafka.security_protocol says how connections are secured")
        host_and_port(server)
    return ",".join(servers)


BootstrapServers = Annotated[str, AfterValidator(_servers)]
"""Brokers of Kafka as host:port, joined by commas; the port is 9092 where it is absent."""


def _url(*schemes: str) -> AfterValidator:
    begin = " or ".join(f"{scheme}://" for scheme in schemes)

    def check(value: str) -> str:
        if not value:
            return value
        scheme, sign, rest = value.partition("://")
        place, _, path = rest.partition("/")
        if "?" in value or "@" in place:
            # An address is printed in errors and logs, so nothing secret may hide in it.
            raise ValueError(_SECRETS)
        if not sign or scheme.lower() not in schemes:
            raise ValueError(f"it does not begin with {begin}: write {schemes[-1]}://host or {schemes[-1]}://host:port")
        host_and_port(place)
        if not path.isprintable() or set(path) & set(' #\\"<>'):
            raise ValueError('its path holds a blank, or one of #\\"<>: write %20 for a blank, %23 for #')
        return value

    return AfterValidator(check)


HttpAddress = Annotated[str, _url("http", "https")]
"""An address of an API over HTTP without anything secret in it."""
WebSocketAddress = Annotated[str, _url("ws", "wss")]
"""An address of a WebSocket without anything secret in it."""


def _lake(value: str) -> str:
    """Refuses a folder that is none, and a bucket, and a prefix, that S3 or its clients do not take."""
    # Whoever opens it looks for schemes in small letters.
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
        raise ValueError("it names no folder from the root on: write file:///folder, with %23 for # and %3F for ? in its name")
    if "\0" in unquote(path):
        raise ValueError("it holds a NUL, and no folder's name does")
    return value


def _bucket(value: str) -> str:
    bucket, _, prefix = value.partition("://")[2].partition("/")
    if not _BUCKET.fullmatch(bucket) or _FOUR_NUMBERS.fullmatch(bucket):
        raise ValueError(
            f"{quoted(bucket)} is no bucket: S3 takes 3 to 63 small letters, digits, single dots and `-`, with a letter or a"
            " digit at both ends, and no IP address"
        )
    if _BUCKETS_OF_AWS.fullmatch(bucket):
        raise ValueError(f"{quoted(bucket)} begins as AWS keeps for itself: take another bucket")
    parts = prefix.removesuffix("/").split("/") if prefix else []
    if any(part in ("", ".", "..") for part in parts) or not prefix.isprintable() or set(prefix) & set("#\\"):
        raise ValueError(f"{quoted(prefix)} is no prefix: write names joined by single slashes, none of them `.` or `..`")
    return value


LakeAddress = Annotated[str, AfterValidator(_lake)]
"""Where the lake lies: a folder, or a bucket of S3 with a prefix."""
