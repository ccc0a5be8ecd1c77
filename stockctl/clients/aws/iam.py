"""IAM and STS: who we are, and the role that crawlers, or Redshift, take on."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from stockctl.clients.aws.session import AbsentError, ExistsError, client, translated
from stockctl.settings import Settings

Document = dict[str, Any]


class Identity(NamedTuple):
    """The account and ARN that the credentials belong to."""

    account: str
    arn: str


def identity(settings: Settings) -> Identity:
    """Who the settings' credentials belong to. RefusedError if they are none."""
    sts = client(settings, "sts", settings.glue.endpoint_url)
    with translated("ask who these credentials belong to"):
        told = sts.get_caller_identity()
    return Identity(told["Account"], told["Arn"])


class Roles:
    """Roles of the account."""

    def __init__(self, settings: Settings) -> None:
        self._iam = client(settings, "iam", settings.glue.endpoint_url)

    def find(self, name: str) -> Document | None:
        """The role ``name``; None if there is none."""
        try:
            with translated(f"look at the role {name}"):
                return dict(self._iam.get_role(RoleName=name)["Role"])
        except AbsentError:
            return None

    def create(self, name: str, trust: Document, about: str) -> bool:
        """Make the role with the policy ``trust`` of who may take it on; False if it is there already."""
        try:
            with translated(f"make the role {name}"):
                self._iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust), Description=about)
        except ExistsError:
            return False
        return True

    def find_policy(self, name: str, policy: str) -> Document | None:
        """The role's inline policy ``policy``; None if it has none of that name."""
        try:
            with translated(f"look at the policy of the role {name}"):
                return dict(self._iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"])
        except AbsentError:
            return None

    def put_policy(self, name: str, policy: str, document: Document) -> None:
        """Give the role ``name`` the inline policy ``policy``, in place of the one of that name."""
        with translated(f"give the role {name} its policy"):
            self._iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document))
