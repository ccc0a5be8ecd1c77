"""Health checks of the warehouse: the AWS identity, the Glue catalog, the IAM roles and Redshift, as far as they are set."""

from __future__ import annotations

import time
from functools import partial

from stockctl.check_runner import PROBE_WAIT, Check, CheckResult
from stockctl.clients.aws import AbsentError
from stockctl.clients.aws.glue import Glue
from stockctl.clients.aws.iam import Roles, identity
from stockctl.clients.redshift.client import connect
from stockctl.clients.redshift.iam_roles import Place, attached, place_of
from stockctl.errors import ConfigError, RefusedError
from stockctl.settings import Settings
from stockctl.units import counted
from stockctl.warehouse import iam_policies
from stockctl.warehouse.glue import catalog
from stockctl.warehouse.spectrum import schema as spectrum
from stockctl.warehouse.tables import lake_url


def checks(settings: Settings) -> list[Check]:
    """A check for each part of the warehouse that is set."""
    selected: list[Check] = []
    redshift = settings.redshift
    reached = redshift.host is not None or redshift.workgroup is not None or redshift.cluster is not None
    if settings.glue.role is not None or redshift.role is not None or settings.origin("glue.database") != "default":
        selected += [
            Check("aws identity", partial(_identity, settings)),
            Check("glue", partial(_glue, settings)),
        ]
    if settings.glue.role is not None:
        selected.append(Check("glue role", partial(_role, settings)))
    if redshift.role is not None and (place := place_of(settings.redshift)) is not None:
        selected.append(Check("redshift role", partial(_attachment, settings, place)))
    if reached:
        selected.append(Check("redshift", partial(_redshift, settings)))
    return selected


def _identity(settings: Settings) -> CheckResult:
    started = time.monotonic()
    caller = identity(settings)
    return CheckResult(f"{caller.arn} in the account {caller.account}", latency=time.monotonic() - started)


def _glue(settings: Settings) -> CheckResult:
    """Read the catalog. Whether writing is permitted shows only when ``glue apply`` writes."""
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
    return CheckResult(f"database {glue.database}: tables and crawlers match the settings", latency=latency)


def _role(settings: Settings) -> CheckResult:
    name = str(settings.glue.role).rpartition("/")[2]
    roles = Roles(settings)
    try:
        role = roles.find(name)
        role_policy = roles.find_policy(name, iam_policies.POLICY) if role is not None else None
    except RefusedError as error:
        # Running crawlers does not need the permission to read roles.
        return CheckResult(
            f"cannot read the role {name}: {error}",
            "warn",
            "grant iam:GetRole and iam:GetRolePolicy, or check it by `glue run --wait`",
        )
    if role is None:
        return CheckResult(f"there is no role {name}", "fail", "`stockctl glue apply --create-role`, or `stockctl glue policy`")
    wanted = iam_policies.trust(iam_policies.Reader.crawler)["Statement"][0]["Principal"]["Service"]
    if wanted not in str(role.get("AssumeRolePolicyDocument", "")):
        return CheckResult(
            f"{wanted} may not assume the role {name}", "fail", "`stockctl glue policy --trust` prints what it needs"
        )
    if role_policy != iam_policies.policy(settings):
        state = "differs from the settings" if role_policy else "is absent; other policies are not checked"
        return CheckResult(
            f"the policy {iam_policies.POLICY} of the role {name} {state}", "warn", "`stockctl glue apply --create-role`"
        )
    return CheckResult(f"{wanted} may assume the role {name}, which has the policy that it needs")


def _attachment(settings: Settings, place: Place) -> CheckResult:
    """Redshift assumes the first role of a chain."""
    role = str(settings.redshift.role).partition(",arn:")[0]
    try:
        has = attached(settings, place)
    except AbsentError as error:
        wrong = "redshift.workgroup" if place.serverless else "redshift.cluster"
        return CheckResult(str(error), "fail", f"correct {wrong}, redshift.host or s3.region")
    except RefusedError as error:
        # Running SQL does not need this permission.
        return CheckResult(
            f"cannot check whether {role} is attached: {error}",
            "warn",
            "`stockctl glue policy --role operator` prints the permissions",
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
        existing = spectrum.existing_objects(redshift, settings.redshift)
    schema = settings.redshift.external_schema
    if existing.schema is None:
        return CheckResult(f"there is no external schema {schema}", "warn", "`stockctl spectrum apply`", latency)
    if settings.redshift.role not in (None, "default") and str(settings.redshift.role) not in existing.schema[1]:
        return CheckResult(
            f"the external schema {schema} does not use the role {settings.redshift.role}",
            "fail",
            "`stockctl spectrum diff` shows how to recreate it",
            latency,
        )
    if not existing.locations:
        return CheckResult(f"the external schema {schema} shows no tables", "warn", "`stockctl glue apply`", latency)
    return CheckResult(
        f"{counted(len(existing.locations), 'external table')}, {counted(len(existing.views), 'view')}", latency=latency
    )
