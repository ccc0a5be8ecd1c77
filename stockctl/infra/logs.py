"""``infra logs``: the last lines of a workload's pods, or each new line, also of pods that start later."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from threading import Thread
from typing import NamedTuple

from stockctl.clients.kubernetes.client import Kubernetes
from stockctl.errors import RefusedError, StockctlError, UnreachableError, UsageError
from stockctl.infra.apply import managed
from stockctl.infra.kustomize import Manifest, pod_template
from stockctl.infra.workload_status import NAME_LABEL, container_statuses, has_log, workload_name

_POLL_SECONDS = 2.0
"""Seconds between two queries for the pods."""
_EXIT_SECONDS = 10.0
"""How long after the end of a log the cluster may still report its container as running."""


def logs(
    kubernetes: Kubernetes, namespace: str, workload: str, *, lines: int, container: str | None = None, previous: bool = False
) -> Iterator[str]:
    """The last ``lines`` of each pod of ``workload``, the oldest pod first; with several pods, each line after its pod's name.

    UsageError for an unknown workload or container, StockctlError when it has no pod, or a pod has no log.
    """
    _refuse_unknown(kubernetes, namespace, workload)
    pods = _pods(kubernetes, namespace, workload)
    if not pods:
        raise StockctlError(f"{workload} has no pod", hint="`stockctl infra status` shows why")
    for pod in pods:
        for line in kubernetes.log(pod, _container(pod, container), lines=lines, previous=previous):
            yield f"{pod['metadata']['name']} {line}" if len(pods) > 1 else line


def follow(
    kubernetes: Kubernetes,
    namespace: str,
    workload: str,
    notify: Callable[[str], None],
    *,
    lines: int,
    container: str | None = None,
) -> Iterator[str]:
    """Each new line of every pod of ``workload``, without end: first the last ``lines``, and all lines of containers that
    start later.

    As soon as there is a second pod, each line follows its pod's name. ``notify`` is called when a log starts or ends.
    UsageError for an unknown workload or container, UnreachableError when a connection is lost.
    """
    _refuse_unknown(kubernetes, namespace, workload)
    follower = _Follower(kubernetes, notify, container)
    follower.update(_pods(kubernetes, namespace, workload), lines)
    if not follower.followed:
        notify(f"waiting: {workload} has no pod with a log yet")
    while True:
        yield from follower.lines(_POLL_SECONDS)
        follower.update(_pods(kubernetes, namespace, workload), None)


class _Run(NamedTuple):
    """One run of a container; a restart begins another."""

    pod: str
    uid: str
    restarts: int


class _Follower:
    """The logs of many pods, each read by a thread, in the order in which their lines arrive."""

    def __init__(self, kubernetes: Kubernetes, notify: Callable[[str], None], container: str | None) -> None:
        self._kubernetes, self._notify, self._container = kubernetes, notify, container
        self._queue: SimpleQueue[tuple[_Run, str | StockctlError | None]] = SimpleQueue()
        self.followed: set[_Run] = set()
        self._ended: dict[_Run, float] = {}

    def update(self, pods: list[Manifest], lines: int | None) -> None:
        """Follow the new runs in ``pods``, each from its last ``lines``, or from its start. UnreachableError when a log ended
        though its container still runs.
        """
        for pod in pods:
            if (current := self._run(pod)) is None:
                continue
            run, is_running = current
            if run not in self.followed:
                self._start(run, pod, lines)
            elif is_running and time.monotonic() - self._ended.get(run, math.inf) > _EXIT_SECONDS:
                raise UnreachableError(
                    f"the log of {run.pod} broke off, though its container still runs",
                    hint="try again: its node may have been unreachable",
                )
        uids = {pod["metadata"]["uid"] for pod in pods}
        for run in self.followed - set(self._ended):
            if run.uid not in uids:
                self._end(run, "is gone")

    def lines(self, seconds: float) -> Iterator[str]:
        """The lines that arrive within ``seconds``."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            try:
                run, item = self._queue.get(timeout=left)
            except Empty:
                return
            if isinstance(item, str):
                yield f"{run.pod} {item}" if len({each.uid for each in self.followed}) > 1 else item
            elif run not in self._ended:
                if isinstance(item, (RefusedError, UnreachableError)):
                    raise item
                self._end(run, str(item or "its log ended"))

    def _run(self, pod: Manifest) -> tuple[_Run, bool] | None:
        """The current run of the container, if it has a log, and whether it is still running."""
        metadata, name = pod["metadata"], _container(pod, self._container)
        for each in container_statuses(pod):
            if each["name"] == name and has_log(each):
                run = _Run(metadata["name"], metadata["uid"], int(each["restartCount"]))
                return run, "running" in each["state"]
        return None

    def _start(self, run: _Run, pod: Manifest, lines: int | None) -> None:
        if lines is None:
            self._notify(f"{run.pod}: its log starts" + (f" (restart {run.restarts})" if run.restarts else ""))
        self.followed.add(run)
        Thread(target=self._read, args=(run, pod, lines), daemon=True).start()

    def _read(self, run: _Run, pod: Manifest, lines: int | None) -> None:
        try:
            for line in self._kubernetes.follow(pod, _container(pod, self._container), lines=lines):
                self._queue.put((run, line))
        except StockctlError as error:
            self._queue.put((run, error))
        else:
            self._queue.put((run, None))

    def _end(self, run: _Run, reason: str) -> None:
        self._ended[run] = time.monotonic()
        self._notify(f"{run.pod}: {reason}")


def _refuse_unknown(kubernetes: Kubernetes, namespace: str, workload: str) -> None:
    names = sorted({workload_name(each) for each in managed(kubernetes, namespace) if pod_template(each) is not None})
    if workload not in names:
        hint = f"one of {', '.join(names)}" if names else "run `stockctl infra up` first"
        raise UsageError(f"there is no workload {workload} in {namespace}", hint=hint)


def _pods(kubernetes: Kubernetes, namespace: str, workload: str) -> list[Manifest]:
    """The pods of ``workload``, the oldest first."""
    pods = kubernetes.find("v1", "Pod", namespace, labels=f"{NAME_LABEL}={workload}")
    return sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))


def _container(pod: Manifest, name: str | None) -> str:
    """The container ``name`` of the pod, or its first one. UsageError for an unknown one."""
    names = [each["name"] for kind in ("containers", "initContainers") for each in pod["spec"].get(kind, ())]
    if name is not None and name not in names:
        raise UsageError(f"{pod['metadata']['name']} has no container {name}", hint=f"one of {', '.join(names)}")
    return name or str(names[0])
