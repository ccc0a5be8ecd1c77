"""The rules of docs/architecture.md, where a program can hold them."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stockctl.settings import Settings
from stockctl.settings.types import Section
from tests.command import HANG

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "stockctl"
SECTIONS = {name for name, default in Settings() if isinstance(default, Section)}


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the contracts of ``pyproject.toml`` on the package in ``folder``."""
    program = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-P", "-c", program, "--no-logo", "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=HANG)


def test_the_contracts_of_the_rooms_hold() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout
    assert "3 kept, 0 broken" in result.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("errors.py", "from stockctl.lake import claims", "A room imports only from rows below its own"),
        ("sim/wire_format.py", "from stockctl.clients import kafka", "The simulator imports the foundation alone"),
        ("lake/format/keys.py", "import boto3", "Only the client layer imports the outside systems' SDKs"),
    ],
)
def test_breaking_a_contract_is_noticed(tmp_path: Path, module: str, line: str, contract: str) -> None:
    shutil.copytree(PACKAGE, tmp_path / "stockctl")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    file = tmp_path / "stockctl" / module
    file.write_text(file.read_text(encoding="utf-8") + f"\n{line}\n", encoding="utf-8")
    result = lint_imports(tmp_path)
    assert result.returncode != 0
    assert f"{contract} BROKEN" in result.stdout


def test_the_architecture_page_names_every_room() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    folders = [path.name for path in PACKAGE.iterdir() if path.is_dir() and not path.name.startswith(("_", "."))]
    modules = [path.stem for path in PACKAGE.glob("*.py") if not path.name.startswith("_")]
    assert len(folders) > 8
    assert [name for name in folders if f"`{name}/`" not in text] == []
    assert [name for name in modules if f"`{name}`" not in text] == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
        if (source := path.read_text(encoding="utf-8")).strip() and not ast.get_docstring(ast.parse(source))
    ]
    assert silent == []


def _modules() -> dict[str, ast.Module]:
    """The package's modules by their path below ``stockctl/``, parsed."""
    return {
        path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in PACKAGE.rglob("*.py")
        if "_files" not in path.parts
    }


@pytest.mark.parametrize(
    ("name", "home"),
    [
        ("Change", "reconcile.py"),
        ("Difference", "reconcile.py"),
        ("Check", "check_runner.py"),
        ("Trade", "records.py"),
        ("parse_duration", "units.py"),
        ("load_settings", "settings/layers.py"),
    ],
)
def test_a_shared_concept_is_defined_once(name: str, home: str) -> None:
    definitions = [
        path
        for path, module in _modules().items()
        for node in ast.walk(module)
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name
    ]
    assert definitions == [home]


def test_the_keys_of_the_lakes_log_are_made_in_one_module() -> None:
    makers = {
        path
        for path, module in _modules().items()
        for node in ast.walk(module)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("_log/")
    }
    assert makers <= {"lake/format/keys.py"}


def test_retries_and_waits_are_made_in_service() -> None:
    retrying = {
        name
        for name, module in _modules().items()
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tenacity")
    }
    assert retrying == {"service.py"}


def test_no_module_has_more_than_400_lines() -> None:
    lines = {path: (PACKAGE / path).read_text(encoding="utf-8").count("\n") for path in _modules()}
    assert {path: count for path, count in lines.items() if count > 400} == {}


def test_no_folder_has_more_than_16_modules() -> None:
    """Beside ``__init__``. In ``cli/`` each command has its module."""
    modules = [path.rpartition("/")[0] for path in _modules() if not path.endswith("__init__.py")]
    assert {folder for folder in modules if modules.count(folder) > 16} == set()


def _takes_too_much(function: ast.FunctionDef) -> bool:
    """Whether the function takes all settings, and reads no more of them than one section."""
    arguments = [*function.args.args, *function.args.kwonlyargs]
    if not any(one.arg == "settings" and one.annotation and ast.unparse(one.annotation) == "Settings" for one in arguments):
        return False
    nodes = list(ast.walk(function))
    read = [one.attr for one in nodes if isinstance(one, ast.Attribute) and ast.unparse(one.value) == "settings"]
    names = [one for one in nodes if isinstance(one, ast.Name) and one.id == "settings"]
    return len(names) == len(read) and len(set(read)) == 1 and read[0] in SECTIONS


def test_a_function_takes_the_section_of_settings_that_it_reads() -> None:
    too_much = [
        f"{name}: {function.name}"
        for name, module in _modules().items()
        if not name.startswith("cli/")
        for function in ast.walk(module)
        if isinstance(function, ast.FunctionDef) and _takes_too_much(function)
    ]
    assert "\n".join(too_much) == ""
