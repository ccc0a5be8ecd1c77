"""The rendered manifests: settings, secrets, MongoDB's address, and the effect of a change."""

from __future__ import annotations

import copy
import os
import pty
import random
import re
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stockctl.errors import ConfigError, StockctlError, UsageError
from stockctl.infra import kustomize
from stockctl.infra.kustomize import Manifest, ManifestError, containers, pod_template
from stockctl.infra.render import CONTENT, OWNER, Rendered, render, to_yaml
from stockctl.settings import load_settings
from tests.command import BIN, HANG, Command
from tests.infra.conftest import PROFILE, SECRETS, SettingsOf

ROOT = Path(__file__).parents[2]


def find(rendered: Rendered, kind: str, name: str) -> Manifest:
    (found,) = (each for each in rendered.all if each["kind"] == kind and each["metadata"]["name"] == name)
    return found


def secret(rendered: Rendered, name: str) -> dict[str, str]:
    return {key: b64decode(value).decode() for key, value in find(rendered, "Secret", name)["data"].items()}


def contents(rendered: Rendered) -> dict[str, str]:
    """The content hash of each workload, by its name label."""
    templates = filter(None, map(pod_template, rendered.manifests))
    return {
        each["metadata"]["labels"]["app.kubernetes.io/name"]: each["metadata"]["annotations"][CONTENT] for each in templates
    }


def test_settings_reach_the_workloads_that_use_them(settings_of: SettingsOf) -> None:
    rendered = render(settings_of(**{"lake.max_age": "1m", "finnhub.drop_repeated_frames": "true"}))
    lake = find(rendered, "ConfigMap", "lake-settings")["data"]
    assert lake == {
        "STOCKCTL_LAKE__URL": "s3://my-bucket/market",
        "STOCKCTL_LAKE__MAX_AGE": "60.0",
        "STOCKCTL_S3__REGION": "us-east-1",
    }
    producer = find(rendered, "ConfigMap", "producer-settings")["data"]
    assert producer == {"STOCKCTL_SYMBOLS": "AAPL,MSFT", "STOCKCTL_FINNHUB__DROP_REPEATED_FRAMES": "true"}
    read = load_settings(environ=producer | lake)
    assert (read.symbols, read.finnhub.drop_repeated_frames, read.lake.max_age) == (["AAPL", "MSFT"], True, 60.0)


def test_settings_of_this_machine_are_left_out(settings_of: SettingsOf) -> None:
    here = {"kafka.bootstrap_servers": "here:9092", "s3.profile": "mine", "mongo.url": "mongodb://here", "state_dir": "/here"}
    assert to_yaml(render(settings_of(**here)).all) == to_yaml(render(settings_of()).all)


@pytest.mark.parametrize(
    ("changed", "rolled"),
    [
        ({"lake.max_age": "1m"}, {"lake"}),
        ({"lake.url": "s3://other/lake"}, {"lake", "mongo-writer", "filings", "signals"}),
        ({"symbols": "AAPL"}, {"producer", "filings", "signals"}),
        ({"topics.trades.partitions": "12"}, {"topics"}),
        ({"mongo.max_age": "2s"}, {"mongo-writer", "filings", "mongo-setup"}),
        ({"STOCKCTL_FINNHUB__TOKEN": "another-token-of-a-test"}, {"producer", "filings"}),
    ],
)
def test_a_change_rolls_only_the_workloads_that_use_it(
    settings_of: SettingsOf, changed: dict[str, str], rolled: set[str]
) -> None:
    before, after = contents(render(settings_of())), contents(render(settings_of(**changed)))
    assert {name for name in before if before[name] != after[name]} == rolled


def test_without_a_strategy_no_pod_runs_one(settings_of: SettingsOf) -> None:
    """A pod would end at once with a usage error, again and again."""
    for strategy, pods in (("", 0), ("sma-cross", 1)):
        signals = find(render(settings_of(**{"signals.strategy": strategy})), "Deployment", "signals")
        assert signals["spec"]["replicas"] == pods


