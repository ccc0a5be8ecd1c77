"""The checks of ``stockctl doctor`` for the warehouse: who we are at AWS, the rights in Glue, the roles, Redshift.

What is not set up is not asked: without a lake in S3 and a role there is no warehouse, without an address no Redshift.
"""

from __future__ import annotations

import time
from functools import partial

from stockctl.clients.aws import AbsentError
from stockctl.clients.aws.glue import Glue
from stockctl.clients.aws.iam import Roles, identity
from stockctl.clients.redshift.client import connect
from stockctl.clients.redshift.iam_roles import Place, attached, place_of
from stockctl.errors import ConfigError, RefusedError
from stockctl.health import PROBE_WAIT, Check, CheckResult
from stockctl.settings import Settings
from stockctl.units import counted
from stockctl.warehouse import iam_policies
from stockctl.warehouse.glue import catalog
from stockctl.warehouse.spectrum import schema as spectrum
from stockctl.warehouse.tables import lake_url


def checks(settings: Settings) -> list[Check]:
    """The checks of what the settings name."""
    found: list[Check] = []
    redshift = settings.redshift
    reached = redshift.host is not None or redshift.workgroup is not None or redshift.cluster is not None
    if settings.glue.role is not None or redshift.role is not None or settings.origin("glue.database") != "default":
        found += [
            Check("aws identity", partial(_identity, settings)),
            Check("glue", partial(_glue, settings)),
        ]
    if settings.glue.role is not None:
        found.append(Check("glue role", partial(_role, settings)))
    if redshift.role is not None and (place := place_of(settings)) is not None:
        found.append(Check("redshift role", partial(_attachment, settings, place)))
    if reached:
        found.append(Check("redshift", partial(_redshift, settings)))
    return found


def _identity(settings: Settings) -> CheckResult:
    started = time.monotonic()
    told = identity(settings)
    return CheckResult(f"{told.arn} in the account {told.account}", latency=time.monotonic() - started)


def _glue(settings: Settings) -> CheckResult:
    """Reads the catalog; rights to write show when ``glue apply`` uses them."""
    try:
        lake_url(settings)
    except ConfigError as error:
        return CheckResult(str(error), "fail", error.hint)
    glue = Glue(settings)
    started = time.monotonic()
    database = glue.find_database()
    latency = time.monotonic() - started
    if database is None:
        return CheckResult(f"there is no database {glue.database}", "warn", "`stockctl glue apply`", latency)
    differences = catalog.differences(glue, settings, from_paths=None)
    if differences:
        return CheckResult(differences[0].summary, "warn", differences[0].fix, latency)
    return CheckResult(f"database {glue.database}: tables and crawlers are as the settings say", latency=latency)


def _role(settings: Settings) -> CheckResult:
    name = str(settings.glue.role).rpartition("/")[2]
    roles = Roles(settings)
    try:
        role = roles.find(name)
        rights = roles.find_policy(name, iam_policies.POLICY) if role is not None else None
    except RefusedError as error:
        # Looking at roles is a right that running crawlers does not need.
        return CheckResult(
            f"cannot look at the role {name}: {error}",
            "warn",
            "grant iam:GetRole and iam:GetRolePolicy, or check it by `glue run --wait`",
        )
    if role is None:
        return CheckResult(f"there is no role {name}", "fail", "`stockctl glue apply --create-role`, or `stockctl glue policy`")
    wanted = iam_policies.trust(iam_policies.Reader.crawler)["Statement"][0]["Principal"]["Service"]
    if wanted not in str(role.get("AssumeRolePolicyDocument", "")):
        return CheckResult(
            f"{wanted} may not take on the role {name}", "fail", "`stockctl glue policy --trust` prints what it needs"
        )
    if rights != iam_policies.policy(settings):
        state = "is not as the settings want it" if rights else "is absent; rights given otherwise are not looked at"
        return CheckResult(
            f"the policy {iam_policies.POLICY} of the role {name} {state}", "warn", "`stockctl glue apply --create-role`"
        )
    return CheckResult(f"{wanted} may take on the role {name}, which has the rights that it needs")


def _attachment(settings: Settings, place: Place) -> CheckResult:
    """Of a chain of roles, Redshift takes on the first."""
    role = str(settings.redshift.role).partition(",arn:")[0]
    try:
        has = attached(settings, place)
    except AbsentError as error:
        wrong = "redshift.workgroup" if place.serverless else "redshift.cluster"
        return CheckResult(str(error), "fail", f"correct {wrong}, redshift.host or s3.region")
    except RefusedError as error:
        # Looking at it is a right that SQL does not need.
        return CheckResult(
            f"cannot tell whether {role} is attached: {error}",
            "warn",
            "`stockctl glue policy --role operator` has the right to look",
        )
    way = "`aws redshift-serverless update-namespace`" if place.serverless else "`aws redshift modify-cluster-iam-roles`"
    if role == "default":
        if has.default is None:
            return CheckResult(
                f"{has.what} has no default role", "fail", f"make an attached role the default: {way}, or the console"
            )
        role = has.default
    if role not in has.roles:
        return CheckResult(f"{role} is not attached to {has.what}", "fail", f"attach it to {has.what}: {way}, or the console")
    if has.roles[role] != "in-sync":
        return CheckResult(
            f"{role} at {has.what}: {has.roles[role]}", "warn", "wait until it is in-sync; it takes some minutes"
        )
    return CheckResult(f"{role} is attached to {has.what}")


def _redshift(settings: Settings) -> CheckResult:
    with connect(settings, timeout=PROBE_WAIT) as redshift:
        started = time.monotonic()
        redshift.execute("SELECT 1")
        latency = time.monotonic() - started
        existing = spectrum.existing_objects(redshift, settings)
    schema = settings.redshift.external_schema
    if existing.schema is None:
        return CheckResult(f"there is no external schema {schema}", "warn", "`stockctl spectrum apply`", latency)
    if settings.redshift.role not in (None, "default") and str(settings.redshift.role) not in existing.schema[1]:
        return CheckResult(
            f"the external schema {schema} does not read by {settings.redshift.role}",
            "fail",
            "`stockctl spectrum diff` tells how to make it anew",
            latency,
        )
    if not existing.locations:
        return CheckResult(f"the external schema {schema} shows no tables", "warn", "`stockctl glue apply`", latency)
    return CheckResult(
        f"{counted(len(existing.locations), 'external table')}, {counted(len(existing.views), 'view')}", latency=latency
    )
