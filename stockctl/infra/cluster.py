"""Whether a cluster does for the overlay: its version, its nodes' room, storage class, ports, metrics and clocks."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

from stockctl.clients.kubernetes.client import Kubernetes, amount
from stockctl.errors import StockctlError, UnreachableError
from stockctl.health import CheckResult, SystemHealth
from stockctl.infra.kustomize import Manifest, at, pod_template
from stockctl.infra.readiness import condition
from stockctl.infra.render import Rendered
from stockctl.units import counted, format_size

OLDEST = (1, 27)
"""The oldest version that knows all that the manifests use: time zones of CronJobs."""
NODE_PORTS = range(30000, 32768)
"""Ports that a Service may ask of the nodes, unless the API server was told otherwise."""
METRICS = "metrics.k8s.io/v1beta1"
"""The API of whatever measures the use of nodes and pods."""
_OFF = 2.0
"""Seconds by which clocks may differ: an answer's Date has whole seconds."""
_RENEWED = 60.0
"""Seconds after which a node that has not renewed its lease (every 10 s) is late, or its clock is behind."""


def check(kubernetes: Kubernetes, rendered: Rendered, here: Callable[[], datetime]) -> list[SystemHealth]:
    """What was found of each; ``here`` tells this machine's time. UnreachableError when no cluster answers."""
    version, now = kubernetes.version()
    off = (now - here()).total_seconds()
    probes: dict[str, Callable[[], CheckResult]] = {
        "version": lambda: of_version(version),
        "nodes": lambda: _nodes(kubernetes, rendered),
        "storage class": lambda: _storage(kubernetes),
        "ports": lambda: _ports(kubernetes, rendered),
        "metrics": lambda: _metrics(kubernetes),
        "clock": lambda: _clock(off),
        "clocks of nodes": lambda: _leases(kubernetes, now),
    }
    return [SystemHealth(name, _found(probe)) for name, probe in probes.items()]


def _found(probe: Callable[[], CheckResult]) -> CheckResult:
    try:
        return probe()
    except UnreachableError:
        raise
    except StockctlError as error:
        return CheckResult(str(error), "fail", error.hint)


def of_version(told: str) -> CheckResult:
    """Whether the version that the server tells will do; a build of its sources may tell none."""
    detail = f"{'K3s' if '+k3s' in told else 'Kubernetes'} {told}"
    numbers = re.match(r"v?(\d+)\.(\d+)", told)
    if numbers is None or int(numbers[1]) == 0:
        return CheckResult(f"{detail} is no released version", "warn", f"make sure that it is {OLDEST[0]}.{OLDEST[1]} or newer")
    if (int(numbers[1]), int(numbers[2])) < OLDEST:
        return CheckResult(detail, "fail", f"upgrade it to {OLDEST[0]}.{OLDEST[1]} or newer")
    return CheckResult(detail)


def _nodes(kubernetes: Kubernetes, rendered: Rendered) -> CheckResult:
    nodes = kubernetes.find("v1", "Node")
    ready = [each for each in nodes if condition(each, "Ready")]
    memory = sum(amount(each["status"]["allocatable"]["memory"]) for each in ready)
    cores = sum(amount(each["status"]["allocatable"]["cpu"]) for each in ready)
    wanted_memory, wanted_cores = _needed(rendered, "limits", "memory"), _needed(rendered, "requests", "cpu")
    detail = (
        f"{len(ready)} of {len(nodes)} ready, with {cores:g} CPUs and {format_size(int(memory))}; "
        f"the overlay requests {wanted_cores:g} CPUs and takes {format_size(int(wanted_memory))} at most"
    )
    if not ready:
        return CheckResult(detail, "fail", "`kubectl describe nodes` tells why")
    if cores < wanted_cores:
        return CheckResult(detail, "fail", "a larger machine, or one more")
    if memory < wanted_memory:
        return CheckResult(
            detail, "warn", "a larger machine, or MongoDB elsewhere (infra.mongo_url): this one may run out of memory"
        )
    return CheckResult(detail, "ok" if len(ready) == len(nodes) else "warn", None)


def _needed(rendered: Rendered, kind: str, name: str) -> float:
    """What all pods that run at the same time are given of ``name``."""
    return sum(
        int(each["spec"].get("replicas", 1)) * amount(at(container, f"resources.{kind}.{name}") or 0)
        for each in rendered.manifests
        if each["kind"] in ("StatefulSet", "Deployment")
        for container in (pod_template(each) or {})["spec"]["containers"]
    )


