"""The rights that crawlers, Redshift and whoever runs ``stockctl glue`` need, as IAM policies.

Each is as narrow as the lake: reading below its prefix, and its own database in the catalog. The crawlers' role and Redshift's
never write into the lake.
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
    """Who the rights are for."""

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
    """The rights that ``reader`` needs."""
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
        # External tables written out in SQL are made in Glue too, by Redshift's role.
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
        # Naming a crawler's ARN would forbid the actions that know no single crawler.
        statements.append(_allow("Crawlers", [f"glue:{action}" for action in _CRAWLERS], ["*"]))
        if settings.glue.role is not None:
            role = settings.glue.role
            arn = role if role.startswith("arn:") else f"arn:aws:iam::*:role/{role}"
            to_glue = {"StringEquals": {"iam:PassedToService": _SERVICES[Reader.crawler]}}
            statements.append(_allow("HandTheRoleToCrawlers", ["iam:PassRole"], [arn], to_glue))
        if settings.redshift.role is not None and (place := place_of(settings)) is not None:
            statements.append(_look_at(place))
    return {"Version": "2012-10-17", "Statement": statements}


def _look_at(place: Place) -> Document:
    """The right to see which roles Redshift has, as ``doctor`` does."""
    if not place.serverless:
        cluster = f"arn:aws:redshift:*:*:cluster:{place.name}"
        return _allow("SeeRedshiftsRoles", ["redshift:DescribeClusters"], [cluster])
    # Their ARNs hold ids, not names.
    spaces = [f"arn:aws:redshift-serverless:*:*:{kind}/*" for kind in ("workgroup", "namespace")]
    return _allow("SeeRedshiftsRoles", ["redshift-serverless:GetWorkgroup", "redshift-serverless:GetNamespace"], spaces)


def trust(reader: Reader) -> Document:
    """Who may take on the role of ``reader``: the service alone."""
    service = {"Effect": "Allow", "Principal": {"Service": _SERVICES[reader]}, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [service]}


def create_role(settings: Settings, reader: Reader = Reader.crawler) -> tuple[str, bool]:
    """Make the role that the settings name, or bring its policy up to date; its name, and whether it is new.

    A role that is there keeps its other policies. ConfigError if no role is named, or its name is none.
    """
    name = str(require(settings, "glue.role" if reader is Reader.crawler else "redshift.role"))
    # arn:aws:iam::123456789012:role/path/name
    name = name.rpartition("/")[2] if name.startswith("arn:") else name
    if reader is Reader.redshift and name == "default":
        raise ConfigError("redshift.role is `default`, which names no role", hint="set redshift.role to the role's ARN")
    roles = Roles(settings)
    made = roles.create(name, trust(reader), f"Reads the lake of stockctl for the {reader}")
    roles.put_policy(name, POLICY, policy(settings, reader))
    return name, made


def _allow(name: str, actions: list[str], resources: list[str], condition: Document | None = None) -> Document:
    statement: Document = {"Sid": name, "Effect": "Allow", "Action": actions, "Resource": resources}
    return statement | ({"Condition": condition} if condition else {})
