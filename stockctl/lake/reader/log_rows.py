"""The trades of one symbol in one claim, in the order in which they came: from raw objects, or else from Parquet."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from hashlib import sha256
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from stockctl.errors import UnhealthyError
from stockctl.lake.format.claims import Claim, ClaimedObject
from stockctl.lake.format.manifest import Manifest
from stockctl.lake.format.row_order import follow_each_other, object_ranks, part_of
from stockctl.lake.reader.cache import read_file
from stockctl.lake.reader.duckdb_session import LOG_COLUMNS
from stockctl.lake.reader.object_selection import DataFile, LakeReader
from stockctl.lake.writer.batch import decompress
from stockctl.record_validation import TRADES, InvalidRecordError
from stockctl.records import UNREADABLE, Trade

if TYPE_CHECKING:
    import pyarrow as pa

_DAYS = 4
"""Days of Parquet kept in memory: late rows lie in days before."""

_decoder = msgspec.json.Decoder(Trade)


class Rows(NamedTuple):
    """The symbol's rows in one object of a claim, with their ranks there; ``ranks`` is None if the object is all there is."""

    item: ClaimedObject
    ranks: list[int] | None
    trades: list[Trade]


class ClaimRows(NamedTuple):
    """The symbol's rows in a claim. ``proven`` is false where the claim does not give their order: they are then by receipt."""

    trades: list[Trade]
    proven: bool = True


def in_log_order(claim: Claim, symbol: str, found: list[Rows]) -> ClaimRows:
    """The rows of all objects of ``claim`` that may have rows of ``symbol``, in the order in which they came."""
    found = [rows for rows in found if rows.trades]
    if len(found) < 2:
        return ClaimRows(found[0].trades if found else [])
    if symbol in claim.switches or follow_each_other(rows.item for rows in found):
        ranked = (zip(rows.ranks or (), rows.trades, strict=True) for rows in found)
        return ClaimRows([trade for _, trade in heapq.merge(*ranked, key=itemgetter(0))])
    return ClaimRows(list(heapq.merge(*(rows.trades for rows in found), key=attrgetter("ts_recv"))), proven=False)


def read_raw(claim: Claim, symbol: str, numbers: list[int], number: int, path: Path) -> Rows:
    """The rows of ``symbol`` in the object ``number`` of ``claim``; ``numbers`` are all that may contain the symbol.

    UnhealthyError if the object is not the claimed one, or a line of it is not a valid record.
    """
    item = claim.objects[number]
    lines = decompress(read_file(item.key, path), item.key)
    if sha256(lines).hexdigest() != item.sha256:
        raise UnhealthyError(f"the object {item.key} does not match its claim", hint="`stockctl lake verify --deep`")
    part = part_of(claim.layout, symbol)
    if len(numbers) > 1:
        trades = _decode(lines, item.key)
        ranks = object_ranks(claim, numbers)[number].of([trade.symbol for trade in trades])
        own = [(rank, trade) for rank, trade in zip(ranks, trades, strict=True) if trade.symbol == symbol]
        return Rows(item, [rank for rank, _ in own], [trade for _, trade in own])
    if part.startswith("ticker=") and "_" not in part:
        return Rows(item, None, _decode(lines, item.key))  # a folder of this symbol alone
    if claim.layout.lines == "normalized":
        # Such a line either has no escapes at all, or is our own encoding.
        name = msgspec.json.encode(symbol)
        lines = b"\n".join(line for line in lines.split(b"\n") if name in line)
    return Rows(item, None, [trade for trade in _decode(lines, item.key) if trade.symbol == symbol])


def _decode(lines: bytes, key: str) -> list[Trade]:
    try:
        return _decoder.decode_lines(lines)
    except UNREADABLE:
        return list(_decode_each(lines, key))


def _decode_each(lines: bytes, key: str) -> Iterator[Trade]:
    """The lines of an older writer, which stored each valid record as it came."""
    for number, line in enumerate(lines.splitlines(), 1):
        try:
            yield TRADES.record(line)
        except InvalidRecordError as error:
            raise UnhealthyError(
                f"line {number} of {key} is not a valid record: {error}",
                hint="see `invalid` in docs/lake.md, What verify finds",
            ) from error


