"""The Python API: ``stockctl.__all__`` is what docs/python.md lists, and importing the package loads nothing heavy."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import stockctl

PAGE = Path(__file__).parents[1] / "docs" / "python.md"


def test_the_page_lists_the_public_names() -> None:
    names = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(names) == sorted(stockctl.__all__)


def test_every_public_name_can_be_imported() -> None:
    assert all(getattr(stockctl, name) is not None for name in stockctl.__all__)


def test_an_import_of_the_package_loads_no_dependency() -> None:
    program = "import stockctl, sys; print([name for name in ('duckdb', 'pyarrow', 'pydantic') if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
