"""The IAM roles that a cluster, or the namespace of a serverless workgroup, can assume."""

from __future__ import annotations

import re
from typing import NamedTuple

from stockctl.clients import aws
from stockctl.settings import RedshiftSettings, Settings

_HOST = re.compile(r"([\w-]+)\.[\w-]+\.[\w-]+\.redshift(-serverless)?\.amazonaws\.com(\.cn)?")
_ARN = re.compile(r"arn:[\w:/+=.@-]+")


class Place(NamedTuple):
    """A cluster or a workgroup, by its name."""

    name: str
    serverless: bool


class Attached(NamedTuple):
    """Roles by ARN with their apply status (``in-sync`` when done), and the default role; ``what`` names their owner."""

    what: str
    roles: dict[str, str]
    default: str | None


def place_of(settings: RedshiftSettings) -> Place | None:
    """The cluster or the workgroup of the settings, or else of the host name; None if neither names one."""
    redshift = settings
    if redshift.workgroup is not None:
        return Place(redshift.workgroup, serverless=True)
    if redshift.cluster is not None:
        return Place(redshift.cluster, serverless=False)
    found = _HOST.fullmatch(redshift.host or "")
    return None if found is None else Place(found[1], serverless=found[2] is not None)


def attached(settings: Settings, place: Place) -> Attached:
    """The roles of ``place``. AbsentError if it does not exist, RefusedError without permission to describe it."""
    endpoint = settings.redshift.endpoint_url
    if not place.serverless:
        with aws.translate_errors(f"describe the cluster {place.name}"):
            found = aws.client(settings.s3, "redshift", endpoint).describe_clusters(ClusterIdentifier=place.name)["Clusters"][0]
        roles = {role["IamRoleArn"]: role.get("ApplyStatus", "in-sync") for role in found.get("IamRoles", ())}
        return Attached(f"the cluster {place.name}", roles, found.get("DefaultIamRoleArn") or None)
    api = aws.client(settings.s3, "redshift-serverless", endpoint)
    with aws.translate_errors(f"describe the workgroup {place.name} and its namespace"):
        name = api.get_workgroup(workgroupName=place.name)["workgroup"]["namespaceName"]
        namespace = api.get_namespace(namespaceName=name)["namespace"]
    # An entry is an ARN, or text with an ARN and a status: IamRole(applyStatus=in-sync, iamRoleArn=…).
    roles = {}
    for entry in namespace.get("iamRoles", ()):
        state = re.search(r"applyStatus=([\w-]+)", entry)
        roles |= dict.fromkeys(_ARN.findall(entry), state[1] if state else "in-sync")
    return Attached(f"the namespace {name}", roles, namespace.get("defaultIamRoleArn") or None)