def _storage(kubernetes: Kubernetes) -> CheckResult:
    found = kubernetes.find("storage.k8s.io/v1", "StorageClass")
    names = [each["metadata"]["name"] for each in found]
    default = [
        each["metadata"]["name"]
        for each in found
        if (at(each, "metadata.annotations") or {}).get("storageclass.kubernetes.io/is-default-class") == "true"
    ]
    if default:
        return CheckResult(f"{default[0]} is the default")
    return CheckResult(
        f"none is the default, of {', '.join(names) or 'none at all'}",
        "fail",
        "annotate one with storageclass.kubernetes.io/is-default-class=true: the volumes ask for the default",
    )


def _ports(kubernetes: Kubernetes, rendered: Rendered) -> CheckResult:
    """Whether the ports of the nodes that the overlay asks for are free, or its own already."""
    wanted = {_place(each): _node_ports(each) for each in rendered.manifests if each["kind"] == "Service"}
    numbers = sorted(set().union(*wanted.values()))
    if not numbers:
        return CheckResult("the overlay asks for none of the nodes'")
    holders = {number: _place(each) for each in kubernetes.find("v1", "Service") for number in _node_ports(each)}
    taken = [number for number in numbers if number in holders and number not in wanted.get(holders[number], ())]
    told = ", ".join(
        f"{number} is taken by Service {holders[number]}"
        if number in taken
        else f"{number} is {'its own' if number in holders else 'free'}"
        for number in numbers
    )
    if taken:
        return CheckResult(told, "fail", "delete that Service; or another nodePort, in manifests of your own (infra.manifests)")
    if not set(numbers) <= set(NODE_PORTS):
        return CheckResult(
            f"{told}; the nodes give {NODE_PORTS.start} to {NODE_PORTS.stop - 1} by default",
            "warn",
            "the API server takes others only if its --service-node-port-range says so",
        )
    return CheckResult(told)


def _place(manifest: Manifest) -> str:
    return f"{manifest['metadata']['namespace']}/{manifest['metadata']['name']}"


def _node_ports(service: Manifest) -> set[int]:
    ports = [each.get("nodePort") for each in at(service, "spec.ports") or ()]
    return {port for port in (*ports, at(service, "spec.healthCheckNodePort")) if port}


def _metrics(kubernetes: Kubernetes) -> CheckResult:
    try:
        if kubernetes.serves(METRICS):
            return CheckResult("a metrics-server answers")
    except UnreachableError:
        raise
    except StockctlError as error:
        return CheckResult(f"{error}; only `kubectl top` needs it", "warn", "`kubectl -n kube-system get pods` tells why")
    return CheckResult(
        "no metrics-server; only `kubectl top` needs it",
        "warn",
        "K3s brings one, unless it was started with --disable metrics-server",
    )


def _clock(off: float) -> CheckResult:
    detail = f"the API server's is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} this machine's"
    return CheckResult(detail) if abs(off) <= _OFF else CheckResult(detail, "warn", "keep both by NTP (`timedatectl`)")


def _leases(kubernetes: Kubernetes, now: datetime) -> CheckResult:
    """Each node renews its lease every ten seconds, with the time of its own clock."""
    ages = {
        each["metadata"]["name"]: (now - datetime.fromisoformat(each["spec"]["renewTime"])).total_seconds()
        for each in kubernetes.find("coordination.k8s.io/v1", "Lease", "kube-node-lease")
        if at(each, "spec.renewTime")
    }
    bad = {name: age for name, age in ages.items() if not -_OFF <= age <= _RENEWED}
    if not ages:
        return CheckResult(
            "no node has a lease to tell by", "warn", "`timedatectl` on each node tells whether its clock is kept"
        )
    if bad:
        told = ", ".join(
            f"{name} {f'is {-age:.0f} s ahead' if age < 0 else f'told the time {age:.0f} s ago'}" for name, age in bad.items()
        )
        return CheckResult(told, "fail", "`timedatectl` on that node: its clock is off, or it is away")
    return CheckResult(f"{counted(len(ages), 'node')}, none ahead, each heard of within {_RENEWED:.0f} s")
