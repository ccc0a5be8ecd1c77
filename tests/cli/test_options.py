"""An option's value that cannot be read is a usage error that names the option, also where the option stands for a setting."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import Command

BAD = "no such ]["
SETTINGS = {
    ("metrics", "vwap", "--tz"): "is not a time zone",
    ("metrics", "watch", "--tz"): "is not a time zone",
    ("lake", "read", "--tz"): "is not a time zone",
    ("company", "show", "AAPL", "--tz"): "is not a time zone",
    ("filings", "kpis", "AAPL", "--tz"): "is not a time zone",
    ("consume", "s3", "--max-age"): "is not a duration",
    ("consume", "s3", "--max-bytes"): "is not a size",
    ("consume", "mongo", "--max-age"): "is not a duration",
    ("infra", "render", "--image-tag"): "is not an image tag",
}
"""Those that stand for a setting."""
DURATIONS = ("--for", "--ping-interval", "--timeout", "--look-back")
"""Options of nothing but a duration."""
OTHERS = [
    *(("metrics", "bars", name) for name in ("--since", "--until", "--date", "--as-of", "--every")),
    *(("metrics", "volatility", name) for name in ("--window", "--every")),
    *(("metrics", "watch", name) for name in ("--for", "--refresh", "--look-back")),
    *(("lake", "compact", name) for name in ("--before", "--date")),
    ("lake", "prune", "--before"),
    ("dlq", "list", "--since"),
    ("filings", "fetch", "--since"),
    ("filings", "fetch", "--repeat"),
    ("filings", "kpis", "AAPL", "--as-of"),
    ("glue", "status", "--since"),
    ("glue", "sync", "--since"),
    ("produce", "--for"),
    ("produce", "--speed"),
    ("local", "demo", "--for"),
    ("sim", "--ping-interval"),
    ("infra", "up", "--timeout"),
    ("infra", "down", "--timeout"),
]


@pytest.mark.parametrize("arguments", [*SETTINGS, *OTHERS], ids=" ".join)
def test_a_value_that_cannot_be_read_is_a_usage_error_before_anything_is_asked(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """Nothing is configured, so that whatever is asked first would fail with another exit code."""
    result = Command(tmp_path).run(*arguments, BAD, check=2)
    assert result.stdout == ""
    if words := SETTINGS.get(arguments):
        assert f"error: {arguments[-1]}: '{BAD}' {words}" in result.stderr
    assert "try: " in result.stderr


@pytest.mark.parametrize(
    "arguments", [one for one in OTHERS if one[-1] in DURATIONS or one[:2] == ("metrics", "watch")], ids=" ".join
)
def test_an_option_that_takes_a_duration_says_how_they_are_written(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = Command(tmp_path).run(*arguments, BAD, check=2)
    assert f"error: {arguments[-1]}: '{BAD}' is not a duration\n" in result.stderr
    assert "try: write 90s, 5m, 1h30m or 7d" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("produce", "--replay"),
        ("sim", "--replay"),
        ("sim", "--filings"),
        ("dlq", "replay", "trades-2-17", "--with"),
        ("spectrum", "query", "--local"),
        ("config", "init", "--force"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("name", ["nowhere/file", "folder.gz", "x" * 300])
def test_a_file_that_is_named_wrongly_is_a_usage_error_in_plain_words(
    tmp_path: Path, arguments: tuple[str, ...], name: str
) -> None:
    (tmp_path / "folder.gz").mkdir()
    result = Command(tmp_path).run(*arguments, name, check=2)
    assert name in result.stderr
    assert "try: " in result.stderr
    assert "Errno" not in result.stderr
    assert result.stdout == ""


def test_the_same_value_in_the_environment_is_a_matter_of_configuration(tmp_path: Path) -> None:
    result = Command(tmp_path, STOCKCTL_TIMEZONE=BAD).run("metrics", "vwap", "AAPL", check=3)
    assert "invalid setting timezone from environment STOCKCTL_TIMEZONE" in result.stderr
