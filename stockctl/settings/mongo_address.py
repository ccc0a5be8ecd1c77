"""The MongoDB connection string: its parts, and its options as MongoDB documents them.

The driver ignores unknown options and invalid values, so ``?tsl=true`` would connect without TLS. Here they are errors. No
message repeats the value of an option.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Annotated, NamedTuple
from urllib.parse import unquote, unquote_plus

from pydantic import AfterValidator

from stockctl.settings.addresses import host_and_port, is_name


class MongoParts(NamedTuple):
    """Parts of a connection string. ``hosts`` are separated by commas."""

    scheme: str
    hosts: str
    path: str
    query: str


def mongo_parts(address: str) -> MongoParts:
    """Split a connection string. It is not a URL: it can have several hosts, with IPv6 addresses among them."""
    scheme, _, rest = address.partition("://")
    place, _, query = rest.partition("?")
    hosts, slash, path = place.partition("/")
    return MongoParts(scheme, hosts, slash + path, query)


class _Kind(NamedTuple):
    """Allowed values of an option, as text and as a test."""

    words: str
    takes: Callable[[str], bool]


def _one_of(*choices: str) -> _Kind:
    return _Kind(f"{', '.join(choices[:-1])} or {choices[-1]}", choices.__contains__)


def _whole(low: int, high: int = 999_999_999, besides: int | None = None) -> _Kind:
    def takes(text: str) -> bool:
        return re.fullmatch(r"-?[0-9]{1,9}", text) is not None and (low <= int(text) <= high or int(text) == besides)

    return _Kind(f"a whole number from {low} to {high}" + ("" if besides is None else f", or {besides}"), takes)


_SWITCH = _one_of("true", "false")
_TEXT = _Kind("a text that is not empty", bool)
_COMPRESSORS = ("snappy", "zlib", "zstd")
_TAGS = re.compile(r"(?:[^:,]+:[^:,]*(?:,[^:,]+:[^:,]*)*)?")

_OPTIONS: dict[str, _Kind] = {
    "appName": _Kind("a text of 1 to 128 bytes", lambda text: 0 < len(text.encode()) <= 128),
    "authMechanism": _one_of("DEFAULT", "GSSAPI", "MONGODB-AWS", "MONGODB-X509", "PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"),
    "authSource": _TEXT,
    "compressors": _Kind(
        f"one or more of {', '.join(_COMPRESSORS)}, joined by commas", lambda text: set(text.split(",")) <= set(_COMPRESSORS)
    ),
    "connectTimeoutMS": _whole(0),
    "directConnection": _SWITCH,
    "heartbeatFrequencyMS": _whole(500),
    "journal": _SWITCH,
    "loadBalanced": _SWITCH,
    "localThresholdMS": _whole(0),
    "maxConnecting": _whole(1),
    "maxIdleTimeMS": _whole(1),
    "maxPoolSize": _whole(0),
    "maxStalenessSeconds": _whole(90, besides=-1),
    "minPoolSize": _whole(0),
    "readConcernLevel": _one_of("local", "majority", "linearizable", "available", "snapshot"),
    "readPreference": _one_of("primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest"),
    "readPreferenceTags": _Kind("written name:value, joined by commas", lambda text: _TAGS.fullmatch(text) is not None),
    "replicaSet": _TEXT,
    "retryReads": _SWITCH,
    "retryWrites": _SWITCH,
    "serverMonitoringMode": _one_of("auto", "stream", "poll"),
    "serverSelectionTimeoutMS": _whole(0),
    "socketTimeoutMS": _whole(0),
    "srvMaxHosts": _whole(0),
    "srvServiceName": _TEXT,
    "ssl": _SWITCH,
    "timeoutMS": _whole(0),
    "tls": _SWITCH,
    "tlsAllowInvalidCertificates": _SWITCH,
    "tlsAllowInvalidHostnames": _SWITCH,
    "tlsCAFile": _TEXT,
    "tlsCertificateKeyFile": _TEXT,
    "tlsCRLFile": _TEXT,
    "tlsDisableOCSPEndpointCheck": _SWITCH,
    "tlsInsecure": _SWITCH,
    "uuidRepresentation": _one_of("unspecified", "standard", "pythonLegacy", "javaLegacy", "csharpLegacy"),
    "w": _Kind("majority, a number of members from 0 on, or a name", lambda text: bool(text) and not text.startswith("-")),
    "waitQueueTimeoutMS": _whole(1),
    "wTimeoutMS": _whole(0),
    "zlibCompressionLevel": _whole(-1, 9),
}
_NAMES = {name.lower(): name for name in _OPTIONS}
_FILES = ("tlsCAFile", "tlsCertificateKeyFile", "tlsCRLFile")
_EXCLUSIVE = (
    ("tls", "ssl"),
    ("tlsInsecure", "tlsAllowInvalidCertificates"),
    ("tlsInsecure", "tlsAllowInvalidHostnames"),
    ("tlsInsecure", "tlsDisableOCSPEndpointCheck"),
    ("tlsAllowInvalidCertificates", "tlsDisableOCSPEndpointCheck"),
    ("loadBalanced", "replicaSet"),
    ("loadBalanced", "directConnection"),
    ("srvMaxHosts", "replicaSet"),
    ("srvMaxHosts", "loadBalanced"),
)
"""Pairs of mutually exclusive options."""


def _mongo_address(value: str) -> str:
    parts = mongo_parts(value)
    if parts.scheme not in ("mongodb", "mongodb+srv") or "://" not in value:
        raise ValueError("it does not start with mongodb:// or mongodb+srv://")
    # An unescaped password may contain a slash or a question mark, where the hosts seem to end. Azure's addresses end with
    # the option appName=@account@.
    query = parts.query.lower()
    rest = parts.hosts + parts.path + re.sub(r"(?<![^&;])appname=[^&;]*", "", query)
    if "@" in rest or "password" in query or "authmechanismproperties" in query:
        raise ValueError("an address must not contain a user or a password: use mongo.username and mongo.password")
    hosts = _hosts(parts)
    if "/" in parts.path[1:] or set(unquote(parts.path[1:])) & set('/\\ "$'):
        raise ValueError("after the hosts and a slash, only a database name is allowed")
    options = _options(parts.query)
    _check_together(parts.scheme, hosts, options)
    return value


MongoAddress = Annotated[str, AfterValidator(_mongo_address)]
"""A connection string without user and password, with options such as ``?tls=true``."""


def mongo_files(address: str) -> dict[str, str]:
    """The file options of a connection string, with their paths."""
    options = _options(mongo_parts(address).query)
    return {name: options[name] for name in _FILES if name in options}


def _hosts(parts: MongoParts) -> list[str]:
    hosts = parts.hosts.split(",")
    if not all(hosts):
        raise ValueError(f"it has no host, or an extra comma among its hosts: write {parts.scheme}://host")
    if parts.scheme == "mongodb+srv":
        if len(hosts) > 1 or not is_name(hosts[0]) or hosts[0].replace(".", "").isdigit():
            raise ValueError("mongodb+srv:// allows one host name without a port; DNS resolves it to hosts and ports")
        return hosts
    for host in hosts:
        # A Unix domain socket is a path with escaped slashes.
        if not host.endswith(".sock"):
            host_and_port(host)
    return hosts


def _options(query: str) -> dict[str, str]:
    """The options by their documented names. ValueError for an option that is unknown, repeated or has an invalid value."""
    if re.search(r"\s", query):
        raise ValueError("its options contain a space: write %20")
    options: dict[str, str] = {}
    for item in re.split("&" if "&" in query else ";", query) if query else []:
        written, sign, text = item.partition("=")
        if not sign or "=" in text or not re.fullmatch(r"[A-Za-z_]{1,50}", written):
            raise ValueError("write the options after its ? as name=value, separated by &")
        name = _NAMES.get(written.lower())
        if name is None:
            near = difflib.get_close_matches(written.lower(), _NAMES, n=1)
            raise ValueError(
                f"{written} is not an option of a MongoDB connection string"
                + (f": did you mean {_NAMES[near[0]]}?" if near else ": correct or remove it")
            )
        if name in options and name != "readPreferenceTags":
            raise ValueError(f"its option {name} stands there twice: leave one out")
        # Of tags, only what stands between the colons and commas is escaped.
        options[name] = text if name == "readPreferenceTags" else unquote_plus(text)
        if not _OPTIONS[name].takes(options[name]):
            raise ValueError(f"its option {name} must be {_OPTIONS[name].words}")
    return options


def _check_together(scheme: str, hosts: list[str], options: dict[str, str]) -> None:
    """ValueError for options that contradict each other, or the hosts."""
    on = {name for name, text in options.items() if text != "false"}
    for one, other in _EXCLUSIVE:
        if {one, other} <= (set(options) if one.startswith("tls") else on):
            raise ValueError(f"its options {one} and {other} exclude each other: remove one")
    if scheme == "mongodb+srv" and "directConnection" in on:
        raise ValueError("its option directConnection is for mongodb://host:port, not for mongodb+srv://")
    if scheme != "mongodb+srv" and (srv := sorted(name for name in options if name.startswith("srv"))):
        raise ValueError(f"its option {srv[0]} is for mongodb+srv:// alone")
    if len(hosts) > 1 and (single := sorted(on & {"directConnection", "loadBalanced"})):
        raise ValueError(f"its option {single[0]} is for one host, and there are several")
    secured = sorted(name for name in on if name.startswith("tls") and name != "tls")
    if secured and scheme == "mongodb" and not on & {"tls", "ssl"}:
        raise ValueError(f"its option {secured[0]} needs TLS: add tls=true")
    if secured and options.get("tls", options.get("ssl")) == "false":
        raise ValueError(f"its option {secured[0]} needs TLS, which tls=false turns off")
    pool = int(options.get("maxPoolSize", "100"))
    if pool and int(options.get("minPoolSize", "0")) > pool:
        raise ValueError("its option minPoolSize is above maxPoolSize, which is 100 unless set")
    if options.get("w") == "0" and "journal" in on:
        raise ValueError("its options w=0 and journal=true exclude each other: remove one")
    if options.get("readPreference", "primary") == "primary":
        stale = options.get("maxStalenessSeconds", "-1") != "-1"
        if stale or options.get("readPreferenceTags"):
            name = "maxStalenessSeconds" if stale else "readPreferenceTags"
            raise ValueError(f"its option {name} needs a readPreference other than primary")
