"""Health check of Finnhub's REST API: one request, which counts towards the key's limit."""

from __future__ import annotations

import time

from stockctl.check_runner import PROBE_WAIT, Check, CheckResult
from stockctl.clients.finnhub.rest import FinnhubRest
from stockctl.settings import Settings

_PROBE_SYMBOL = "AAPL"


def checks(settings: Settings) -> list[Check]:
    """The check of the REST API and its key; none if the feed is a simulator and the REST address is not."""
    finnhub = settings.finnhub
    return [Check("finnhub rest", lambda: _probe(settings))] if finnhub.is_real == finnhub.rest_is_real else []


def _probe(settings: Settings) -> CheckResult:
    once = settings.finnhub.model_copy(update={"request_tries": 1, "request_timeout": PROBE_WAIT})
    started = time.monotonic()
    with FinnhubRest(settings.model_copy(update={"finnhub": once})) as finnhub:
        finnhub.quote(_PROBE_SYMBOL)
    kind = "Finnhub" if settings.finnhub.rest_is_real else "a simulator"
    return CheckResult(f"{kind} answers at {settings.finnhub.rest_url} and accepts the key", latency=time.monotonic() - started)
