"""What the pods of a role log: their last lines, or each as it comes, whichever pods those are by then."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from threading import Thread
from typing import NamedTuple

from stockctl.clients.kubernetes.client import Kubernetes
from stockctl.errors import RefusedError, StockctlError, UnreachableError, UsageError
from stockctl.infra.apply import owned
from stockctl.infra.kustomize import Manifest, pod_template
from stockctl.infra.readiness import ROLE, containers_of, has_log, role_of

_EVERY = 2.0
"""Seconds between two looks at which pods there are."""
_NOTICED = 10.0
"""Seconds in which the cluster notices that a container ended, whose log did."""


def logs(
    kubernetes: Kubernetes, namespace: str, role: str, *, lines: int, container: str | None = None, previous: bool = False
) -> Iterator[str]:
    """The last ``lines`` of each pod of ``role``, the oldest pod first; with several pods, each line behind its pod's name.

    UsageError for a role that is not there, StockctlError when it has no pod, or a pod has no log.
    """
    _refuse_unknown(kubernetes, namespace, role)
    pods = _pods(kubernetes, namespace, role)
    if not pods:
        raise StockctlError(f"{role} has no pod", hint="`stockctl infra status` tells why")
    for pod in pods:
        for line in kubernetes.log(pod, container or _first(pod), lines=lines, previous=previous):
            yield f"{pod['metadata']['name']} {line}" if len(pods) > 1 else line


def follow(
    kubernetes: Kubernetes,
    namespace: str,
    role: str,
    say: Callable[[str], None],
    *,
    lines: int,
    container: str | None = None,
) -> Iterator[str]:
    """Each line of every pod of ``role`` as it comes, for ever: the last ``lines`` first, and all of a run that begins later.

    As soon as there is a second pod, each line stands behind its pod's name. ``say`` is told of logs that end and begin.
    UsageError for a role or a container that is not there, UnreachableError when a connection is lost.
    """
    _refuse_unknown(kubernetes, namespace, role)
    following = _Following(kubernetes, say, container)
    following.look(_pods(kubernetes, namespace, role), lines)
    if not following.taken:
        say(f"{role} has no pod that logs yet: waiting for one")
    while True:
        yield from following.heard(_EVERY)
        following.look(_pods(kubernetes, namespace, role), None)


class _Run(NamedTuple):
    """One run of a container: what it is after a restart is another."""

    pod: str
    uid: str
    restarts: int


class _Following:
    """The logs of many pods, each read by a thread, in the order in which their lines arrive."""

    def __init__(self, kubernetes: Kubernetes, say: Callable[[str], None], container: str | None) -> None:
        self._kubernetes, self._say, self._container = kubernetes, say, container
        self._queue: SimpleQueue[tuple[_Run, str | StockctlError | None]] = SimpleQueue()
        self.taken: set[_Run] = set()
        self._ended: dict[_Run, float] = {}

    def look(self, pods: list[Manifest], lines: int | None) -> None:
        """Begin with the runs in ``pods`` that are new, each at its last ``lines``, or at its start. UnreachableError when
        the log of one ended that runs on.
        """
        for pod in pods:
            if (found := self._run(pod)) is None:
                continue
            run, runs_on = found
            if run not in self.taken:
                self._begin(run, pod, lines)
            elif runs_on and time.monotonic() - self._ended.get(run, math.inf) > _NOTICED:
                raise UnreachableError(
                    f"the log of {run.pod} broke off, though its container runs on",
                    hint="the same again: its node may have been away",
                )
        there = {pod["metadata"]["uid"] for pod in pods}
        for run in self.taken - set(self._ended):
            if run.uid not in there:
                self._end(run, "is gone")

    def heard(self, seconds: float) -> Iterator[str]:
        """The lines that arrive within ``seconds``."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            try:
                run, told = self._queue.get(timeout=left)
            except Empty:
                return
            if isinstance(told, str):
                yield f"{run.pod} {told}" if len({each.uid for each in self.taken}) > 1 else told
            elif run not in self._ended:
                if isinstance(told, (RefusedError, UnreachableError)):
                    raise told
                self._end(run, str(told or "its log ended"))

    def _run(self, pod: Manifest) -> tuple[_Run, bool] | None:
        """The run of the container that there is a log of, if there is one yet, and whether it goes on."""
        metadata, name = pod["metadata"], self._container or _first(pod)
        names = [each["name"] for kind in ("initContainers", "containers") for each in pod["spec"].get(kind, ())]
        if name not in names:
            raise UsageError(f"{metadata['name']} has no container {name}", hint=f"one of {', '.join(names)}")
        for each in containers_of(pod):
            if each["name"] == name and has_log(each):
                run = _Run(metadata["name"], metadata["uid"], int(each["restartCount"]))
                return run, "running" in each["state"]
        return None

    def _begin(self, run: _Run, pod: Manifest, lines: int | None) -> None:
        if lines is None:
            self._say(f"{run.pod}: its log begins" + (f" (restart {run.restarts})" if run.restarts else ""))
        self.taken.add(run)
        Thread(target=self._read, args=(run, pod, lines), daemon=True).start()

    def _read(self, run: _Run, pod: Manifest, lines: int | None) -> None:
        try:
            for line in self._kubernetes.follow(pod, self._container or _first(pod), lines=lines):
                self._queue.put((run, line))
        except StockctlError as error:
            self._queue.put((run, error))
        else:
            self._queue.put((run, None))

    def _end(self, run: _Run, words: str) -> None:
        self._ended[run] = time.monotonic()
        self._say(f"{run.pod}: {words}")


def _refuse_unknown(kubernetes: Kubernetes, namespace: str, role: str) -> None:
    roles = sorted({role_of(each) for each in owned(kubernetes, namespace) if pod_template(each) is not None})
    if role not in roles:
        there = ", ".join(roles) or "none: `stockctl infra up` first"
        raise UsageError(f"there is no role {role} in {namespace}", hint=f"one of {there}")


def _pods(kubernetes: Kubernetes, namespace: str, role: str) -> list[Manifest]:
    """The pods of ``role``, the oldest first."""
    found = kubernetes.find("v1", "Pod", namespace, labels=f"{ROLE}={role}")
    return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))


def _first(pod: Manifest) -> str:
    return str(pod["spec"]["containers"][0]["name"])
