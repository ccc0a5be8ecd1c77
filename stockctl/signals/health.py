"""Health of the runs of strategies: how far each is behind the topic of trades."""

from __future__ import annotations

from functools import partial

from stockctl.check_runner import PROBE_WAIT, Check, CheckResult
from stockctl.clients.kafka import Admin, Partition
from stockctl.service import wait_for
from stockctl.settings import Settings, SignalsSettings
from stockctl.settings.kafka_names import signals_group
from stockctl.stream.lag import Lag, lag_summary, read_lag

_COMMIT_WITHIN = 3.0
"""Seconds beyond ``signals.commit_every`` in which a run that is behind must commit to count as running."""


def checks(settings: Settings) -> list[Check]:
    """One check of all strategies that have run."""
    return [Check("signals", partial(_runs, settings))]


overview = checks


def _runs(settings: Settings) -> CheckResult:
    admin = Admin(settings)
    admin.wait(PROBE_WAIT)
    prefix = signals_group(settings.signals, "")
    groups = [group for group in admin.groups() if group.startswith(prefix)]
    if not groups:
        return CheckResult("no strategy has run")
    rows = read_lag(admin, settings, groups)
    stopped = _stopped(settings.signals, admin, rows)
    details = []
    for group in groups:
        words = lag_summary([row for row in rows if row.group == group])
        details.append(f"{group.removeprefix(prefix)}: {words}{'; it commits nothing' if group in stopped else ''}")
    fix = None
    if stopped:
        fix = f"`stockctl signals run {stopped[0].removeprefix(prefix)}` continues after the last commit; or see its log"
    return CheckResult("; ".join(details), "warn" if stopped else "ok", fix)


def _stopped(settings: SignalsSettings, admin: Admin, rows: list[Lag]) -> list[str]:
    """The groups that are behind and commit nothing."""
    behind: dict[str, dict[Partition, int]] = {}
    for row in rows:
        if row.lag:
            behind.setdefault(row.group, {})[Partition(row.topic, row.partition)] = row.committed or 0

    def all_commit() -> bool:
        for group, offsets in list(behind.items()):
            now = admin.committed(group, list(offsets))
            if any(now[partition].offset > offset for partition, offset in offsets.items()):
                del behind[group]
        return not behind

    wait_for(all_commit, within=settings.commit_every + _COMMIT_WITHIN, every=0.5)
    return sorted(behind)
