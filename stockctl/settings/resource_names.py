"""Types of names in other systems. They reject early what the system would reject later."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated

from pydantic import AfterValidator

from stockctl.errors import quoted
from stockctl.settings.types import NameList


def _written(pattern: str, words: str) -> AfterValidator:
    """Reject a text that does not match ``pattern``, with ``words`` as the error message."""
    form = re.compile(pattern)

    def check(value: str) -> str:
        if not form.fullmatch(value):
            raise ValueError(f"{quoted(value)} is {words}")
        return value

    return AfterValidator(check)


TopicName = Annotated[
    str,
    _written(
        r"(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}", "not a topic name: Kafka allows up to 249 letters, digits, dots, `_` and `-`"
    ),
    _written(
        r"(?!__(?:consumer_offsets|transaction_state|share_group_state|cluster_metadata|remote_log_metadata)$).*",
        "an internal topic of Kafka: use another name",
    ),
]
"""A Kafka topic."""
GroupName = Annotated[
    str, _written(r"[^\s\x00-\x1f\x7f]{1,249}", "not a consumer group name: write 1 to 249 characters without spaces")
]
"""A consumer group, or a connector: Kafka Connect derives its group from the name."""
MongoDatabase = Annotated[
    str,
    _written(
        r'[^\s\x00/\\."$*<>:|?]{1,63}', 'not a database name: MongoDB allows 63 characters, without spaces and /\\."$*<>:|?'
    ),
    _written(r"(?i:(?!(?:admin|config|local)$)).*", "a system database of MongoDB: use another name"),
]
"""A MongoDB database."""
GlueDatabase = Annotated[
    str, _written(r"[a-z0-9_]{1,255}", "not a database name: Glue allows up to 255 lowercase letters, digits and `_`")
]
"""A database of the Glue Data Catalog."""
Schedule = Annotated[str, _written(r"cron\(.+\)", "not a schedule: write it as cron(15 * * * ? *)")]
"""Schedule of a crawler."""
SchemaName = Annotated[
    str,
    _written(
        r"[a-z_][a-z0-9_]{0,126}",
        "not a schema name: write up to 127 lowercase letters, digits and `_`, not starting with a digit",
    ),
    _written(r"(?!pg_|information_schema$).*", "a system schema of Redshift: use another name"),
]
"""A Redshift schema."""
RoleArn = Annotated[str, _written(r"default|arn:[\w:/+=,.@-]+", "not a role: write its ARN, or `default`")]
"""An IAM role for Redshift."""
Namespace = Annotated[
    str,
    _written(
        r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
        "not a namespace: Kubernetes allows up to 63 lowercase letters, digits and `-`, not at the start or end",
    ),
    _written(r"(?!kube-).*", "reserved by Kubernetes, as all names that start with kube-: use another name"),
]
"""A Kubernetes namespace."""

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_PORT = r"(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_REGISTRY = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::{_PORT})?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = rf"(?=[^@]{{1,255}}$)(?:{_REGISTRY}/)?{_PART}(?:/{_PART})*"
_TAG = r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}"
IMAGE_REFERENCE = re.compile(
    rf"(?:{_REGISTRY}/)?{_PART}(?:/{_PART})*(?::{_TAG})?(?:@[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-fA-F0-9]{{32,}})?"
)
"""An image reference with optional tag or digest, as in the OCI distribution specification."""
ImageName = Annotated[
    str,
    _written(
        _IMAGE,
        "not an image name: write registry.example.com:5000/team/name in lowercase, with a port up to 65535;"
        " infra.image_tag has the tag",
    ),
]
"""An image name without tag and digest, as in the OCI distribution specification."""
ImageTag = Annotated[
    str,
    _written(_TAG, "not an image tag: write up to 128 letters, digits, `_`, dots and `-`"),
]
"""The tag of an image."""


_SOURCE = re.compile(r"[A-Za-z0-9._-]{1,64}")


def _sources(value: list[str]) -> list[str]:
    for source in value:
        if not _SOURCE.fullmatch(source):
            raise ValueError(f"{quoted(source)} is not a source name: write 1 to 64 letters, digits, dots, `_` and `-`")
    return value


Sources = Annotated[NameList, AfterValidator(_sources)]
"""Sources of records, including those of other producers."""


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return "/" in text


def _networks(value: list[str]) -> list[str]:
    for network in value:
        if not _is_network(network):
            raise ValueError(f"{quoted(network)} is not a network: write 203.0.113.7/32 for one address, or 203.0.113.0/24")
    return value


Networks = Annotated[NameList, AfterValidator(_networks)]
"""Networks in CIDR notation."""
