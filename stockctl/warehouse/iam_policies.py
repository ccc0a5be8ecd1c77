"""The IAM policies for crawlers, for Redshift, and for the user of ``stockctl glue``.

Each allows only to read below the lake's prefix, and its own database in the catalog. The roles of the crawlers and of Redshift
cannot write into the lake.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from stockctl.clients.aws.iam import Roles
from stockctl.clients.redshift.iam_roles import Place, place_of
from stockctl.errors import ConfigError
from stockctl.settings import Settings, require
from stockctl.warehouse.tables import lake_url

Document = dict[str, Any]
POLICY = "stockctl-lake"


class Reader(StrEnum):
    """Who gets the policy."""

    crawler = "crawler"
    redshift = "redshift"
    operator = "operator"


_READ_CATALOG = ("GetDatabase", "GetDatabases", "GetTable", "GetTables", "GetPartition", "GetPartitions", "BatchGetPartition")
_WRITE_PARTITIONS = ("UpdateTable", "CreatePartition", "BatchCreatePartition", "UpdatePartition", "BatchUpdatePartition")
_WRITE_TABLES = (
    *_WRITE_PARTITIONS,
    "CreateDatabase",
    "CreateTable",
    "DeleteTable",
    "DeletePartition",
    "BatchDeletePartition",
)
_CRAWLERS = ("GetCrawler", "GetCrawlerMetrics", "CreateCrawler", "UpdateCrawler", "DeleteCrawler", "StartCrawler")
_SERVICES = {Reader.crawler: "glue.amazonaws.com", Reader.redshift: "redshift.amazonaws.com"}


def policy(settings: Settings, reader: Reader = Reader.crawler) -> Document:
    """The IAM policy with the permissions that ``reader`` needs."""
    parts = urlsplit(lake_url(settings))
    bucket, prefix = f"arn:aws:s3:::{parts.netloc}", parts.path.strip("/")
    below = f"{prefix}/*" if prefix else "*"
    database = settings.glue.database
    catalog = [
        "arn:aws:glue:*:*:catalog",
        f"arn:aws:glue:*:*:database/{database}",
        f"arn:aws:glue:*:*:table/{database}/*",
    ]
    actions = {
        Reader.crawler: (*_READ_CATALOG, *_WRITE_PARTITIONS, "CreateTable"),
        # Redshift's role creates external tables in the Glue catalog too.
        Reader.redshift: (*_READ_CATALOG, *(_WRITE_TABLES if settings.redshift.catalog == "tables" else ())),
        Reader.operator: (*_READ_CATALOG, *_WRITE_TABLES, "DeleteDatabase"),
    }[reader]
    statements = [
        _allow("ListTheLake", ["s3:ListBucket"], [bucket], {"StringLike": {"s3:prefix": [prefix, below] if prefix else ["*"]}}),
        _allow("FindTheBucket", ["s3:GetBucketLocation"], [bucket]),
        _allow("ReadTheLake", ["s3:GetObject"], [f"{bucket}/{below}"]),
        _allow("Catalog", [f"glue:{action}" for action in actions], catalog),
    ]
    if reader is Reader.crawler:
        logs = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
        statements.append(_allow("WriteItsLog", logs, ["arn:aws:logs:*:*:log-group:/aws-glue/*"]))
    if reader is Reader.operator:
        # Some actions apply to no single crawler, so an ARN of a crawler would not allow them.
        statements.append(_allow("Crawlers", [f"glue:{action}" for action in _CRAWLERS], ["*"]))
        if settings.glue.role is not None:
            role = settings.glue.role
            arn = role if role.startswith("arn:") else f"arn:aws:iam::*:role/{role}"
            to_glue = {"StringEquals": {"iam:PassedToService": _SERVICES[Reader.crawler]}}
            statements.append(_allow("HandTheRoleToCrawlers", ["iam:PassRole"], [arn], to_glue))
        if settings.redshift.role is not None and (place := place_of(settings.redshift)) is not None:
            statements.append(_describe_roles(place))
    return {"Version": "2012-10-17", "Statement": statements}


def _describe_roles(place: Place) -> Document:
    """The permission to list the roles of Redshift, for ``stockctl doctor``."""
    if not place.serverless:
        cluster = f"arn:aws:redshift:*:*:cluster:{place.name}"
        return _allow("SeeRedshiftsRoles", ["redshift:DescribeClusters"], [cluster])
    # Their ARNs contain ids, not names.
    spaces = [f"arn:aws:redshift-serverless:*:*:{kind}/*" for kind in ("workgroup", "namespace")]
    return _allow("SeeRedshiftsRoles", ["redshift-serverless:GetWorkgroup", "redshift-serverless:GetNamespace"], spaces)


def trust(reader: Reader) -> Document:
    """The trust policy of the role of ``reader``: only its service may assume the role."""
    service = {"Effect": "Allow", "Principal": {"Service": _SERVICES[reader]}, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [service]}


def create_role(settings: Settings, reader: Reader = Reader.crawler) -> tuple[str, bool]:
    """Create the role of the settings, or update its policy; return its name, and whether it was created.

    An existing role keeps its other policies. ConfigError if the settings name no role, or an invalid one.
    """
    name = str(require(settings, "glue.role" if reader is Reader.crawler else "redshift.role"))
    # arn:aws:iam::123456789012:role/path/name
    name = name.rpartition("/")[2] if name.startswith("arn:") else name
    if reader is Reader.redshift and name == "default":
        raise ConfigError("redshift.role is `default`, which names no role", hint="set redshift.role to the role's ARN")
    roles = Roles(settings)
    created = roles.create(name, trust(reader), f"Reads the lake of stockctl for the {reader}")
    roles.put_policy(name, POLICY, policy(settings, reader))
    return name, created


def _allow(name: str, actions: list[str], resources: list[str], condition: Document | None = None) -> Document:
    statement: Document = {"Sid": name, "Effect": "Allow", "Action": actions, "Resource": resources}
    return statement | ({"Condition": condition} if condition else {})