def test_the_dashboard_is_off_until_a_setting_turns_it_on(settings_of: SettingsOf) -> None:
    assert "dashboard" not in str([each["metadata"]["name"] for each in render(settings_of()).all])
    rendered = render(
        settings_of(**{"infra.dashboard": "true", "dashboard.hosts": "charts.example.com", "dashboard.port": "9000"})
    )
    found = {(each["kind"], each["metadata"]["name"]) for each in rendered.all if "dashboard" in each["metadata"]["name"]}
    assert found == {
        ("ConfigMap", "dashboard-settings"),
        ("Deployment", "dashboard"),
        ("NetworkPolicy", "dashboard"),
        ("Secret", "stockctl-dashboard"),
        ("Service", "dashboard"),
    }
    assert find(rendered, "Deployment", "dashboard")["spec"]["replicas"] == 1
    assert secret(rendered, "stockctl-dashboard") == {"token": SECRETS["STOCKCTL_DASHBOARD__TOKEN"]}
    settings = find(rendered, "ConfigMap", "dashboard-settings")["data"]
    assert settings["STOCKCTL_DASHBOARD__HOSTS"] == "charts.example.com"
    assert (settings["STOCKCTL_DASHBOARD__BIND"], settings["STOCKCTL_DASHBOARD__PORT"]) == ("0.0.0.0", "8765")  # noqa: S104 - in a pod


@pytest.mark.parametrize(("token", "problem"), [("", "is not set"), ("short", "has fewer than 16 characters")])
def test_a_dashboard_needs_a_token(settings_of: SettingsOf, token: str, problem: str) -> None:
    """Unless the user creates the Secret."""
    more = {"infra.dashboard": "true", "STOCKCTL_DASHBOARD__TOKEN": token}
    with pytest.raises(ConfigError, match=f"infra.dashboard is true, and the setting dashboard.token {problem}") as raised:
        render(settings_of(**more))
    assert "export STOCKCTL_DASHBOARD__TOKEN=" in str(raised.value.hint)
    assert "short" not in str(raised.value)
    assert find(render(settings_of(**more, **{"infra.secrets": "referenced"})), "Deployment", "dashboard")


def test_an_overlay_without_a_dashboard_cannot_serve_one(settings_of: SettingsOf, tmp_path: Path) -> None:
    (tmp_path / "overlays" / "mine").mkdir(parents=True)
    (tmp_path / "overlays" / "mine" / "kustomization.yaml").write_text("resources: [one.yaml]")
    (tmp_path / "overlays" / "mine" / "one.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n")
    mine = {"infra.manifests": str(tmp_path), "infra.overlay": "mine", "infra.dashboard": "true"}
    with pytest.raises(ManifestError, match="the overlay has no Deployment dashboard"):
        render(settings_of(**mine))


def test_a_changed_job_has_another_name(settings_of: SettingsOf) -> None:
    def jobs(**more: str) -> set[str]:
        return {each["metadata"]["name"] for each in render(settings_of(**more)).manifests if each["kind"] == "Job"}

    assert jobs() == jobs()
    assert len(jobs() - jobs(**{"topics.trades.partitions": "12"})) == 1
    assert not jobs() & jobs(**{"infra.image_tag": "9"})


def test_rendering_is_deterministic(settings_of: SettingsOf) -> None:
    assert to_yaml(render(settings_of()).all) == to_yaml(render(settings_of()).all)


def test_every_object_is_labelled_and_in_one_namespace(rendered: Rendered) -> None:
    for manifest in rendered.all:
        assert OWNER.items() <= manifest["metadata"]["labels"].items()
        assert manifest["kind"] == "Namespace" or manifest["metadata"]["namespace"] == "stockctl"
    kinds = [manifest["kind"] for manifest in rendered.all]
    assert kinds[0] == "Namespace"
    assert kinds.index("Secret") < kinds.index("StatefulSet") < kinds.index("Job") < kinds.index("Deployment")


def test_namespace_and_images_are_settings(settings_of: SettingsOf) -> None:
    infra = {"infra.namespace": "market", "infra.image": "here/stockctl", "infra.image_tag": "7", "infra.overlay": "ha"}
    rendered = render(settings_of(**infra))
    assert find(rendered, "Namespace", "market")
    assert {each["metadata"].get("namespace", "market") for each in rendered.all} == {"market"}
    images = {container["image"] for manifest in rendered.manifests for container in containers(manifest)}
    assert images == {"here/stockctl:7", "stockctl-connect:7", "apache/kafka:4.3.1", "mongo:8.0"}


@pytest.mark.parametrize("name", ["infra.image", "infra.image_tag"])
def test_an_image_setting_without_an_image_to_change_is_an_error(settings_of: SettingsOf, tmp_path: Path, name: str) -> None:
    shutil.copytree(ROOT / "manifests", tmp_path / "manifests")
    file = tmp_path / "manifests" / "overlays" / "single-node" / "kustomization.yaml"
    file.write_text(file.read_text().replace("newTag:", "newName: registry:5000/stockctl\n    newTag:"))
    with pytest.raises(ConfigError, match=f"the setting {name} is 7, but the overlay single-node has no image named stockctl"):
        render(settings_of(**{"infra.manifests": str(tmp_path / "manifests"), name: "7"}))


