"""Credentials that botocore cannot use: RefusedError, whichever exception botocore raises."""

from __future__ import annotations

from pathlib import Path

import pytest

from stockctl.clients.aws.glue import Glue
from stockctl.errors import RefusedError
from stockctl.settings import load_settings
from tests.command import clean_environment
from tests.conftest import free_port

_SSO = "sso_account_id = 123456789012\nsso_role_name = reader\nregion = us-east-1\n"


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ("credential_process = false\n", "custom-process"),
        (f"sso_start_url = https://sso.invalid/start\nsso_region = us-east-1\n{_SSO}", "SSO"),
        (f"sso_session = work\n{_SSO}[sso-session work]\nsso_start_url = https://sso.invalid/\nsso_region = us-east-1\n", ""),
    ],
    ids=["process", "sso", "sso-session"],
)
def test_a_profile_that_gives_no_credentials_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str, words: str
) -> None:
    (tmp_path / "config").write_text(f"[profile someone]\n{profile}")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))  # where tokens of logins would lie
    flags = {
        "s3.profile": "someone",
        "s3.region": "us-east-1",
        "glue.endpoint_url": f"http://127.0.0.1:{free_port()}",
    }
    with pytest.raises(RefusedError, match=f"no AWS credentials for .*{words}") as caught:
        Glue(load_settings(environ=clean_environment(), flags=flags)).find_database()
    assert "aws sso login" in (caught.value.hint or "")
