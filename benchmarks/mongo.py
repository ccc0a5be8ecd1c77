"""``consume mongo`` against a bare loop of pymongo's ``bulk_write`` of the same documents, in one run.

    python benchmarks/mongo.py --records 20000 [--bootstrap localhost:9092] [--mongo mongodb://localhost:27017] [--connect URL]

Without addresses it starts the embedded broker and the MongoDB stand-in: then the figures are the stand-in's, and only their
ratio means something. Fills a topic with trades of 50 symbols over an hour. In turn, and as often as ``--rounds`` says, writes
them with the loop, from documents that are ready in memory, and with ``stockctl consume mongo --once`` as a process: from its
assignment to its end, with bars and companies brought up to date. Each goes into a database of its own, with the same indexes.
``--connect`` is the address of a Kafka Connect worker of that Kafka, with the MongoDB connector: it then writes the same topic
too, without bars and companies, timed from its first document to its last.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from pymongo import MongoClient, ReplaceOne

from stockctl.clients.kafka import Admin, Producer
from stockctl.clients.mongo import Mongo
from stockctl.mongo import schema
from stockctl.mongo.documents import BadRecord, trade_documents
from stockctl.records import Trade, encode
from stockctl.settings import Settings, env_name, load_settings

BULK = 2_000


def trades(count: int) -> list[Trade]:
    """Trades of 50 symbols over an hour, some of them busy."""
    chance = random.Random(1)
    now = int(time.time() * 1000)
    rows = []
    for row in range(count):
        symbol = f"SYM{min(int(chance.expovariate(0.1)), 49)}"
        ts = now - 3_600_000 + row * 3_600_000 // count
        price, volume = 100 + chance.randrange(1000) / 100, float(chance.randrange(1, 300))
        rows.append(Trade(f"{symbol}-{ts}-bench1-{row:08d}", symbol, price, volume, ts, now, "1,12", "v", "sim"))
    return rows


def fill(settings: Settings, rows: list[Trade]) -> None:
    """Produce them."""
    admin = Admin(settings)
    admin.wait(30)
    for topic in (settings.topics.trades, settings.topics.feed_events, settings.topics.signals, settings.topics.dead_letters):
        admin.create_topic(topic.name, topic.partitions, 1, {})
    producer = Producer(settings)
    for trade in rows:
        while True:
            try:
                producer.produce(settings.topics.trades.name, value=encode(trade), key=trade.symbol.encode())
                break
            except BufferError:
                producer.poll(0.05)
    assert producer.flush(60) == 0


def bare(settings: Settings, rows: list[Trade]) -> float:
    """Documents a second of the bare loop."""
    with Mongo(settings) as mongo:
        schema.apply(mongo, settings.mongo)
    documents = [document for document in trade_documents(list(map(encode, rows))) if not isinstance(document, BadRecord)]
    client: MongoClient[dict[str, object]] = MongoClient(str(settings.mongo.url))
    collection = client[settings.mongo.database]["trades"]
    started = time.perf_counter()
    for first in range(0, len(documents), BULK):
        requests = [ReplaceOne({"_id": one["_id"]}, one, upsert=True) for one in documents[first : first + BULK]]
        collection.bulk_write(requests, ordered=False)
    rate = len(documents) / (time.perf_counter() - started)
    client.close()
    return rate


def ours(flags: dict[str, str], count: int) -> tuple[float, float]:
    """Seconds of ``consume mongo``, from its assignment to the end of its process, and those for bars and companies of them."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("STOCKCTL_")}
    environment |= {env_name(name): value for name, value in flags.items()}
    command: list[str | Path] = [Path(sys.executable).parent / "stockctl", "consume", "mongo", "--once"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        started, deriving = time.perf_counter(), 0.0
        for line in process.stderr:
            if "assigned" in line:
                started = time.perf_counter()
            if found := re.search(r"companies took ([\d.]+) s", line):
                deriving = float(found[1])
            if found := re.search(r"wrote ([\d,]+) documents", line):
                assert int(found[1].replace(",", "")) == count, line
        assert process.wait() == 0
    return time.perf_counter() - started, deriving


def connector(flags: dict[str, str], count: int) -> float:
    """Documents a second of the MongoDB connector."""
    flags = flags | {"connect.connector": flags["mongo.database"]}
    environment = os.environ | {env_name(name): value for name, value in flags.items()}
    program = Path(sys.executable).parent / "stockctl"
    for command in (["mongo", "apply"], ["connect", "apply"]):
        subprocess.run([program, *command], env=environment, check=True, capture_output=True)
    client: MongoClient[dict[str, object]] = MongoClient(flags["mongo.url"])
    collection = client[flags["mongo.database"]]["trades"]
    began = first = 0.0
    while (held := collection.estimated_document_count()) < count:
        if held and not began:
            began, first = time.perf_counter(), held
        time.sleep(0.05)
    rate = (count - first) / (time.perf_counter() - began)
    subprocess.run([program, "connect", "delete"], env=environment, check=True, capture_output=True)
    client.close()
    return rate


@contextmanager
def servers(arguments: argparse.Namespace, folder: Path) -> Iterator[tuple[str, str]]:
    """The addresses of Kafka and MongoDB, both started here unless they are given."""
    ports = [listener.getsockname()[1] for listener in [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]]
    commands = []
    if arguments.bootstrap is None:
        binary = str(files("noida_db") / "noida-db")
        commands.append(
            [binary, "start", "--only", "kafka", "--kafka-port", str(ports[0]), "--data-dir", str(folder / "kafka")]
        )
    if arguments.mongo is None:
        commands.append([sys.executable, "-m", "secantus", "--port", str(ports[1]), "--storage-path", str(folder / "mongo")])
    started = [subprocess.Popen(one, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder) for one in commands]
    try:
        yield arguments.bootstrap or f"127.0.0.1:{ports[0]}", arguments.mongo or f"mongodb://127.0.0.1:{ports[1]}"
    finally:
        for process in started:
            process.kill()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", help="address of Kafka")
    parser.add_argument("--mongo", help="address of MongoDB")
    parser.add_argument("--connect", help="address of a Kafka Connect worker")
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    mark = f"bench-{time.time_ns():x}"
    with tempfile.TemporaryDirectory() as folder, servers(arguments, Path(folder)) as (kafka, mongo):
        flags = {
            "kafka.bootstrap_servers": kafka,
            "mongo.url": mongo,
            "topics.trades.name": f"trades-{mark}",
            "topics.feed_events.name": f"events-{mark}",
            "topics.signals.name": f"signals-{mark}",
            "topics.dead_letters.name": f"dlq-{mark}",
            "state_dir": folder,
        }
        rows = trades(arguments.records)
        fill(load_settings(environ={}, flags=flags), rows)
        loops: list[float] = []
        writers: list[float] = []
        writes: list[float] = []
        sinks: list[float] = []
        for turn in range(arguments.rounds):
            loops.append(bare(load_settings(environ={}, flags=flags | {"mongo.database": f"{mark}-loop-{turn}"}), rows))
            own = {"mongo.database": f"{mark}-ours-{turn}", "mongo.group": f"{mark}-{turn}"}
            seconds, deriving = ours(flags | own, len(rows))
            writers.append(len(rows) / seconds)
            writes.append(len(rows) / (seconds - deriving))
            print(
                f"round {turn + 1}: bare loop {loops[-1]:,.0f}/s, consume mongo {writers[-1]:,.0f}/s, "
                f"without bars and companies {writes[-1]:,.0f}/s",
                flush=True,
            )
            if arguments.connect is not None:
                own = {"mongo.database": f"{mark}-connect-{turn}", "connect.url": arguments.connect}
                sinks.append(connector(flags | own, len(rows)))
                print(f"round {turn + 1}: MongoDB connector {sinks[-1]:,.0f}/s", flush=True)
    loop = statistics.median(loops)
    print(
        f"{len(rows):,} trades, {'the stand-in' if arguments.mongo is None else mongo}: "
        f"ratio {statistics.median(writers) / loop:.2f}, without bars and companies {statistics.median(writes) / loop:.2f}"
        + (f", MongoDB connector {statistics.median(sinks) / loop:.2f}" if sinks else "")
    )


if __name__ == "__main__":
    main()