@pytest.mark.parametrize("name", ["Registry/Stockctl", "two words", "stockctl@sha256:12", "a//b"])
def test_an_invalid_image_name_is_refused_with_its_object(settings_of: SettingsOf, tmp_path: Path, name: str) -> None:
    """The API server would accept it, and the pods would wait forever."""
    shutil.copytree(ROOT / "manifests", tmp_path / "manifests")
    file = tmp_path / "manifests" / "overlays" / "single-node" / "kustomization.yaml"
    file.write_text(file.read_text().replace("newTag:", f'newName: "{name}"\n    newTag:'))
    with pytest.raises(ManifestError, match=re.escape(f"has the image {name}:")):
        render(settings_of(**{"infra.manifests": str(tmp_path / "manifests")}))


def test_secrets_are_created_from_the_settings(settings_of: SettingsOf) -> None:
    rendered = render(
        settings_of(**{"infra.overlay": "ha", "s3.access_key_id": "key", "STOCKCTL_S3__SECRET_ACCESS_KEY": "its secret"})
    )
    assert secret(rendered, "stockctl-finnhub") == {"token": SECRETS["STOCKCTL_FINNHUB__TOKEN"]}
    assert secret(rendered, "stockctl-mongo") == {"password": SECRETS["STOCKCTL_MONGO__PASSWORD"]}
    assert secret(rendered, "stockctl-aws") == {"access-key-id": "key", "secret-access-key": "its secret"}
    kafka = secret(rendered, "stockctl-kafka")
    assert kafka["password"] == SECRETS["STOCKCTL_KAFKA__PASSWORD"]
    assert len(kafka["cluster-id"]) == 22
    assert secret(rendered, "stockctl-connect")["worker.properties"].splitlines() == [
        "uri=mongodb://stockctl:mongo-password-of-a-test@mongo-0.mongo:27017/?replicaSet=rs0&authSource=admin",
        "jaas=org.apache.kafka.common.security.scram.ScramLoginModule required "
        'username="stockctl" password="kafka-password-of-a-test";',
    ]


def test_another_lake_or_namespace_has_another_cluster_id(settings_of: SettingsOf) -> None:
    ids = [
        secret(render(settings_of(**more)), "stockctl-kafka")["cluster-id"]
        for more in ({}, {"infra.namespace": "other"}, {"lake.url": "s3://other/lake"}, {})
    ]
    assert (len(set(ids)), ids[0]) == (3, ids[-1])


def test_without_access_keys_there_is_no_aws_secret(settings_of: SettingsOf) -> None:
    assert "stockctl-aws" not in [each["metadata"]["name"] for each in render(settings_of()).secrets]


def test_referenced_secrets_are_not_created(settings_of: SettingsOf) -> None:
    settings = settings_of(**{"infra.secrets": "referenced", "STOCKCTL_KAFKA__PASSWORD": ""})
    assert render(settings).secrets == []


def test_mongodb_may_be_outside_the_cluster(settings_of: SettingsOf) -> None:
    elsewhere = {
        "infra.mongo_url": "mongodb://m1:27018,m2/?tls=true",
        "mongo.username": "writer",
        "STOCKCTL_MONGO__PASSWORD": "sh@rt",
    }
    rendered = render(settings_of(**elsewhere))
    names = {(each["kind"], each["metadata"]["name"]) for each in rendered.all}
    assert not names & {
        ("StatefulSet", "mongo"),
        ("Service", "mongo"),
        ("Service", "mongo-outside"),
        ("ConfigMap", "mongo-config"),
    }
    assert find(rendered, "ConfigMap", "mongo-settings")["data"] == {
        "STOCKCTL_MONGO__URL": "mongodb://m1:27018,m2/?tls=true",
        "STOCKCTL_MONGO__USERNAME": "writer",
        "STOCKCTL_MONGO__AUTH_SOURCE": "admin",
        "STOCKCTL_MONGO__PASSWORD_FILE": "/run/secrets/mongo/password",
    }
    egress = find(rendered, "NetworkPolicy", "to-mongo")["spec"]["egress"]
    assert egress == [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 27017}, {"port": 27018}]}]
    (setup,) = (
        each for each in rendered.manifests if each["metadata"]["name"].startswith("mongo-setup-") and each["kind"] == "Job"
    )
    assert [container["name"] for container in containers(setup)] == ["collections"]
    assert "mongo-config" not in [volume["name"] for volume in setup["spec"]["template"]["spec"]["volumes"]]


