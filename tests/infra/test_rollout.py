"""The order of a rollout: each workload after those that it waits for, and all of them in the end."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.infra.kustomize import Manifest, ManifestError
from stockctl.infra.rollout_order import AFTER, Rollout
from stockctl.infra.workload_status import Progress


def workload(name: str, *after: str, kind: str = "Deployment") -> Manifest:
    annotations = {AFTER: " ".join(after)} if after else {}
    return {"kind": kind, "metadata": {"name": name, "annotations": annotations}, "spec": {"replicas": 2}}


def names(manifests: Iterable[Manifest]) -> list[str]:
    return [each["metadata"]["name"] for each in manifests]


def progress(*ready: str) -> list[Progress]:
    return [Progress(name, "Deployment", name, 2, 2, "ready") for name in ready]


@st.composite
def acyclic(draw: st.DrawFn) -> list[Manifest]:
    """Workloads in any order, each of which waits for some of those with a smaller number, or for one that does not exist."""
    count = draw(st.integers(1, 8))
    workloads = [workload(f"w{number}", *draw(st.sets(st.sampled_from(_before(number))))) for number in range(count)]
    return draw(st.permutations(workloads))


def _before(number: int) -> list[str]:
    return ["not-in-this-overlay", *(f"w{each}" for each in range(number))]


@given(acyclic(), st.data())
def test_each_workload_is_applied_once_after_its_dependencies_are_ready(workloads: list[Manifest], data: st.DataObject) -> None:
    rollout = Rollout.of(workloads)
    after = {each["metadata"]["name"]: set(each["metadata"]["annotations"].get(AFTER, "").split()) for each in workloads}
    ready: set[str] = set()
    while not rollout.is_complete(progress(*ready)):
        due = rollout.due(progress(*ready))
        for name in names(due):
            assert after[name] - {"not-in-this-overlay"} <= ready
        rollout = rollout.with_applied(due)
        unready = sorted(set(names(rollout.applied)) - ready)
        assert unready, "the rollout must not stall"
        ready |= data.draw(st.sets(st.sampled_from(unready), min_size=1))
    assert sorted(names(rollout.applied)) == sorted(after)
    assert rollout.pending == ()


def test_objects_without_readiness_are_left_out() -> None:
    rollout = Rollout.of([workload("map", kind="ConfigMap"), workload("lake"), workload("filings", kind="CronJob")])
    assert names(rollout.pending) == ["lake"]


def test_a_dependency_that_is_applied_and_not_ready_blocks() -> None:
    rollout = Rollout.of([workload("kafka"), workload("lake", "kafka")])
    rollout = rollout.with_applied(rollout.due([]))
    waiting = [Progress("kafka", "Deployment", "kafka", 1, 2, "waiting")]
    assert (names(rollout.applied), rollout.due(waiting)) == (["kafka"], [])
    assert rollout.pending_progress() == [Progress("lake", "Deployment", "lake", 0, 2, "waiting", "waits for kafka")]
    assert names(rollout.due(progress("kafka"))) == ["lake"]


def test_a_cycle_is_refused_with_its_workloads() -> None:
    with pytest.raises(ManifestError, match=r"workloads wait for each other: a, b$") as raised:
        Rollout.of([workload("a", "b"), workload("b", "a"), workload("c")])
    assert AFTER in str(raised.value.hint)
