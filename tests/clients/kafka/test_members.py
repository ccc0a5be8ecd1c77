"""What a member of a consumer group says of its partitions, on the embedded broker."""

from __future__ import annotations

from stockctl.clients.kafka import Admin, Consumer, Partition
from stockctl.local.broker import Rebalances, forget_members
from stockctl.settings import Settings
from tests.conftest import wait_for


def test_a_member_that_the_group_has_no_partition_for_is_well(settings: Settings) -> None:
    """Two read a topic of one partition. What lives gets its share again, also when all were taken out of the group."""
    topic, group = settings.topics.trades.name, settings.lake.group
    Admin(settings).create_topic(topic, 1, 1, {})
    impatient = settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"session_timeout": 1.0})})
    end_rebalance = Rebalances(impatient, group)
    gone: list[Partition] = []
    owned: dict[Consumer, set[Partition]] = {Consumer(settings, group): set(), Consumer(settings, group): set()}

    def read() -> None:
        end_rebalance()
        for member in owned:
            member.consume(1, 0.01)

    def lost() -> bool:
        read()
        return bool(gone)

    def all_assigned() -> bool:
        read()
        return sorted(map(len, owned.values())) == [0, 1] and not any(member.unassigned for member in owned)

    def give_up(own: set[Partition], taken: list[Partition]) -> None:
        own.difference_update(taken)
        gone.extend(taken)

    def assign(own: set[Partition], given: list[Partition]) -> dict[Partition, int]:
        own.update(given)
        return dict.fromkeys(given, 0)

    try:
        for member, own in owned.items():
            assert member.unassigned == "has not joined its group yet"
            member.subscribe(
                [topic],
                on_assign=lambda given, own=own: assign(own, given),  # type: ignore[misc]
                on_revoke=lambda taken, own=own: give_up(own, taken),  # type: ignore[misc]
                on_lost=lambda taken, own=own: give_up(own, taken),  # type: ignore[misc]
            )
        wait_for(all_assigned, "both members to be well")
        gone.clear()
        forget_members(settings, group)
        wait_for(lost, "the loss")
        wait_for(all_assigned, "both members to be well again")
    finally:
        for member in owned:
            member.close()
