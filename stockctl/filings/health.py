"""How the REST API is probed: one request, which counts in the key's limit."""

from __future__ import annotations

import time

from stockctl.clients.finnhub.rest import FinnhubRest
from stockctl.health import PROBE_WAIT, Check, CheckResult
from stockctl.settings import Settings

_ASKED = "AAPL"


def checks(settings: Settings) -> list[Check]:
    """The check of the REST API and its key; none where the feed is a simulator and this address is not."""
    finnhub = settings.finnhub
    return [Check("finnhub rest", lambda: _probe(settings))] if finnhub.is_real == finnhub.rest_is_real else []


def _probe(settings: Settings) -> CheckResult:
    impatient = settings.finnhub.model_copy(update={"request_tries": 1, "request_timeout": PROBE_WAIT})
    started = time.monotonic()
    with FinnhubRest(settings.model_copy(update={"finnhub": impatient})) as gateway:
        gateway.quote(_ASKED)
    kind = "Finnhub" if settings.finnhub.rest_is_real else "a simulator"
    return CheckResult(f"{kind} answers at {settings.finnhub.rest_url} and takes the key", latency=time.monotonic() - started)
