"""Records that are left in Kafka when a writer has stopped are written, or counted."""

from __future__ import annotations

import sys
from pathlib import Path

from stockctl.clients.kafka import Admin, Producer
from stockctl.exchange.calendar import now_ms
from stockctl.local.files import StackFiles
from stockctl.local.services import Plan, port_names, services_of
from stockctl.settings import Settings
from stockctl.stream import topics
from tests.command import HANG, clean_environment


def test_undrained_records_are_counted_for_each_store(settings: Settings, tmp_path: Path) -> None:
    """The command that would write them fails, with a hint."""
    topics.apply(Admin(settings), settings.topics)
    producer = Producer(settings)
    for _ in range(3):
        producer.produce(settings.topics.trades.name, value=b"x", key=b"", timestamp=now_ms())
    assert producer.flush(HANG) == 0
    files = StackFiles(tmp_path / "stack")
    files.create()
    command = (sys.executable, "-c", "import sys; sys.exit('no luck with ' + ' '.join(sys.argv[1:]) + '\\n  try: luck')")
    plan = Plan("sim", command, settings, clean_environment(), {})
    services = {each.name: each for each in services_of(plan, files, dict.fromkeys(port_names("sim"), 1))}
    for name, place, store in (("consume-s3", "the lake", "s3"), ("consume-mongo", "MongoDB", "mongo")):
        note = services[name].finish()
        assert note is not None
        assert note.startswith(f"3 records in Kafka are not in {place} yet: no luck with consume {store} --once; luck; ")
        assert "`stockctl local up` writes them" in note
