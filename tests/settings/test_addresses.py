"""Addresses that can never work are refused where they are read, in plain words that repeat no secret."""

from __future__ import annotations

import re
import traceback
from urllib.parse import quote

import pytest
from pymongo import MongoClient

from stockctl.errors import ConfigError
from stockctl.settings import load_settings
from stockctl.settings.mongo_address import _OPTIONS
from tests.settings.test_resource_names import pairs

APIS = ("finnhub.rest_url", "s3.endpoint_url", "connect.url", "glue.endpoint_url", "redshift.endpoint_url")
MONGO = ("mongo.url", "infra.mongo_url")
LONG = ".".join(["a" * 63] * 3)

TAKEN: dict[tuple[str, ...], list[str]] = {
    ("kafka.bootstrap_servers",): ["h:9092", "h", "h_1.example.com.:1", "10.0.0.5:65535", "[::1]:9092", "[::1]", LONG, "a:1,b"],
    APIS: ["http://h", "https://h:9000/a/b", "HTTP://h/", "http://[fd00::5]:1/x", "http://10.0.0.5", "http://h/@/%20"],
    ("s3.endpoint_url", "connect.url", "glue.endpoint_url", "redshift.endpoint_url", "lake.url", "redshift.host"): [""],
    ("finnhub.url",): ["ws://h:8081", "wss://h/path", "ws://[::1]:1"],
    ("lake.url",): ["file:///a", "file:/a", "FILE:///a", "file://localhost/a%20b", "s3://bucket/a@b", "S3://bucket"],
    ("health.host", "redshift.host"): ["0.0.0.0", "::", "fe80::1%eth0", "localhost", "db-1.example.com"],  # noqa: S104 - a text
    MONGO: [
        "mongodb://h",
        "mongodb://h:1,[::1]:2,[fd00::1]/db?replicaSet=rs0&tls=true",
        "mongodb://%2Ftmp%2Fmongodb-27017.sock",
        "mongodb://h/?tls=true;w=majority",
        "mongodb://h/?",
        "mongodb://h:10255/?ssl=true&retrywrites=false&maxIdleTimeMS=120000&appName=@h@",  # as Azure gives it
        "mongodb+srv://h.example.com/?retryWrites=true&w=majority&appName=a",
        "mongodb://h/?READPREFERENCE=secondary&readPreferenceTags=dc:a,rack:b&readPreferenceTags=",
    ],
}

NO_PLACES = {
    "x:y": "the port of 'x' is not a number from 1 to 65535",
    "me:hunter2": "the port of 'me' is not a number from 1 to 65535",
    "h:": "not a number from 1 to 65535",
    "h:0": "not a number from 1 to 65535",
    "h:65536": "not a number from 1 to 65535",
    "h:-1": "not a number from 1 to 65535",
    "h:１": "not a number from 1 to 65535",
    ":9092": "it has no host",
    "a b:9092": "'a b' is not a host",
    "a..b": "'a..b' is not a host",
    "h:1\nx": "not a number from 1",
    "h\nx": "'h<U+000A>x' is not a host",
    f"{LONG}.{LONG}": "is not a host",
    "a" * 64: "is not a host",
    "256.1.1.1": "'256.1.1.1' is not a host",
    "::1": "in brackets",
    "[::1": "in brackets",
    "[h]:1": "not an IPv6 address",
    "me:hunter2@h:1": "user",
}
REFUSED: dict[tuple[str, ...], dict[str, str]] = {
    ("kafka.bootstrap_servers",): NO_PLACES
    | {
        "": "it has no broker: write host:9092",
        ",": "it has no broker: write host:9092",
        "http://x:9092": "write a broker as host:9092 without ://",
        "PLAINTEXT://x:9092": "set kafka.security_protocol",
        "a:1,x:y": "the port of 'x'",
    },
    APIS: {f"http://{place}": words for place, words in NO_PLACES.items() if "\n" not in place}
    | {
        "htp://x": "it does not start with http:// or https://: write https://host",
        "h:9000": "does not start with",
        "http:/h": "does not start with",
        "http://": "it has no host",
        "http:///a": "it has no host",
        "http://h/a b": "its path contains a space",
        "http://h/#a": "its path contains",
        "http://h?key=hunter2": "use the settings for secrets",
    },
    ("finnhub.url",): {"https://h": "it does not start with ws:// or wss://: write wss://host", "ws://": "it has no host"},
    ("finnhub.url", "finnhub.rest_url", "health.host"): {"": "it is empty"},
    ("lake.url",): {
        "htp://x": "neither file:///folder nor s3://bucket/prefix",
        "/a/path": "neither file:///folder nor s3://bucket/prefix",
        "lake": "neither file:///folder nor s3://bucket/prefix",
        "s3:bucket": "neither file:///folder",
        "file://h/a": "it is not an absolute path",
        "file://": "it is not an absolute path",
        "file://lake": "it is not an absolute path",
        "file:a": "it is not an absolute path",
        "file:///a#b": "with %23 for #",
        "file:///a?b": "%3F for ?",
        "file:///a%00b": "it contains a NUL",
        "s3://me:hunter2@bucket": "use the settings for secrets",
    },
    ("health.host", "redshift.host"): {
        "h:5439": "it must be a host without port and brackets: write h",
        "[::1]": "write ::1",
        "h:5439/dev": "without :// and path",
        "http://h": "without :// and path",
        "a b": "'a b' is not a host",
    },
    MONGO: {f"mongodb://{place}/?w=1": words for place, words in NO_PLACES.items()}
    | {
        "": "does not start with mongodb://",
        "mongodb:h": "does not start with mongodb://",
        "http://h": "does not start with mongodb://",
        "mongodb://": "it has no host",
        "mongodb://h,": "an extra comma",
        "mongodb://h/a/b": "only a database name",
        "mongodb://h/a%20b": "only a database name",
        "mongodb+srv://h:27017": "without a port",
        "mongodb+srv://a,b": "one host name",
        "mongodb+srv://10.0.0.5": "one host name",
        "mongodb+srv://[::1]": "one host name",
        "mongodb://me:pa?hunter2@h": "use mongo.username and mongo.password",
        "mongodb://h/?tsl=true": "tsl is not an option of a MongoDB connection string: did you mean tls?",
        "mongodb://h/?maxpolsize=5": "did you mean maxPoolSize?",
        "mongodb://h/?nope=1": "nope is not an option of a MongoDB connection string",
        "mongodb://h/?tls": "as name=value",
        "mongodb://h/?hunter2": "as name=value",
        "mongodb://h/?appName=a b": "write %20",
        "mongodb://h/?tls=true&": "as name=value",
        "mongodb://h/?tls=true=x": "as name=value",
        "mongodb://h/?tls=true;w=1&journal=true": "as name=value",
        "mongodb://h/?tls=true&TLS=false": "its option tls stands there twice",
        "mongodb://h/?tls=hunter2": "its option tls must be true or false",
        "mongodb://h/?tls=True": "its option tls must be true or false",
        "mongodb://h/?tls=": "its option tls must be true or false",
        "mongodb://h/?maxPoolSize=-1": "its option maxPoolSize must be a whole number from 0",
        "mongodb://h/?connectTimeoutMS=5s": "must be a whole number",
        "mongodb://h/?maxStalenessSeconds=5&readPreference=nearest": "from 90 to",
        "mongodb://h/?zlibCompressionLevel=10": "from -1 to 9",
        "mongodb://h/?readPreference=any": "must be primary, primaryPreferred",
        "mongodb://h/?replicaSet=": "a text that is not empty",
        "mongodb://h/?compressors=zlib,zip": "one or more of snappy, zlib, zstd",
        f"mongodb://h/?appName={'a' * 129}": "128 bytes",
        "mongodb://h/?w=-1": "its option w must be",
        "mongodb://h/?tls=true&ssl=true": "tls and ssl exclude each other",
        "mongodb://h/?tls=true&tlsInsecure=true&tlsAllowInvalidHostnames=true": "exclude each other",
        "mongodb://h/?tlsCAFile=/a": "tlsCAFile needs TLS: add tls=true",
        "mongodb+srv://h/?tlsCAFile=/a&tls=false": "tls=false turns off",
        "mongodb://a,b/?directConnection=true": "directConnection is for one host",
        "mongodb+srv://a/?directConnection=true": "not for mongodb+srv://",
        "mongodb://h/?srvMaxHosts=1": "for mongodb+srv:// alone",
        "mongodb://h/?minPoolSize=101": "minPoolSize is above maxPoolSize",
        "mongodb://h/?w=0&journal=true": "exclude each other",
        "mongodb://h/?readPreferenceTags=dc:a": "other than primary",
        "mongodb://h/?readPreference=nearest&readPreferenceTags=dc": "written name:value",
        "mongodb://h/?readPreference=nearest&readPreferenceTags=dc%3Aa": "written name:value",
    },
}


