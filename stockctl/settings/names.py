"""Names that other systems read, and what each of them refuses: refused here, before a topic is made or a manifest applied."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated

from pydantic import AfterValidator

from stockctl.errors import quoted
from stockctl.settings.types import NameList


def _written(pattern: str, words: str) -> AfterValidator:
    """Refuses a text that does not match ``pattern``, in ``words`` that say how it is written."""
    form = re.compile(pattern)

    def check(value: str) -> str:
        if not form.fullmatch(value):
            raise ValueError(f"{quoted(value)} is {words}")
        return value

    return AfterValidator(check)


TopicName = Annotated[
    str,
    _written(
        r"(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}", "no name of a topic: Kafka takes up to 249 letters, digits, dots, `_` and `-`"
    ),
    _written(
        r"(?!__(?:consumer_offsets|transaction_state|share_group_state|cluster_metadata|remote_log_metadata)$).*",
        "a topic of Kafka's own: take another name",
    ),
]
"""A topic of Kafka."""
GroupName = Annotated[
    str, _written(r"[^\s\x00-\x1f\x7f]{1,249}", "no name of a group: write 1 to 249 characters, none of them a blank")
]
"""A consumer group; or a connector, of which Kafka Connect's group is named."""
MongoDatabase = Annotated[
    str,
    _written(
        r'[^\s\x00/\\."$*<>:|?]{1,63}', 'no name of a database: MongoDB takes 63 characters, no blank and no /\\."$*<>:|?'
    ),
    _written(r"(?i:(?!(?:admin|config|local)$)).*", "a database of MongoDB's own: take another name"),
]
"""A database of MongoDB."""
GlueDatabase = Annotated[
    str, _written(r"[a-z0-9_]{1,255}", "no name of a database: Glue takes up to 255 small letters, digits and `_`")
]
"""A database of the Glue Data Catalog."""
Schedule = Annotated[str, _written(r"cron\(.+\)", "no schedule: write it as cron(15 * * * ? *)")]
"""When a crawler runs."""
SchemaName = Annotated[
    str,
    _written(r"[a-z_][a-z0-9_]{0,126}", "no name of a schema: write up to 127 small letters, digits and `_`, no digit first"),
    _written(r"(?!pg_|information_schema$).*", "a schema of Redshift's own: take another name"),
]
"""A schema of Redshift."""
RoleArn = Annotated[str, _written(r"default|arn:[\w:/+=,.@-]+", "no role: write its ARN, or `default`")]
"""The IAM role of Redshift."""
Namespace = Annotated[
    str,
    _written(
        r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
        "no namespace: Kubernetes takes up to 63 small letters, digits and `-`, which is neither first nor last",
    ),
    _written(r"(?!kube-).*", "a namespace of Kubernetes' own, as all that begin with kube-: take another name"),
]
"""A namespace of Kubernetes."""

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_PORT = r"(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_REGISTRY = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::{_PORT})?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = rf"(?=[^@]{{1,255}}$)(?:{_REGISTRY}/)?{_PART}(?:/{_PART})*"
_TAG = r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}"
IMAGE_REFERENCE = re.compile(
    rf"(?:{_REGISTRY}/)?{_PART}(?:/{_PART})*(?::{_TAG})?(?:@[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-fA-F0-9]{{32,}})?"
)
"""An image as a container names it, with its tag or digest, by the OCI's distribution specification."""
ImageName = Annotated[
    str,
    _written(
        _IMAGE,
        "no name of an image: write registry.example.com:5000/team/name in small letters, with a port up to 65535;"
        " infra.image_tag has the tag",
    ),
]
"""An image as the OCI's distribution specification has it, without tag and digest."""
ImageTag = Annotated[
    str,
    _written(_TAG, "no tag of an image: write up to 128 letters, digits, `_`, dots and `-`"),
]
"""The tag of an image."""


_SOURCE = re.compile(r"[A-Za-z0-9._-]{1,64}")


def _sources(value: list[str]) -> list[str]:
    for source in value:
        if not _SOURCE.fullmatch(source):
            raise ValueError(f"{quoted(source)} is no name of a source: write 1 to 64 letters, digits, dots, `_` and `-`")
    return value


Sources = Annotated[NameList, AfterValidator(_sources)]
"""Several sources of records; those of other producers too."""


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return "/" in text


def _networks(value: list[str]) -> list[str]:
    for network in value:
        if not _is_network(network):
            raise ValueError(f"{quoted(network)} is no network: write 203.0.113.7/32 for one address, or 203.0.113.0/24")
    return value


Networks = Annotated[NameList, AfterValidator(_networks)]
"""Several networks, each as Kubernetes takes it."""
