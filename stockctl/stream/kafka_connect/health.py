"""Health checks of Kafka Connect and the connector, if ``connect.url`` is set."""

from __future__ import annotations

from stockctl.check_runner import PROBE_WAIT, Check, CheckResult
from stockctl.clients.kafka import Admin
from stockctl.clients.kafka_connect import AbsentConnectorError, Connect
from stockctl.settings import Settings
from stockctl.stream.kafka_connect.connector import APPLY, check_worker, fix_for, status, unhealthy


def checks(settings: Settings) -> list[Check]:
    """A worker answers, uses our Kafka cluster, and has the classes that the connector needs."""

    def probe() -> CheckResult:
        with Connect(settings, timeout=PROBE_WAIT) as connect:
            connect.wait(0)
            latency = connect.wait(0)
            about = connect.about()
            check_worker(connect, Admin(settings))
            return CheckResult(f"Kafka Connect {about.get('version', '')} at {connect.url}", latency=latency)

    return [Check("connect", probe)] if settings.connect.url is not None else []


def overview(settings: Settings) -> list[Check]:
    """The states of the connector and its tasks, and its lag."""

    def probe() -> CheckResult:
        admin = Admin(settings)
        admin.wait(PROBE_WAIT)
        with Connect(settings, timeout=PROBE_WAIT) as connect:
            try:
                parts = status(connect, admin, settings)
            except AbsentConnectorError:
                return CheckResult("absent", "warn", APPLY)
        states = ", ".join(f"{part.part} {part.state}" for part in parts[:-1])
        causes = "; ".join(part.detail for part in parts[:-1] if part.detail)
        detail = "; ".join(filter(None, (states, causes, parts[-1].detail)))
        if unhealthy(parts):
            return CheckResult(detail, "fail", fix_for(parts))
        return CheckResult(detail)

    return [Check(f"connector {settings.connect.connector}", probe)] if settings.connect.url is not None else []