def test_an_external_mongodb_may_have_an_ipv6_address(settings_of: SettingsOf) -> None:
    url = "mongodb://[fd00::5],[fd00::6]:27018"
    rendered = render(settings_of(**{"infra.mongo_url": url, "mongo.username": "writer"}))
    (rule,) = find(rendered, "NetworkPolicy", "to-mongo")["spec"]["egress"]
    assert rule["to"] == [{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}}]
    assert rule["ports"] == [{"port": 27017}, {"port": 27018}]


_ANYWHERE = {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}


@pytest.mark.parametrize(
    ("more", "ways"),
    [
        ({"s3.endpoint_url": "http://10.42.0.5:9000"}, [({"cidr": "10.42.0.5/32"}, 9000)]),
        ({"s3.endpoint_url": "https://[fd00::5]"}, [({"cidr": "fd00::5/128"}, 443)]),
        ({"s3.endpoint_url": "http://minio.storage.svc"}, [(_ANYWHERE, 80)]),
        ({"s3.endpoint_url": "https://s3.example.com"}, []),
        ({"finnhub.url": "ws://feed:8081", "finnhub.rest_url": "http://feed:8080/v1"}, [(_ANYWHERE, 8081), (_ANYWHERE, 8080)]),
        ({"finnhub.url": "wss://feed:8443", "finnhub.rest_url": "https://feed:8443/v1"}, [(_ANYWHERE, 8443)]),
    ],
)
def test_egress_rules_allow_the_addresses_in_the_settings(
    settings_of: SettingsOf, more: dict[str, str], ways: list[tuple[dict[str, Any], int]]
) -> None:
    https, *others = find(render(settings_of(**more)), "NetworkPolicy", "to-the-internet")["spec"]["egress"]
    assert https["ports"] == [{"port": 443}]
    assert others == [{"to": [{"ipBlock": block}], "ports": [{"port": port}]} for block, port in ways]


