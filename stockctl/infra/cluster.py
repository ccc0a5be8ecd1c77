"""``infra check``: whether a cluster meets the requirements of the overlay."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

from stockctl.check_runner import CheckResult, SystemHealth
from stockctl.clients.kubernetes.client import Kubernetes, amount
from stockctl.errors import StockctlError, UnreachableError
from stockctl.infra.kustomize import Manifest, at, pod_template
from stockctl.infra.render import Rendered
from stockctl.infra.workload_status import condition
from stockctl.units import counted, format_size

OLDEST = (1, 27)
"""The oldest version with every feature that the manifests use: time zones of CronJobs."""
NODE_PORTS = range(30000, 32768)
"""The default range of the API server for node ports."""
METRICS = "metrics.k8s.io/v1beta1"
"""The API of metrics-server."""
_MAX_CLOCK_OFFSET = 2.0
"""Seconds by which clocks may differ: the header Date has whole seconds."""
_MAX_LEASE_AGE = 60.0
"""Seconds since a node renewed its lease, which it does every 10 s; an older one is late, or the node's clock is behind."""


def check(kubernetes: Kubernetes, rendered: Rendered, local_now: Callable[[], datetime]) -> list[SystemHealth]:
    """The result of each check; ``local_now`` is this machine's clock. UnreachableError when no cluster answers."""
    version, now = kubernetes.version()
    offset = (now - local_now()).total_seconds()
    probes: dict[str, Callable[[], CheckResult]] = {
        "version": lambda: check_version(version),
        "nodes": lambda: _nodes(kubernetes, rendered),
        "storage class": lambda: _storage(kubernetes),
        "ports": lambda: _ports(kubernetes, rendered),
        "metrics": lambda: _metrics(kubernetes),
        "clock": lambda: _clock(offset),
        "clocks of nodes": lambda: _leases(kubernetes, now),
    }
    return [SystemHealth(name, _result(probe)) for name, probe in probes.items()]


def _result(probe: Callable[[], CheckResult]) -> CheckResult:
    try:
        return probe()
    except UnreachableError:
        raise
    except StockctlError as error:
        return CheckResult(str(error), "fail", error.hint)


def check_version(version: str) -> CheckResult:
    """Whether the server's ``version`` is new enough; a build from source may report none."""
    detail = f"{'K3s' if '+k3s' in version else 'Kubernetes'} {version}"
    numbers = re.match(r"v?(\d+)\.(\d+)", version)
    if numbers is None or int(numbers[1]) == 0:
        return CheckResult(f"{detail} is not a release", "warn", f"make sure that it is {OLDEST[0]}.{OLDEST[1]} or newer")
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
        f"the overlay requests {wanted_cores:g} CPUs, and its memory limits are {format_size(int(wanted_memory))}"
    )
    if not ready:
        return CheckResult(detail, "fail", "`kubectl describe nodes` shows why")
    if cores < wanted_cores:
        return CheckResult(detail, "fail", "use a larger machine, or add one")
    if memory < wanted_memory:
        return CheckResult(
            detail, "warn", "use a larger machine, or MongoDB elsewhere (infra.mongo_url): this one may run out of memory"
        )
    return CheckResult(detail, "ok" if len(ready) == len(nodes) else "warn", None)


def _needed(rendered: Rendered, kind: str, name: str) -> float:
    """The sum of the resource ``name`` over all pods that run at the same time; ``kind`` is requests or limits."""
    return sum(
        int(each["spec"].get("replicas", 1)) * amount(at(container, f"resources.{kind}.{name}") or 0)
        for each in rendered.manifests
        if each["kind"] in ("StatefulSet", "Deployment")
        for container in (pod_template(each) or {})["spec"]["containers"]
    )


