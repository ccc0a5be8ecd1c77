"""The rows of raw objects as Arrow batches, with the columns that keep the order of the log: what ``lake compact`` sorts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from io import BytesIO
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.json

from stockctl.errors import StockctlError, UnhealthyError
from stockctl.lake.format.row_order import ObjectRanks
from stockctl.lake.reader.cache import read_file
from stockctl.lake.reader.duckdb_session import COLUMNS, LOG_COLUMNS, duck, scan
from stockctl.lake.reader.object_selection import DataFile
from stockctl.lake.writer.batch import compress, decompress

_TYPES: dict[str, pa.DataType] = {"VARCHAR": pa.string(), "DOUBLE": pa.float64(), "BIGINT": pa.int64()}
_TRADES = pa.schema([(name, _TYPES[kind]) for name, kind in COLUMNS["trades"].items()])
_SORTED = pa.schema([*_TRADES, ("place", pa.int32()), ("line", pa.int32())])
"""The columns of the stream. The claim is a small number here: what is sorted takes memory and time by its bytes."""
_GROUP = 250_000
"""Compressed bytes of objects that are parsed together: a call takes time, however little it parses."""
_WORKERS = 2


class RawRows:
    """The rows of ``files``, whose objects are at ``paths``; ``ranks`` are those of objects that share a claim and a part.

    DuckDB takes the stream, and reports what it raises as an error of its own: ``error`` is what was raised.
    """

    def __init__(self, files: Iterable[DataFile], paths: Mapping[str, Path], ranks: Mapping[str, ObjectRanks]) -> None:
        self._files, self._paths, self._ranks = list(files), paths, ranks
        names = [file.name for file in self._files if file.name is not None]
        claims = sorted({(name.generation, name.partition, name.start) for name in names})
        self._places = {claim: number for number, claim in enumerate(claims)}
        self._claims = [pa.array(values, pa.int64()) for values in zip(*claims, strict=True)]
        self.error: StockctlError | None = None

    def stream(self) -> pa.RecordBatchReader:
        """The rows, each with the number of its claim and its rank there; ``compacted`` makes them rows of Parquet."""
        return pa.RecordBatchReader.from_batches(_SORTED, self._batches())

    def compacted(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Rows of the stream with the columns of a compacted trade."""
        place, line = batch.column("place"), batch.column("line").cast(pa.int64())
        columns = [*(batch.column(name) for name in _TRADES.names), *(values.take(place) for values in self._claims), line]
        return pa.RecordBatch.from_arrays(columns, [*_TRADES.names, *LOG_COLUMNS])

    def _batches(self) -> Iterator[pa.RecordBatch]:
        ahead: deque[Future[pa.Table]] = deque()
        try:
            with ThreadPoolExecutor(_WORKERS, thread_name_prefix="parse") as pool:
                for group in self._groups():
                    ahead.append(pool.submit(self._parse, group))
                    if len(ahead) > _WORKERS:
                        yield from ahead.popleft().result().to_batches()
                while ahead:
                    yield from ahead.popleft().result().to_batches()
        except StockctlError as error:
            self.error = error
            raise

    def _groups(self) -> Iterator[list[DataFile]]:
        group: list[DataFile] = []
        size = 0
        for file in self._files:
            group.append(file)
            size += file.claimed.size
            if size >= _GROUP:
                yield group
                group, size = [], 0
        if group:
            yield group

    def _parse(self, group: list[DataFile]) -> pa.Table:
        """The rows of a group of objects. UnhealthyError if an object does not match its claim."""
        places: list[int] = []
        lines: list[int] = []
        contents = []
        for file in group:
            contents.append(data := _content(file, self._paths[file.claimed.key]))
            count, name = file.claimed.rows, file.name
            if name is None or data.count(b"\n") != count:
                raise UnhealthyError(
                    f"the object {file.claimed.key} does not have the {count} rows that its claim names",
                    hint="`stockctl lake verify --deep` lists the damage",
                )
            places.extend(repeat(self._places[name.generation, name.partition, name.start], count))
            first = self._ranks[file.claimed.key].first if file.claimed.key in self._ranks else 0
            lines.extend(range(first, first + count))
        table = _table(b"".join(contents), len(lines))
        at = 0
        for file in group:
            ranks = self._ranks.get(file.claimed.key)
            if ranks is not None and ranks.runs:
                symbols = [str(symbol) for symbol in table.column("symbol").slice(at, file.claimed.rows).to_pylist()]
                lines[at : at + file.claimed.rows] = ranks.of(symbols)
            at += file.claimed.rows
        table = table.append_column("place", pa.array(places, pa.int32())).append_column("line", pa.array(lines, pa.int32()))
        return table.combine_chunks()


def _content(file: DataFile, path: Path) -> bytes:
    """The lines of an object. Readers use Parquet instead of it, so UnhealthyError if it does not match its claim."""
    lines = decompress(read_file(file.claimed.key, path), file.claimed.key)
    if sha256(lines).hexdigest() != file.claimed.sha256:
        raise UnhealthyError(f"the object {file.claimed.key} does not match its claim", hint="`stockctl lake verify --deep`")
    return lines


def _table(lines: bytes, count: int) -> pa.Table:
    """The trades of ``lines``."""
    options = pyarrow.json.ParseOptions(explicit_schema=_TRADES, unexpected_field_behavior="ignore")
    whole = pyarrow.json.ReadOptions(use_threads=False, block_size=len(lines) + 1)
    try:
        parsed = pyarrow.json.read_json(BytesIO(lines), whole, options)
        if parsed.num_rows == count:
            return parsed.select(_TRADES.names)
    except pa.ArrowException:
        pass  # lines of an older version, which DuckDB may read
    with TemporaryDirectory(prefix="stockctl-") as folder, duck() as connection:
        path = Path(folder) / "lines.jsonl.gz"
        path.write_bytes(compress(lines, "gzip", 1))
        names = ", ".join(_TRADES.names)
        table: pa.Table = scan(connection, "trades", [path]).select(names).to_arrow_table().cast(_TRADES)
    if table.num_rows != count:
        raise UnhealthyError(
            f"{table.num_rows} rows were read where {count} are claimed", hint="`stockctl lake verify --deep` lists the damage"
        )
    return table