@pytest.mark.parametrize(("name", "text"), pairs(TAKEN))
def test_an_address_that_may_work_is_taken(name: str, text: str) -> None:
    load_settings(environ={}, flags={name: text}, stack=False)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [(name, text, words) for names, texts in REFUSED.items() for name in names for text, words in texts.items()],
)
def test_an_address_that_cannot_work_is_refused_and_no_secret_in_it_is_repeated(name: str, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=f"invalid setting {re.escape(name)} from command line: ") as raised:
        load_settings(environ={}, flags={name: text}, stack=False)
    assert words in str(raised.value)
    assert "hunter2" not in "".join(traceback.format_exception(raised.value)) + str(raised.value.hint)


def test_brokers_are_written_as_kafkas_client_takes_them() -> None:
    settings = load_settings(environ={}, flags={"kafka.bootstrap_servers": " a:1, b:2,"}, stack=False)
    assert settings.kafka.bootstrap_servers == "a:1,b:2"


VALUES = {
    "readPreferenceTags": ["dc:a"],
    "compressors": ["zlib"],
    "authMechanism": ["MONGODB-X509"],
    "tlsCAFile": [],
    "tlsCertificateKeyFile": [],
    "tlsCRLFile": [],
    "srvMaxHosts": [],
    "srvServiceName": [],
}
"""What is not tried on a client for each option: what needs a file, DNS or a user."""
TRIED = ["true", "false", "0", "1", "90", "500", "999999999", "-1", "9", "majority", "name"]
BESIDE = {
    "tlsAllow": "tls=true&",
    "tlsDis": "tls=true&",
    "tlsIns": "tls=true&",
    "readPreferenceTags": "readPreference=nearest&",
    "maxS": "readPreference=nearest&",
}


@pytest.mark.parametrize("option", _OPTIONS)
def test_pymongo_takes_each_option_that_the_settings_take(option: str) -> None:
    """A warning of pymongo's, which ignores what it warns of, is an error here."""
    kind = _OPTIONS[option]
    beside = next((text for start, text in BESIDE.items() if option.startswith(start)), "")
    choices = kind.words.replace(" or ", ", ").split(", ")
    for value in filter(kind.takes, VALUES.get(option, TRIED + choices)):
        url = f"mongodb://h/?{beside}{option}={quote(value, safe=':,')}"
        try:
            load_settings(environ={}, flags={"mongo.url": url}, stack=False)
        except ConfigError:
            continue
        MongoClient(url, connect=False).close()