def test_only_the_named_networks_reach_mongodb(settings_of: SettingsOf) -> None:
    rendered = render(settings_of(**{"infra.mongo_clients": "203.0.113.7/32,198.51.100.0/24"}))
    (rule,) = find(rendered, "NetworkPolicy", "mongo-outside")["spec"]["ingress"]
    assert [each["ipBlock"]["cidr"] for each in rule["from"]] == ["203.0.113.7/32", "198.51.100.0/24"]
    assert "mongo-outside" not in [each["metadata"]["name"] for each in render(settings_of()).all]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"symbols": ""}, "the setting symbols is not set"),
        ({"lake.url": "file:///here"}, "the setting lake.url is file:///here, but the pods of a cluster share no folder"),
        ({"STOCKCTL_FINNHUB__TOKEN": ""}, "the setting finnhub.token is not set"),
        ({"STOCKCTL_KAFKA__PASSWORD": "short"}, "the setting kafka.password from environment .* is invalid for a server"),
        ({"STOCKCTL_MONGO__PASSWORD": "long enough, but: spaces"}, "the setting mongo.password from environment"),
        ({"infra.mongo_url": "mongodb://m1"}, "the setting mongo.username is not set"),
        (
            {"s3.access_key_id": "k", "STOCKCTL_S3__SECRET_ACCESS_KEY": "s", "STOCKCTL_S3__SESSION_TOKEN": "t"},
            "the setting s3.session_token from environment .* expires within hours",
        ),
    ],
)
def test_an_invalid_setting_is_named(settings_of: SettingsOf, more: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        render(settings_of(**more))
    assert raised.value.hint
    assert "short" not in str(raised.value)


def test_an_unknown_overlay_lists_the_available_ones(settings_of: SettingsOf) -> None:
    with pytest.raises(UsageError, match="there is no overlay three") as raised:
        render(settings_of(**{"infra.overlay": "three"}))
    assert raised.value.hint == "one of ha, single-node"


def test_users_may_have_their_own_manifests(settings_of: SettingsOf, tmp_path: Path) -> None:
    (tmp_path / "overlays" / "mine").mkdir(parents=True)
    (tmp_path / "overlays" / "mine" / "kustomization.yaml").write_text("resources: [one.yaml]")
    (tmp_path / "overlays" / "mine" / "one.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n")
    rendered = render(settings_of(**{"infra.manifests": str(tmp_path), "infra.overlay": "mine"}))
    assert [each["metadata"]["name"] for each in rendered.all] == ["one"]


_FIRST = ((), ("apiVersion",), ("kind",))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything within ``value``."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(value[key], (*path, key))


@pytest.mark.parametrize("seed", range(2))
def test_every_error_in_a_manifest_is_reported(settings_of: SettingsOf, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Remove or replace one value at a time: it renders, or raises a StockctlError."""
    more = [{"infra.mongo_clients": "203.0.113.7/32"}, {"infra.mongo_url": "mongodb://m1", "mongo.username": "writer"}]
    settings = settings_of(**{"infra.overlay": "ha"} | more[seed])
    draw, read = random.Random(seed), kustomize._documents
    files: dict[Path, list[Manifest]] = {}
    monkeypatch.setattr(kustomize, "_documents", lambda file: files.setdefault(file, read(file)))
    render(settings)
    # What is read before: each document is a mapping, with these two.
    every = [(file, place) for file in sorted(files) for place in places(files[file]) if place[1:] not in _FIRST]
    refused = 0
    for file, (*path, last) in draw.sample(every, 20):
        whole, files[file] = files[file], copy.deepcopy(files[file])
        holder: Any = files[file]
        for key in path:
            holder = holder[key]
        if path and draw.random() < 0.3:
            del holder[last]
        else:
            holder[last] = draw.choice([None, "text", [], {}, 3])
        try:
            render(settings)
        except StockctlError:
            refused += 1
        files[file] = whole
    assert refused


def test_the_rule_for_mongo_clients_must_exist(settings_of: SettingsOf, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "manifests", tmp_path / "manifests")
    file = tmp_path / "manifests" / "base" / "mongo-outside.yaml"
    file.write_text(file.read_text().replace("  ingress:", "  ingres:"))
    settings = settings_of(**{"infra.manifests": str(tmp_path / "manifests"), "infra.mongo_clients": "203.0.113.7/32"})
    with pytest.raises(ManifestError, match="the NetworkPolicy mongo-outside needs exactly one ingress rule"):
        render(settings)


def test_connects_login_needs_its_config_maps(settings_of: SettingsOf, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "manifests", tmp_path / "manifests")
    file = tmp_path / "manifests" / "base" / "settings.yaml"
    file.write_text(file.read_text().replace("  STOCKCTL_KAFKA__USERNAME: stockctl\n", ""))
    with pytest.raises(ManifestError, match="lack STOCKCTL_KAFKA__USERNAME"):
        render(settings_of(**{"infra.manifests": str(tmp_path / "manifests"), "infra.overlay": "ha"}))


def test_the_folder_itself_is_the_overlay_for_one_machine() -> None:
    """`kubectl apply -k manifests/`."""
    assert kustomize.build(ROOT / "manifests") == kustomize.build(ROOT / "manifests" / "overlays" / "single-node")


@pytest.fixture
def prod(tmp_path: Path) -> Command:
    """The command with the profile of a cluster."""
    (tmp_path / "stockctl.toml").write_text(PROFILE)
    return Command(tmp_path, STOCKCTL_PROFILE="prod", **SECRETS)


def test_the_command_writes_yaml_without_secrets(prod: Command) -> None:
    result = prod.run("infra", "render", "--overlay", "ha", "--image-tag", "7")
    found = list(yaml.safe_load_all(result.stdout))
    assert {"Namespace", "StatefulSet", "CronJob"} <= {each["kind"] for each in found}
    assert "Secret" not in {each["kind"] for each in found}
    assert "without the secrets stockctl-connect, stockctl-finnhub, stockctl-kafka, stockctl-mongo" in result.stderr
    assert not [value for value in SECRETS.values() if value in result.stdout + result.stderr]
    assert "stockctl:7" in result.stdout


def test_secrets_are_written_to_a_pipe_and_not_to_a_terminal(prod: Command) -> None:
    piped = prod.run("infra", "render", "--with-secrets")
    assert "Secret" in {each["kind"] for each in yaml.safe_load_all(piped.stdout)}
    ours, theirs = pty.openpty()
    result = subprocess.run(
        [BIN / "stockctl", "infra", "render", "--with-secrets"],
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=prod.environment,
        cwd=prod.folder,
        text=True,
        timeout=HANG,
    )
    os.close(theirs)
    os.close(ours)
    assert result.returncode == 2
    assert "refusing to write secrets to a terminal" in result.stderr


def test_the_profile_local_is_refused(prod: Command) -> None:
    result = prod.run("-p", "local", "infra", "render", check=2)
    assert "the profile local is for one machine" in result.stderr


def test_a_missing_setting_ends_in_its_exit_code(prod: Command) -> None:
    del prod.environment["STOCKCTL_KAFKA__PASSWORD"]
    assert "the setting kafka.password is not set" in prod.run("infra", "render", check=3).stderr
