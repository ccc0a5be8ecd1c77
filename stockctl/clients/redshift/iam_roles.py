"""The IAM roles that a cluster, or a serverless workgroup's namespace, may take on."""

from __future__ import annotations

import re
from typing import NamedTuple

from stockctl.clients.aws import session
from stockctl.settings import Settings

_HOST = re.compile(r"([\w-]+)\.[\w-]+\.[\w-]+\.redshift(-serverless)?\.amazonaws\.com(\.cn)?")
_ARN = re.compile(r"arn:[\w:/+=.@-]+")


class Place(NamedTuple):
    """A cluster or a workgroup, by its name."""

    name: str
    serverless: bool


class Attached(NamedTuple):
    """Roles by their ARN, with how far it is (``in-sync`` when done), and the default one; ``what`` has them, in words."""

    what: str
    roles: dict[str, str]
    default: str | None


def place_of(settings: Settings) -> Place | None:
    """What Redshift's APIs know it by: as the settings name it, else as its host name does. None where neither does."""
    redshift = settings.redshift
    if redshift.workgroup is not None:
        return Place(redshift.workgroup, serverless=True)
    if redshift.cluster is not None:
        return Place(redshift.cluster, serverless=False)
    found = _HOST.fullmatch(redshift.host or "")
    return None if found is None else Place(found[1], serverless=found[2] is not None)


def attached(settings: Settings, place: Place) -> Attached:
    """The roles of ``place``. AbsentError if there is no such cluster or workgroup, RefusedError without the right to look."""
    endpoint = settings.redshift.endpoint_url
    if not place.serverless:
        with session.translated(f"look at the cluster {place.name}"):
            found = session.client(settings, "redshift", endpoint).describe_clusters(ClusterIdentifier=place.name)["Clusters"][
                0
            ]
        roles = {role["IamRoleArn"]: role.get("ApplyStatus", "in-sync") for role in found.get("IamRoles", ())}
        return Attached(f"the cluster {place.name}", roles, found.get("DefaultIamRoleArn") or None)
    api = session.client(settings, "redshift-serverless", endpoint)
    with session.translated(f"look at the workgroup {place.name} and its namespace"):
        name = api.get_workgroup(workgroupName=place.name)["workgroup"]["namespaceName"]
        space = api.get_namespace(namespaceName=name)["namespace"]
    # An entry is an ARN, or words around it that tell how far it is: IamRole(applyStatus=in-sync, iamRoleArn=…).
    roles = {}
    for entry in space.get("iamRoles", ()):
        state = re.search(r"applyStatus=([\w-]+)", entry)
        roles |= dict.fromkeys(_ARN.findall(entry), state[1] if state else "in-sync")
    return Attached(f"the namespace {name}", roles, space.get("defaultIamRoleArn") or None)
