"""The health checks of the warehouse: each system right, and each one broken."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest

from stockctl.check_runner import CheckResult, run
from stockctl.clients.aws.glue import Glue
from stockctl.clients.aws.iam import Roles
from stockctl.settings import Settings, load_settings
from stockctl.warehouse.glue import catalog
from stockctl.warehouse.health import checks
from stockctl.warehouse.iam_policies import POLICY, Reader, create_role, policy, trust
from tests.command import clean_environment
from tests.conftest import free_port
from tests.warehouse.crawler import FakeGlue

ROLE = "arn:aws:iam::123456789012:role/spectrum"


def results(settings: Settings) -> dict[str, CheckResult]:
    return {result.system: result.result for result in run(checks(settings))}


def test_systems_that_are_not_set_are_not_checked() -> None:
    assert checks(load_settings(environ=clean_environment())) == []


@pytest.mark.server
def test_glue_is_checked_from_an_empty_catalog_to_a_complete_one(
    warehouse_settings: Settings, glue: Glue, warehouse_flags: dict[str, str]
) -> None:
    found = results(warehouse_settings)
    assert found["aws identity"].state == "ok"
    assert "123456789012" in found["aws identity"].detail
    assert (found["glue"].state, found["glue"].fix) == ("warn", "`stockctl glue apply`")
    catalog.apply(glue, warehouse_settings)
    assert results(warehouse_settings)["glue"].state == "ok"
    absent = load_settings(
        environ=clean_environment(),
        flags=warehouse_flags | {"glue.role": "nobody", "glue.endpoint_url": str(warehouse_settings.glue.endpoint_url)},
    )
    assert results(absent)["glue role"].state == "fail"
    roles = Roles(warehouse_settings)
    roles.create("stockctl-crawler", trust(Reader.crawler), "")
    role = results(warehouse_settings)["glue role"]
    assert (role.state, "absent" in role.detail, role.fix) == ("warn", True, "`stockctl glue apply --create-role`")
    create_role(warehouse_settings)
    sound = "glue.amazonaws.com may assume the role stockctl-crawler, which has the policy that it needs"
    assert results(warehouse_settings)["glue role"] == CheckResult(sound)
    roles.put_policy("stockctl-crawler", POLICY, policy(warehouse_settings, Reader.redshift))
    role = results(warehouse_settings)["glue role"]
    assert (role.state, "differs from the settings" in role.detail) == ("warn", True)
    catalog.apply(glue, warehouse_settings, from_paths=True)
    assert results(warehouse_settings)["glue"].state == "ok", "crawlers of either kind are right"


@pytest.mark.server
def test_missing_permissions_and_zstd_are_failures_with_a_fix(
    warehouse_settings: Settings, fake_glue: FakeGlue, warehouse_flags: dict[str, str]
) -> None:
    fake_glue.denied = {"GetDatabase"}
    found = results(warehouse_settings)["glue"]
    assert (found.state, "policy" in (found.fix or "")) == ("fail", True)
    flags = warehouse_flags | {"glue.endpoint_url": fake_glue.url, "lake.compression": "zstd"}
    found = results(load_settings(environ=clean_environment(), flags=flags))["glue"]
    assert (found.state, "zstd" in found.detail, "gzip" in (found.fix or "")) == ("fail", True, True)


@pytest.mark.postgres
def test_redshift_answers_and_reports_what_is_missing(redshift_flags: dict[str, str]) -> None:
    without_role = {name: value for name, value in redshift_flags.items() if name != "redshift.role"}
    found = results(load_settings(environ=clean_environment(), flags=without_role))
    assert list(found) == ["redshift"]
    assert (found["redshift"].state, found["redshift"].fix) == ("warn", "`stockctl spectrum apply`")
    dead = load_settings(environ=clean_environment(), flags=redshift_flags | {"redshift.port": str(free_port())})
    assert results(dead)["redshift"].state == "fail"


def with_role(**flags: str) -> Settings:
    same = {
        "s3.region": "us-east-1",
        "s3.access_key_id": "anyone",
        "s3.secret_access_key": "any-secret",
        "redshift.role": ROLE,
    }
    return load_settings(
        environ=clean_environment(), flags=same | {name.replace("__", "."): value for name, value in flags.items()}
    )


def attachment(settings: Settings) -> CheckResult:
    (check,) = [check for check in checks(settings) if check.system == "redshift role"]
    (result,) = run([check])
    return result.result


@pytest.mark.server
def test_the_roles_of_a_cluster_are_checked(moto_server: str) -> None:
    redshift = boto3.client(
        "redshift",
        endpoint_url=moto_server,
        region_name="us-east-1",
        aws_access_key_id="anyone",
        aws_secret_access_key="any-secret",
    )
    for name, roles in (("with", [ROLE]), ("without", [f"{ROLE}-2"])):
        redshift.create_cluster(
            ClusterIdentifier=name,
            NodeType="ra3.large",
            MasterUsername="owner",
            MasterUserPassword="Secret-4711",
            IamRoles=roles,
        )
    redshift.close()
    found = attachment(with_role(redshift__cluster="with", redshift__endpoint_url=moto_server))
    assert found == CheckResult(f"{ROLE} is attached to the cluster with")
    chain = f"{ROLE},arn:aws:iam::210987654321:role/lake"
    by_host = with_role(
        redshift__host="with.abc.us-east-1.redshift.amazonaws.com", redshift__endpoint_url=moto_server, redshift__role=chain
    )
    assert attachment(by_host) == found
    missing = attachment(with_role(redshift__cluster="without", redshift__endpoint_url=moto_server))
    assert (missing.state, missing.detail) == ("fail", f"{ROLE} is not attached to the cluster without")
    assert "modify-cluster-iam-roles" in (missing.fix or "")
    default = attachment(with_role(redshift__cluster="with", redshift__endpoint_url=moto_server, redshift__role="default"))
    assert (default.state, default.detail) == ("fail", "the cluster with has no default role")
    absent = attachment(with_role(redshift__cluster="nowhere", redshift__endpoint_url=moto_server))
    assert (absent.state, "redshift.cluster" in (absent.fix or "")) == ("fail", True)


@contextmanager
def serverless(namespace: dict[str, Any], refused: str = "") -> Iterator[str]:
    """A stand-in for the serverless API, which moto does not have: one workgroup with its namespace; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            action = self.headers["X-Amz-Target"].partition(".")[2]
            answer: dict[str, Any] = {
                "GetWorkgroup": {"workgroup": {"workgroupName": "group", "namespaceName": "space"}},
                "GetNamespace": {"namespace": namespace},
            }[action]
            if refused:
                answer = {"__type": refused, "message": "no"}
            body = json.dumps(answer).encode()
            self.send_response(400 if refused else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return None

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(
    ("namespace", "role", "state", "words"),
    [
        ({"iamRoles": [ROLE]}, ROLE, "ok", f"{ROLE} is attached to the namespace space"),
        ({"iamRoles": [f"IamRole(applyStatus=in-sync, iamRoleArn={ROLE})"]}, ROLE, "ok", "attached"),
        ({"iamRoles": [f"IamRole(applyStatus=adding, iamRoleArn={ROLE})"]}, ROLE, "warn", "adding"),
        ({"iamRoles": [f"{ROLE}-2"]}, ROLE, "fail", "not attached to the namespace space"),
        ({"iamRoles": [ROLE], "defaultIamRoleArn": ROLE}, "default", "ok", f"{ROLE} is attached"),
        ({"iamRoles": [ROLE]}, "default", "fail", "no default role"),
    ],
)
def test_a_workgroups_roles_are_those_of_its_namespace(namespace: dict[str, Any], role: str, state: str, words: str) -> None:
    with serverless(namespace) as url:
        found = attachment(with_role(redshift__workgroup="group", redshift__endpoint_url=url, redshift__role=role))
    assert (found.state, words in found.detail) == (state, True), found
    assert state != "fail" or "update-namespace" in (found.fix or "")


def test_without_permission_the_attachment_is_unknown() -> None:
    with serverless({}, refused="AccessDeniedException") as url:
        found = attachment(with_role(redshift__workgroup="group", redshift__endpoint_url=url))
    assert (found.state, "glue policy --role operator" in (found.fix or "")) == ("warn", True)