class _Day(NamedTuple):
    """The symbol's rows of a compacted date in the order of the log, and where those of a claim begin and how many they are."""

    table: pa.Table
    places: dict[tuple[int, int, int], tuple[int, int]]


class CompactedRows:
    """The rows of one symbol in Parquet, by claim. The newest days read are kept."""

    def __init__(self, lake: LakeReader, symbol: str) -> None:
        self._lake, self._symbol = lake, symbol
        self._days: OrderedDict[date, _Day] = OrderedDict()

    def of(self, claim: Claim, item: ClaimedObject, manifest: Manifest) -> Rows:
        """The rows of ``item``, which ``manifest`` includes and whose objects have the columns of the log."""
        day = manifest.trade_date
        if day not in self._days:
            self._days[day] = self._load(manifest)
            while len(self._days) > _DAYS:
                self._days.popitem(last=False)
        self._days.move_to_end(day)
        table, places = self._days[day]
        found = table.slice(*places.get((claim.generation, claim.partition, claim.start), (0, 0)))
        return Rows(item, [int(line.as_py()) for line in found.column("line")], _trades(found))

    def whole(self, manifest: Manifest) -> list[Trade]:
        """The rows of a date whose objects lack the columns of the log, by time, receipt and id."""
        return _trades(self._read(manifest, ("ts_event", "ts_recv", "id")))

    def _read(self, manifest: Manifest, order: Sequence[str], more: Iterable[str] = ()) -> pa.Table:
        table = _read_parquet(self._paths(manifest), self._symbol, order, more)
        expected = manifest.symbols[self._symbol].rows if self._symbol in manifest.symbols else 0
        if table.num_rows != expected:
            raise UnhealthyError(
                f"the Parquet objects of {manifest.trade_date} have {table.num_rows} rows of {self._symbol}, not {expected}",
                hint="`stockctl lake verify --deep` lists all damage",
            )
        return table

    def _paths(self, manifest: Manifest) -> Iterable[Path]:
        found = [DataFile(manifest.trade_date, item) for item in manifest.objects_of([self._symbol])]
        self._lake.check_parquet(found)
        return self._lake.files(found).values()

    def _load(self, manifest: Manifest) -> _Day:
        table = self._read(manifest, tuple(LOG_COLUMNS), LOG_COLUMNS)
        claim = ["generation", "partition", "claim"]
        # Groups come in any order, also without threads.
        counts = table.group_by(claim).aggregate([("line", "count")]).sort_by([(name, "ascending") for name in claim])
        places, first = {}, 0
        for generation, partition, start, count in zip(*(column.to_pylist() for column in counts.columns), strict=True):
            places[generation, partition, start] = first, count
            first += count
        return _Day(table, places)


def _read_parquet(paths: Iterable[Path], symbol: str, order: Sequence[str], more: Iterable[str] = ()) -> pa.Table:
    """The rows of ``symbol``, sorted by ``order``, with the columns of a trade and ``more``."""
    import pyarrow as pa
    import pyarrow.parquet

    columns = [*Trade.__struct_fields__, *more]
    try:
        tables = [
            pyarrow.parquet.read_table(path, columns=columns, filters=[("symbol", "=", symbol)], partitioning=None)
            for path in paths
        ]
    except (pa.ArrowException, OSError) as error:
        raise UnhealthyError(
            f"a Parquet object of {symbol} cannot be read: {error}", hint="`stockctl lake verify --deep`"
        ) from error
    if not tables:
        return pa.table({name: [] for name in columns})
    return pa.concat_tables(tables).sort_by([(name, "ascending") for name in order])


def _trades(table: pa.Table) -> list[Trade]:
    columns = {name: table.column(name).to_pylist() for name in Trade.__struct_fields__}
    for name in ("conditions", "updates"):  # they were null where a record of an older version had none
        columns[name] = [value or "" for value in columns[name]]
    return list(map(Trade, *columns.values()))
