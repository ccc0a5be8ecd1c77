"""One lake under fire: a numbered stream into Kafka, writers as processes, and the count at the end."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stockctl.clients.kafka import Admin, Committed, Consumer, Partition, Producer
from stockctl.clients.object_store import Store, open_store
from stockctl.lake.format.claims import Claim, newest_claim, newest_start, read_claim
from stockctl.lake.format.keys import parse_claim
from stockctl.lake.writer.batch import decompress
from stockctl.records import Trade, encode
from stockctl.settings import Settings, env_name, load_settings
from tests.command import HANG, Command, Process, clean_environment
from tests.conftest import own_names, wait_for

SESSION = 3.0
"""Seconds after which Kafka takes the partitions of a silent writer away."""
SYMBOLS = ["AAPL", "MSFT", "NVDA", "AMZN", "BINANCE:BTCUSDT", "../x"]


class FaultCount:
    """What a test has done, for the suite's closing line."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.records = 0
        self.lost = 0


class Writer:
    """A process of ``stockctl consume s3`` and what it has said."""

    def __init__(self, process: Process, log: Path) -> None:
        self.process, self._log = process, log

    def said(self, words: str) -> bool:
        """Whether its log holds ``words``."""
        return words in self.text

    @property
    def text(self) -> str:
        """Its log."""
        return self._log.read_text()

    def says(self, words: str) -> None:
        """Wait until its log holds ``words``."""
        wait_for(lambda: self.said(words) or self.process.poll() is not None, f"{self._log.name} to say “{words}”")
        assert self.said(words), f"{self._log.name} ended with {self.process.poll()} and never said “{words}”\n{self.text}"

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """SIGSTOP."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM; its exit code. It leaves after some seconds (``LEAVE_WITHIN``), whatever else is wrong."""
        self.process.terminate()
        try:
            return self.process.wait(HANG)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self._log.name} does not leave\n{self.text[-3000:]}") from None


