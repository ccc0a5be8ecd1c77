"""The page that says which secrets there are, and where they are held, names each of them."""

from __future__ import annotations

from pathlib import Path

from stockctl.settings import is_secret, setting_names

PAGE = Path(__file__).parents[2] / "docs" / "SECURITY.md"


def test_the_security_page_names_every_secret_setting() -> None:
    text = PAGE.read_text(encoding="utf-8")
    secrets = [name for name in setting_names() if is_secret(name)]
    assert len(secrets) > 5
    assert [name for name in secrets if f"`{name}`" not in text] == []
