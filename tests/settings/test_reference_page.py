"""The reference page of settings."""

from __future__ import annotations

from pathlib import Path

from stockctl.settings import env_name, setting_names
from stockctl.settings.reference_page import page

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_names_every_setting_with_its_variable() -> None:
    text = page()
    for name in setting_names():
        assert f"| `{name}` | `{env_name(name)}` |" in text


def test_the_page_in_the_docs_is_current() -> None:
    assert (DOCS / "settings.md").read_text(encoding="utf-8") == page(), "run `make settings`"