class Rig:
    """One test's topics, group and lake; ``inject`` counts a fault, ``check`` proves the count of records."""

    def __init__(
        self,
        servers: str,
        folder: Path,
        count: FaultCount,
        *,
        partitions: int = 2,
        store: dict[str, str] | None = None,
        **names: str,
    ) -> None:
        dotted = own_names(servers, folder) | {
            "topics.trades.partitions": str(partitions),
            "kafka.session_timeout": f"{SESSION:.0f}s",
            "lake.max_age": "1s",
            "lake.max_records": "100",
            "log.every": "5s",
        }
        self.command = Command(folder, **{env_name(name): value for name, value in (dotted | (store or {}) | names).items()})
        self.settings: Settings = load_settings(environ=clean_environment(), flags=dotted | (store or {}))
        self.store: Store = open_store(self.settings)
        self.admin = Admin(self.settings)
        self.count = count
        self.topic = self.settings.topics.trades.name
        self.sent: list[str] = []
        """Ids of the records that the lake must hold."""
        self._writers: list[Writer] = []

    # The stream

    def make_topics(self) -> None:
        """Make the topics."""
        for topic in (
            self.settings.topics.trades,
            self.settings.topics.feed_events,
            self.settings.topics.signals,
            self.settings.topics.dead_letters,
        ):
            self.admin.create_topic(topic.name, topic.partitions, 1, {})

    def recreate_trades(self) -> None:
        """Delete the topic of trades with its records, and make it again."""
        self.admin.delete_topic(self.topic)
        wait_for(lambda: self.admin.topic(self.topic) is None, "the topic to be gone")
        self.admin.create_topic(self.topic, self.settings.topics.trades.partitions, 1, {})

    def value(self, row: int) -> tuple[str, bytes, str, int]:
        """Id, value, key and partition of the row of that number."""
        symbol, now = SYMBOLS[row % len(SYMBOLS)], int(time.time() * 1000)
        trade = Trade(f"{symbol}-{now}-fault1-{row:08d}", symbol, 100.0 + row, 1.0, now, now, "1", "vhl", "sim")
        return trade.id, encode(trade), symbol, row % self.settings.topics.trades.partitions

    def produce(self, count: int) -> list[str]:
        """Send the next ``count`` numbered trades; their ids."""
        producer = Producer(self.settings)
        ids = []
        for row in range(len(self.sent), len(self.sent) + count):
            name, value, key, partition = self.value(row)
            ids.append(name)
            producer.produce(self.topic, value, key, partition, None)
        assert producer.flush(60) == 0
        self.sent += ids
        return ids

    # Writers

    def writer(self, *arguments: str, **more: str) -> Writer:
        """Start a writer; ``more`` are settings with ``__`` for their dots.

        With an interpreter of its own: what one has claimed another repeats, and neither may depend on its hash seed.
        """
        log = self.command.folder / f"writer-{len(self._writers)}.log"
        before = dict(self.command.environment)
        self.command.environment |= {env_name(name.replace("__", ".")): value for name, value in more.items()}
        writer = Writer(self.command.start("consume", "s3", *arguments, log=log, real=True), log)
        self.command.environment = before
        self._writers.append(writer)
        return writer

    def inject(self, what: str) -> None:
        """Count a fault."""
        self.count.faults.append(what)

    def kill(self, writer: Writer, when: str) -> None:
        """SIGKILL a writer, and count it."""
        self.inject(f"writer killed {when}")
        writer.kill()

    def close(self) -> None:
        """End every writer that still runs."""
        for writer in self._writers:
            if writer.process.poll() is None:
                writer.kill()

    # The lake

    def claims(self) -> list[Claim]:
        """All claims of trades."""
        keys = [item.key for item in self.store.objects("_log/trades") if parse_claim(item.key)]
        return [read_claim(self.store, key) for key in keys]

    def newest(self, number: int) -> Claim:
        """The newest claim of a partition."""
        start = newest_start(self.store, "trades", number)
        assert start is not None
        claim = newest_claim(self.store, start)
        assert claim is not None
        return claim

    def objects(self) -> list[str]:
        """Keys of the objects of trades."""
        return [item.key for item in self.store.objects("trades")]

    def held(self) -> Counter[str]:
        """How often each id stands in the lake's objects of trades, claimed or not."""
        found: Counter[str] = Counter()

        def ids(key: str) -> list[str]:
            return [json.loads(line)["id"] for line in decompress(self.store.get(key), key).splitlines()]

        with ThreadPoolExecutor(8) as pool:
            for names in pool.map(ids, self.objects()):
                found.update(names)
        return found

    def committed(self, number: int) -> Committed:
        """The group's committed offset."""
        partition = Partition(self.topic, number)
        return self.admin.committed(self.settings.lake.group, [partition])[partition]

    def commit(self, number: int, offset: int, metadata: str = "") -> None:
        """Set the group's committed offset by hand."""
        consumer = Consumer(self.settings, self.settings.lake.group)
        consumer.commit(Partition(self.topic, number), offset, metadata)
        consumer.close()

    def until_held(self) -> None:
        """Wait until the claims count as many rows as were sent."""
        wait_for(lambda: sum(claim.rows for claim in self.claims()) >= len(self.sent), "the claims of all records", HANG)

    def finish(self, *arguments: str) -> str:
        """Bring what is left into the lake; what the command says."""
        return self.command.run("consume", "s3", "--once", *arguments).stderr

    def check(self, *, lost: Iterable[str] = (), verify: int = 0) -> str:
        """Each record exactly once, but for those accepted as ``lost``; ``lake verify --deep`` exits so. What it found."""
        held, gone = self.held(), set(lost)
        wrong = {
            "duplicate": [name for name, times in held.items() if times > 1],
            "missing": sorted(set(self.sent) - held.keys() - gone),
            "strange": sorted(held.keys() - set(self.sent)),
            "lost and there": sorted(held.keys() & gone),
        }
        found = {kind: (len(names), names[:3]) for kind, names in wrong.items() if names}
        # By these words the gate knows a failure that no second try may cover.
        assert not found, f"the lake is wrong: {found}\n" + "\n".join(writer.text[-4000:] for writer in self._writers)
        verified = self.command.run("lake", "verify", "--deep", check=None)
        assert verified.returncode == verify, (
            f"lake verify failed: exit {verified.returncode}\n{verified.stdout}\n{verified.stderr}"
        )
        self.count.records += len(self.sent)
        self.count.lost += len(gone)
        return verified.stdout
