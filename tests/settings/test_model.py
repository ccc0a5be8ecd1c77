"""What the settings' own types take and derive."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from stockctl.settings import Settings, load


def sections(model: type[BaseModel]) -> list[type[BaseModel]]:
    inner = [field.annotation for field in model.model_fields.values()]
    return [model, *(one for kind in inner if isinstance(kind, type) and issubclass(kind, BaseModel) for one in sections(kind))]


def test_every_setting_says_what_it_is_for() -> None:
    for section in sections(Settings):
        for name, field in section.model_fields.items():
            kind = field.annotation
            if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
                assert field.description, f"{section.__name__}.{name}"
                assert not field.description.endswith("."), name


@pytest.mark.parametrize(
    ("url", "real"),
    [
        ("wss://ws.finnhub.io", True),
        ("wss://finnhub.io/x", True),
        ("ws://127.0.0.1:9999", False),
        ("wss://finnhub.io.example.org", False),
        ("wss://notfinnhub.io", False),
    ],
)
def test_records_are_named_finnhub_only_when_they_come_from_finnhub(url: str, real: bool) -> None:
    settings = load(environ={}, flags={"finnhub.url": url})
    assert settings.finnhub.is_real is real
    assert settings.finnhub.source == ("finnhub" if real else "sim")
