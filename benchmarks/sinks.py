"""The lake writer against Kafka Connect's FileStreamSink and quixstreams' file sink, on the same topic in one run.

    python benchmarks/sinks.py --records 1000000

Starts an Apache Kafka of its own, or takes ``--bootstrap HOST:PORT``. Needs a JDK 17+, Maven (which fetches Kafka and Connect)
and pip (which fetches quixstreams into an environment of its own). The two others write plain lines into local files. The lake
writer also splits by date and ticker, compresses, hashes and claims.
A sink is timed from its first record to its last, the writer from its assignment to the end of its process.
"""

from __future__ import annotations

import argparse
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lake_writer import fill, writer
from platformdirs import user_cache_path
from produce import kafka, topics

from stockctl.settings import Settings

CONNECT = "4.3.1"
QUIXSTREAMS = "3.28.1"
POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>stockctl.bench</groupId><artifactId>connect</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>connect-runtime</artifactId><version>{0}</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>connect-json</artifactId><version>{0}</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>connect-file</artifactId><version>{0}</version></dependency>
  </dependencies>
</project>
"""
QUIX = """
import sys, time
from quixstreams import Application
from quixstreams.sinks.community.file.local import LocalFileSink

class Timed(LocalFileSink):
    began = 0.0
    def add(self, *arguments, **named):
        Timed.began = Timed.began or time.perf_counter()
        super().add(*arguments, **named)

servers, topic, folder, count = sys.argv[1:]
app = Application(broker_address=servers, consumer_group=f"quix-{time.time()}", auto_offset_reset="earliest", loglevel="ERROR")
app.dataframe(app.topic(topic, value_deserializer="json")).sink(Timed(directory=folder, format="json"))
app.run(count=int(count))
print("measured", time.perf_counter() - Timed.began)
"""


def until(condition: Callable[[], bool], what: str, seconds: float = 300) -> None:
    """Wait for ``condition``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"no {what} within {seconds:.0f} s")
        time.sleep(0.02)


def connect_jars() -> Path:
    """Connect's jars, fetched once into the user's cache."""
    folder = user_cache_path("stockctl-tests") / f"connect-{CONNECT}"
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pom.xml").write_text(POM.format(CONNECT))
        command = ["mvn", "-B", "-q", "dependency:copy-dependencies", f"-DoutputDirectory={folder / 'jars'}"]
        subprocess.run(command, cwd=folder, check=True)
        (folder / "complete").touch()
    return folder / "jars"


def file_stream_sink(settings: Settings, folder: Path, records: int) -> float:
    """Seconds from the first line in FileStreamSink's file to the last."""
    out = folder / "connect.txt"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    converter = "org.apache.kafka.connect.storage.StringConverter"
    (folder / "worker.properties").write_text(
        f"bootstrap.servers={settings.kafka.bootstrap_servers}\nkey.converter={converter}\nvalue.converter={converter}\n"
        f"offset.storage.file.filename={folder / 'offsets'}\nlisteners=http://127.0.0.1:{port}\noffset.flush.interval.ms=5000\n"
    )
    (folder / "sink.properties").write_text(
        f"name=bench-{time.time()}\nconnector.class=org.apache.kafka.connect.file.FileStreamSinkConnector\n"
        f"tasks.max=1\nfile={out}\ntopics={settings.topics.trades.name}\n"
    )
    jars = f"{connect_jars()}/*"
    main_class = "org.apache.kafka.connect.cli.ConnectStandalone"
    command: list[str | Path] = [
        "java",
        "-Xmx1g",
        "-cp",
        jars,
        main_class,
        folder / "worker.properties",
        folder / "sink.properties",
    ]
    with (folder / "connect.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        until(lambda: out.exists() and out.stat().st_size > 0, "FileStreamSink's first line")
        began, lines = time.perf_counter(), 0
        with out.open("rb") as stream:
            while lines < records:
                block = stream.read(1 << 22)
                lines += block.count(b"\n")
                if not block:
                    time.sleep(0.01)
        return time.perf_counter() - began
    finally:
        process.kill()
        process.wait()


def quixstreams(settings: Settings, folder: Path, records: int) -> float:
    """Seconds from the first record that quixstreams' file sink takes to the end of its last flush."""
    home = user_cache_path("stockctl-tests") / f"quixstreams-{QUIXSTREAMS}"
    if not (home / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        subprocess.run([home / "bin" / "pip", "install", "--quiet", f"quixstreams=={QUIXSTREAMS}"], check=True)
        (home / "complete").touch()
    (folder / "quix.py").write_text(QUIX)
    result = subprocess.run(
        [
            home / "bin" / "python",
            folder / "quix.py",
            settings.kafka.bootstrap_servers,
            settings.topics.trades.name,
            "quix",  # below the working directory: it refuses most characters of a path
            str(records),
        ],
        capture_output=True,
        text=True,
        cwd=folder,
    )
    found = re.search(r"measured ([\d.]+)", result.stdout)
    if found is None:
        sys.exit(result.stdout + result.stderr)
    return float(found[1])


def main() -> None:
    """Fill, measure in turn, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", help="a broker that runs; default: an Apache Kafka is started")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    # quixstreams takes ten times as long as the others, and its rate does not depend on the number.
    quix_records = arguments.records // 5
    home = Path(tempfile.mkdtemp(prefix="stockctl-bench-"))
    try:
        with kafka(arguments.bootstrap, home) as bootstrap, topics(bootstrap, home, "sinks") as settings:
            fill(settings, arguments.records)
            for turn in range(arguments.turns):
                folder = home / str(turn)
                folder.mkdir()
                ours = arguments.records / writer(settings, folder, turn)[0]
                sink = arguments.records / file_stream_sink(settings, folder, arguments.records)
                quix = quix_records / quixstreams(settings, folder, quix_records)
                print(
                    f"lake writer {ours:,.0f}/s   FileStreamSink {sink:,.0f}/s ({ours / sink:.2f}x)   "
                    f"quixstreams {quix:,.0f}/s ({ours / quix:.1f}x)",
                    flush=True,
                )
    finally:
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
