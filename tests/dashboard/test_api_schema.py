"""Requests of any form, made from the description of the API: whatever is asked, the dashboard answers in words."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from tests.command import HANG
from tests.conftest import examples
from tests.dashboard.pipeline import Pipeline

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance]
PATHS = ("symbols", "snapshot", "bars", "trades", "overview", "health", "gaps", "signals", "company/{symbol}")
"""All but ``/api/events``, whose answer never ends."""
REPLAYS = 5
"""Answers of ``/api/signals``: each has a process of its own, and they differ in their strategy alone."""


def test_the_description_names_what_the_page_asks(pipeline: Pipeline) -> None:
    assert {"/api/events", *(f"/api/{name}" for name in PATHS)} == set(pipeline.api("/openapi.json")["paths"])


@pytest.mark.parametrize("path", PATHS)
def test_no_request_is_a_defect(pipeline: Pipeline, path: str) -> None:
    """As it is made, and for a symbol that exists: else nearly every request ends at its symbol. No request is sent twice."""
    description = schemathesis.openapi.from_url(f"{pipeline.address}/openapi.json")
    statuses: set[int] = set()
    sent: set[str] = set()
    answers = 0

    def send(case: schemathesis.Case[Any]) -> None:
        nonlocal answers
        if (request := repr((case.path_parameters, case.query, case.headers, case.cookies, case.body))) not in sent:
            sent.add(request)
            status = case.call_and_validate(checks=CHECKS, timeout=HANG).status_code
            statuses.add(status)
            answers += status == 200

    @hypothesis.settings(max_examples=examples(0.15), suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(case=description[f"/api/{path}"]["GET"].as_strategy())
    def asked(case: schemathesis.Case[Any]) -> None:
        send(case)
        for place in (case.query, case.path_parameters):
            if place and "symbol" in place and not (path == "signals" and answers == REPLAYS):
                place["symbol"] = "AAPL"
                send(case)

    asked()
    assert "failed: unexpected" not in pipeline.said("dashboard")
    assert 200 in statuses or path == "trades", statuses
