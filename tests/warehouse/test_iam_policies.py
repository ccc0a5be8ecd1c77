"""The IAM policies: limited to the lake, and valid for IAM."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import boto3
import pytest

from stockctl.clients.aws.iam import Roles, identity
from stockctl.errors import ConfigError
from stockctl.settings import Settings, load_settings
from stockctl.warehouse.iam_policies import POLICY, Reader, create_role, policy, trust
from tests.command import clean_environment

URL = "s3://my-bucket/market"


def settings(**flags: str) -> Settings:
    return load_settings(
        environ=clean_environment(), flags={"lake.url": URL} | {name.replace("__", "."): value for name, value in flags.items()}
    )


def actions(document: dict[str, Any]) -> set[str]:
    return {action for statement in document["Statement"] for action in statement["Action"]}


def test_the_crawlers_policy_is_golden() -> None:
    """It may read the lake and write its database and its log, but not into the lake."""
    catalog = ["arn:aws:glue:*:*:catalog", "arn:aws:glue:*:*:database/stockctl", "arn:aws:glue:*:*:table/stockctl/*"]
    assert policy(settings()) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "ListTheLake",
                "Effect": "Allow",
                "Action": ["s3:ListBucket"],
                "Resource": ["arn:aws:s3:::my-bucket"],
                "Condition": {"StringLike": {"s3:prefix": ["market", "market/*"]}},
            },
            {
                "Sid": "FindTheBucket",
                "Effect": "Allow",
                "Action": ["s3:GetBucketLocation"],
                "Resource": ["arn:aws:s3:::my-bucket"],
            },
            {
                "Sid": "ReadTheLake",
                "Effect": "Allow",
                "Action": ["s3:GetObject"],
                "Resource": ["arn:aws:s3:::my-bucket/market/*"],
            },
            {
                "Sid": "Catalog",
                "Effect": "Allow",
                "Action": [
                    "glue:GetDatabase",
                    "glue:GetDatabases",
                    "glue:GetTable",
                    "glue:GetTables",
                    "glue:GetPartition",
                    "glue:GetPartitions",
                    "glue:BatchGetPartition",
                    "glue:UpdateTable",
                    "glue:CreatePartition",
                    "glue:BatchCreatePartition",
                    "glue:UpdatePartition",
                    "glue:BatchUpdatePartition",
                    "glue:CreateTable",
                ],
                "Resource": catalog,
            },
            {
                "Sid": "WriteItsLog",
                "Effect": "Allow",
                "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
                "Resource": ["arn:aws:logs:*:*:log-group:/aws-glue/*"],
            },
        ],
    }


@pytest.mark.parametrize("reader", list(Reader))
def test_no_policy_allows_writing_into_the_lake(reader: Reader) -> None:
    found = {action for action in actions(policy(settings(glue__role="r"), reader)) if action.startswith("s3:")}
    assert found == {"s3:ListBucket", "s3:GetBucketLocation", "s3:GetObject"}


def test_redshift_may_only_read_the_catalog() -> None:
    assert all("Get" in action or action == "s3:ListBucket" for action in actions(policy(settings(), Reader.redshift)))


def test_redshift_may_write_the_catalog_if_it_creates_the_tables() -> None:
    """Redshift's role creates, changes and drops external databases, tables and partitions in Glue."""
    reading, writing = (actions(policy(settings(redshift__catalog=catalog), Reader.redshift)) for catalog in ("glue", "tables"))
    assert writing - reading == {
        "glue:CreateDatabase",
        "glue:CreateTable",
        "glue:UpdateTable",
        "glue:DeleteTable",
        "glue:CreatePartition",
        "glue:BatchCreatePartition",
        "glue:UpdatePartition",
        "glue:BatchUpdatePartition",
        "glue:DeletePartition",
        "glue:BatchDeletePartition",
    }


def test_a_lake_at_the_top_of_a_bucket_is_the_whole_bucket() -> None:
    found = policy(settings(lake__url="s3://my-bucket"))["Statement"]
    assert found[0]["Condition"] == {"StringLike": {"s3:prefix": ["*"]}}
    assert found[2]["Resource"] == ["arn:aws:s3:::my-bucket/*"]


def test_the_operator_may_pass_the_role_only_to_crawlers() -> None:
    (found,) = [
        item for item in policy(settings(glue__role="crawl"), Reader.operator)["Statement"] if "iam:PassRole" in item["Action"]
    ]
    assert found["Resource"] == ["arn:aws:iam::*:role/crawl"]
    assert found["Condition"] == {"StringEquals": {"iam:PassedToService": "glue.amazonaws.com"}}


def test_the_operator_may_list_the_roles_of_redshift_if_a_role_is_set() -> None:
    def seen(**flags: str) -> dict[str, Any]:
        (found,) = [
            item
            for item in policy(settings(redshift__role="default", **flags), Reader.operator)["Statement"]
            if item["Sid"] == "SeeRedshiftsRoles"
        ]
        return dict(found)

    host = "warehouse.abc.us-east-1.redshift.amazonaws.com"
    for found in (seen(redshift__cluster="warehouse"), seen(redshift__host=host)):
        assert found["Action"] == ["redshift:DescribeClusters"]
        assert found["Resource"] == ["arn:aws:redshift:*:*:cluster:warehouse"]
    serverless = {"redshift-serverless:GetWorkgroup", "redshift-serverless:GetNamespace"}
    assert set(seen(redshift__host="group.123456789012.us-east-1.redshift-serverless.amazonaws.com")["Action"]) == serverless
    assert set(seen(redshift__workgroup="group")["Action"]) == serverless
    without = policy(settings(redshift__role="default", redshift__host="10.0.0.5"), Reader.operator)
    assert not any(action.startswith("redshift") for action in actions(without))


@pytest.mark.server
def test_the_role_is_created_with_its_policy_and_then_updated(moto_server: str) -> None:
    chosen = settings(
        glue__role="arn:aws:iam::123456789012:role/team/own-crawler",
        glue__endpoint_url=moto_server,
        s3__region="us-east-1",
        s3__access_key_id="anyone",
        s3__secret_access_key="any-secret",
    )
    assert create_role(chosen) == ("own-crawler", True)
    assert create_role(chosen) == ("own-crawler", False)
    role = Roles(chosen).find("own-crawler")
    assert role is not None
    assert role["AssumeRolePolicyDocument"] == trust(Reader.crawler)
    iam = boto3.client(
        "iam", endpoint_url=moto_server, region_name="us-east-1", aws_access_key_id="anyone", aws_secret_access_key="any-secret"
    )
    stored = iam.get_role_policy(RoleName="own-crawler", PolicyName=POLICY)["PolicyDocument"]
    iam.close()
    document = stored if isinstance(stored, dict) else json.loads(unquote(stored))
    assert document == policy(chosen)
    assert Roles(chosen).find("another") is None
    assert identity(chosen).account == "123456789012"


def test_a_role_without_a_name_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"glue\.role"):
        create_role(settings())
    with pytest.raises(ConfigError, match="names no role"):
        create_role(settings(redshift__role="default"), Reader.redshift)
