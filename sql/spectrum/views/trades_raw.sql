-- Trades with their times as timestamps in UTC, from the JSON lines. A malformed line is a row of nulls, and is filtered out.
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
WHERE id IS NOT NULL