def _storage(kubernetes: Kubernetes) -> CheckResult:
    classes = kubernetes.find("storage.k8s.io/v1", "StorageClass")
    names = [each["metadata"]["name"] for each in classes]
    default = [
        each["metadata"]["name"]
        for each in classes
        if (at(each, "metadata.annotations") or {}).get("storageclass.kubernetes.io/is-default-class") == "true"
    ]
    if default:
        return CheckResult(f"{default[0]} is the default")
    return CheckResult(
        f"no default among {', '.join(names)}" if names else "the cluster has none",
        "fail",
        "annotate one with storageclass.kubernetes.io/is-default-class=true: the volumes use the default",
    )


def _ports(kubernetes: Kubernetes, rendered: Rendered) -> CheckResult:
    """Whether the node ports of the overlay are free, or used by the overlay itself."""
    wanted = {_full_name(each): _node_ports(each) for each in rendered.manifests if each["kind"] == "Service"}
    numbers = sorted(set().union(*wanted.values()))
    if not numbers:
        return CheckResult("the overlay uses no node ports")
    services = {number: _full_name(each) for each in kubernetes.find("v1", "Service") for number in _node_ports(each)}
    taken = [number for number in numbers if number in services and number not in wanted.get(services[number], ())]
    detail = ", ".join(
        f"{number} is taken by Service {services[number]}"
        if number in taken
        else f"{number} is {'used by the overlay' if number in services else 'free'}"
        for number in numbers
    )
    if taken:
        return CheckResult(
            detail, "fail", "delete that Service; or use another nodePort, in your own manifests (infra.manifests)"
        )
    if not set(numbers) <= set(NODE_PORTS):
        return CheckResult(
            f"{detail}; the default range is {NODE_PORTS.start} to {NODE_PORTS.stop - 1}",
            "warn",
            "extend the API server's --service-node-port-range, or use another nodePort",
        )
    return CheckResult(detail)


def _full_name(manifest: Manifest) -> str:
    return f"{manifest['metadata']['namespace']}/{manifest['metadata']['name']}"


def _node_ports(service: Manifest) -> set[int]:
    ports = [each.get("nodePort") for each in at(service, "spec.ports") or ()]
    return {port for port in (*ports, at(service, "spec.healthCheckNodePort")) if port}


def _metrics(kubernetes: Kubernetes) -> CheckResult:
    try:
        if kubernetes.serves(METRICS):
            return CheckResult("metrics-server answers")
    except UnreachableError:
        raise
    except StockctlError as error:
        return CheckResult(f"{error}; only `kubectl top` needs it", "warn", "`kubectl -n kube-system get pods` shows why")
    return CheckResult(
        "no metrics-server; only `kubectl top` needs it",
        "warn",
        "K3s includes it, unless started with --disable metrics-server",
    )


def _clock(offset: float) -> CheckResult:
    detail = f"the API server's clock is {abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} this machine's"
    return (
        CheckResult(detail)
        if abs(offset) <= _MAX_CLOCK_OFFSET
        else CheckResult(detail, "warn", "synchronize both by NTP (`timedatectl`)")
    )


def _leases(kubernetes: Kubernetes, now: datetime) -> CheckResult:
    """The nodes' clocks, from their leases: each node renews its own every ten seconds, with the time of its clock."""
    ages = {
        each["metadata"]["name"]: (now - datetime.fromisoformat(each["spec"]["renewTime"])).total_seconds()
        for each in kubernetes.find("coordination.k8s.io/v1", "Lease", "kube-node-lease")
        if at(each, "spec.renewTime")
    }
    wrong = {name: age for name, age in ages.items() if not -_MAX_CLOCK_OFFSET <= age <= _MAX_LEASE_AGE}
    if not ages:
        return CheckResult(
            "no node has a lease to compare with", "warn", "`timedatectl` on each node shows whether its clock is synchronized"
        )
    if wrong:
        detail = ", ".join(
            f"{name} {f'is {-age:.0f} s ahead' if age < 0 else f'renewed its lease {age:.0f} s ago'}"
            for name, age in wrong.items()
        )
        return CheckResult(detail, "fail", "check the node, and its clock by `timedatectl`")
    return CheckResult(f"{counted(len(ages), 'node')}, each in time to within {_MAX_LEASE_AGE:.0f} s")
