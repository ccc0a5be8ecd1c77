"""IAM and STS: the identity of the credentials, and the roles that crawlers and Redshift assume."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from stockctl.clients.aws.boto import AbsentError, ExistsError, client, translate_errors
from stockctl.settings import Settings

Document = dict[str, Any]


class Identity(NamedTuple):
    """The account and ARN that the credentials belong to."""

    account: str
    arn: str


def identity(settings: Settings) -> Identity:
    """The owner of the credentials in the settings. RefusedError if they are invalid."""
    sts = client(settings.s3, "sts", settings.glue.endpoint_url)
    with translate_errors("get the identity of these credentials"):
        response = sts.get_caller_identity()
    return Identity(response["Account"], response["Arn"])


class Roles:
    """Roles of the account."""

    def __init__(self, settings: Settings) -> None:
        self._iam = client(settings.s3, "iam", settings.glue.endpoint_url)

    def find(self, name: str) -> Document | None:
        """The role ``name``; None if it does not exist."""
        try:
            with translate_errors(f"get the role {name}"):
                return dict(self._iam.get_role(RoleName=name)["Role"])
        except AbsentError:
            return None

    def create(self, name: str, trust: Document, about: str) -> bool:
        """Create the role with the trust policy ``trust``; False if it exists."""
        try:
            with translate_errors(f"create the role {name}"):
                self._iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust), Description=about)
        except ExistsError:
            return False
        return True

    def find_policy(self, name: str, policy: str) -> Document | None:
        """The inline policy ``policy`` of the role; None if it does not exist."""
        try:
            with translate_errors(f"get the policy of the role {name}"):
                return dict(self._iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"])
        except AbsentError:
            return None

    def put_policy(self, name: str, policy: str, document: Document) -> None:
        """Create or replace the inline policy ``policy`` of the role ``name``."""
        with translate_errors(f"put the policy of the role {name}"):
            self._iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document))
