"""The Dockerfiles: linted, and compared with the tree, the manifests and the tests of Kafka Connect."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from stockctl import __version__
from stockctl.infra.kustomize import build, containers, pod_template
from tests.command import BIN, HANG
from tests.servers import KAFKA_VERSION, MONGO_PLUGIN

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "images").glob("*.Dockerfile"))


def instructions(file: str, word: str) -> list[str]:
    """The arguments of every instruction ``word`` in ``file``."""
    text = (ROOT / "images" / file).read_text().replace("\\\n", " ")
    return re.findall(rf"^{word} +(.+)$", text, re.MULTILINE)


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_hadolint_reports_nothing(file: Path) -> None:
    result = subprocess.run([BIN / "hadolint", file], capture_output=True, text=True, timeout=HANG)
    assert (result.returncode, result.stdout) == (0, "")


def test_copied_files_exist_and_are_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [
        word for line in instructions("stockctl.Dockerfile", "COPY") if "--from" not in line for word in line.split()[:-1]
    ]
    assert {"pyproject.toml", "stockctl", "manifests", "sql"} <= set(copied)
    for name in copied:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in ignored, name


def test_the_image_builds_the_converter_by_the_tested_script() -> None:
    """One script builds it in the image, for the tests, and for your own workers."""
    copied = [line.split()[0] for line in instructions("connect.Dockerfile", "COPY") if "--from" not in line]
    assert copied == ["connect"]
    assert "sh /connect/build.sh /libs /plugins/stockctl/record-converter.jar" in instructions("connect.Dockerfile", "RUN")[1]
    assert (ROOT / "images" / "connect" / "build.sh").exists()
    assert "sh images/connect/build.sh" in (ROOT / "docs" / "connect.md").read_text()


def test_pods_run_as_the_users_of_their_images() -> None:
    """The worker's pod as the user of Kafka's image, which owns its files; the others as the user of stockctl's image."""
    users = {
        "stockctl": instructions("stockctl.Dockerfile", "USER")[-1],
        "stockctl-connect": instructions("connect.Dockerfile", "USER")[-1],
    }
    for manifest in build(ROOT / "manifests" / "overlays" / "ha"):
        images = {container["image"].partition(":")[0] for container in containers(manifest)}
        for image in ("stockctl-connect", "stockctl"):
            if image in images and "mongo" not in images:
                security = (pod_template(manifest) or {})["spec"]["securityContext"]
                assert f"{security['runAsUser']}:{security['runAsGroup']}" == users[image], manifest["metadata"]["name"]
                break


def test_kafka_and_the_plugin_have_the_tested_versions() -> None:
    built_against, *_, run = instructions("connect.Dockerfile", "FROM")
    assert (built_against, run) == (f"apache/kafka:{KAFKA_VERSION} AS kafka", f"apache/kafka:{KAFKA_VERSION}")
    assert f"-Dartifact={MONGO_PLUGIN} " in instructions("connect.Dockerfile", "RUN")[0]
    images = {container["image"] for each in build(ROOT / "manifests" / "overlays" / "ha") for container in containers(each)}
    assert f"apache/kafka:{KAFKA_VERSION}" in images


def test_the_commands_in_the_dockerfiles_have_the_current_version() -> None:
    for file in FILES:
        assert f":{__version__} " in file.read_text().splitlines()[0] + " ", file.name
