"""``make release`` refuses what is no release: each refusal names what is wrong, and what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.command import HANG

SCRIPT = Path(__file__).parents[1] / ".ci" / "release"
CHANGELOG = """# Changelog

## [Unreleased]

- A change to come.

## [1.2.0] - 2026-11-29

### Added

- A change.

## [1.1.0] - 2026-10-01

- A change before.
"""
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{role}_{part}": "nobody@example.org" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")},
}


def git(repository: Path, *arguments: str) -> None:
    """Run git there; it must end well."""
    subprocess.run(["git", *arguments], cwd=repository, env=ENVIRONMENT, check=True, capture_output=True, timeout=HANG)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose one commit is version 1.2.0, with the changelog's section, and without a tag."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(SCRIPT, tmp_path / ".ci")
    (tmp_path / "stockctl").mkdir()
    (tmp_path / "stockctl" / "__init__.py").write_text('"""A package."""\n\n__version__ = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    git(tmp_path, "init")
    commit(tmp_path)
    return tmp_path


def commit(repository: Path) -> None:
    """Commit all that is there."""
    git(repository, "add", ".")
    git(repository, "commit", "--message", "A commit")


def release(repository: Path) -> subprocess.CompletedProcess[str]:
    """Run the script of ``make release``, where no environment is that could build anything."""
    command = [repository / ".ci" / "release"]
    return subprocess.run(command, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=HANG)


def refusal(repository: Path) -> str:
    """Run the script, which must refuse before it has done anything; what it says."""
    result = release(repository)
    assert result.returncode == 1, result.stdout + result.stderr
    assert result.stdout == ""
    first, *rest = result.stderr.splitlines()
    assert len(rest) == 1
    assert rest[0].startswith("  ")
    return first.removeprefix("refused: ")


def test_a_tagged_commit_is_built(repository: Path) -> None:
    git(repository, "tag", "v1.2.0")
    git(repository, "tag", "another")
    result = release(repository)
    assert result.stdout == "building stockctl 1.2.0 from the tag v1.2.0\n"
    assert ".venv/bin/uv" in result.stderr
    assert result.returncode == 127


def test_a_folder_that_is_no_repository_is_refused(repository: Path) -> None:
    shutil.rmtree(repository / ".git")
    assert refusal(repository) == "this is no git repository"


@pytest.mark.parametrize("name", ["CHANGELOG.md", "a new file"])
def test_a_working_tree_with_changes_is_refused(repository: Path, name: str) -> None:
    git(repository, "tag", "v1.2.0")
    with (repository / name).open("a") as file:
        file.write("a change\n")
    assert refusal(repository).startswith("the working tree has changes: ")
    assert name in refusal(repository)


def test_a_commit_without_a_tag_is_refused(repository: Path) -> None:
    git(repository, "tag", "v1.2.0")
    (repository / "a new file").touch()
    commit(repository)
    assert refusal(repository) == "HEAD has no tag"


@pytest.mark.parametrize("tag", ["v1.1.0", "1.2.0", "v1.2.01"])
def test_a_tag_of_another_version_is_refused(repository: Path, tag: str) -> None:
    git(repository, "tag", tag)
    assert refusal(repository) == f"HEAD has the tag {tag}, but the version in stockctl/__init__.py is 1.2.0"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("## [1.2.0] - 2026-11-29", "### Fixed"),
        (" - 2026-11-29", ""),
        ("2026-11-29", "soon"),
        ("### Added\n\n- A change.\n", ""),
        ("[1.2.0]", "[1.2.01]"),
        ("[1.2.0]", "[1x2.0]"),
    ],
)
def test_a_version_without_entries_in_the_changelog_is_refused(repository: Path, old: str, new: str) -> None:
    assert old in CHANGELOG
    (repository / "CHANGELOG.md").write_text(CHANGELOG.replace(old, new))
    commit(repository)
    git(repository, "tag", "v1.2.0")
    assert refusal(repository) == "CHANGELOG.md has no entries under ## [1.2.0] - YYYY-MM-DD"


def test_a_package_without_a_version_is_refused(repository: Path) -> None:
    (repository / "stockctl" / "__init__.py").write_text("")
    commit(repository)
    assert refusal(repository) == 'stockctl/__init__.py has no line __version__ = "…"'
