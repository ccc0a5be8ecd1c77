-- Trades with their times as timestamps in UTC: compacted dates from Parquet, all others from the JSON lines.
-- The dates are listed here one by one, so that Spectrum prunes the partitions of the other table.
-- A malformed line is a row of nulls, and is filtered out.
SELECT
    id,
    symbol,
    price,
    volume,
    ts_event,
    ts_recv,
    TIMESTAMP 'epoch' + ts_event / 1000 * INTERVAL '1 second' + ts_event % 1000 * INTERVAL '1 millisecond' AS event_time,
    TIMESTAMP 'epoch' + ts_recv / 1000 * INTERVAL '1 second' + ts_recv % 1000 * INTERVAL '1 millisecond' AS receipt_time,
    conditions,
    updates,
    source,
    trade_date
FROM :external_schema.trades_parquet
WHERE trade_date IN (:compacted)
UNION ALL
SELECT
    id,
    symbol,
    price,
    volume,
    ts_event,
    ts_recv,
    TIMESTAMP 'epoch' + ts_event / 1000 * INTERVAL '1 second' + ts_event % 1000 * INTERVAL '1 millisecond' AS event_time,
    TIMESTAMP 'epoch' + ts_recv / 1000 * INTERVAL '1 second' + ts_recv % 1000 * INTERVAL '1 millisecond' AS receipt_time,
    conditions,
    updates,
    source,
    trade_date
FROM :external_schema.trades
WHERE trade_date NOT IN (:compacted) AND id IS NOT NULL
