"""Prometheus metrics of the dashboard, served at its health port."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

CLIENTS = Gauge("stockctl_dashboard_clients", "Browsers that receive live updates")
VIEWS = Gauge("stockctl_dashboard_views", "Distinct views that are kept up to date")
FRAMES = Counter("stockctl_dashboard_frames_total", "Updates sent to browsers, by event", ["event"])
"""One for each client that an update is sent to; ``event`` is that of the stream: view, overview, health, stale, fresh."""
RESYNCS = Counter("stockctl_dashboard_resyncs_total", "Browsers that were asked to load their view again")
BEHIND = Gauge("stockctl_dashboard_behind_seconds", "Time from the receipt of the newest trade until it came from the store")
"""NaN while the store's changes are not read, and before the first trade."""
BEHIND.set(float("nan"))
SNAPSHOT_SECONDS = Histogram(
    "stockctl_dashboard_snapshot_seconds",
    "Time to compute a view from the start",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
