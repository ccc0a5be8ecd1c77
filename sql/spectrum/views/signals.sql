-- Signals, and the records about their runs, with their times as timestamps in UTC.
SELECT
    kind,
    id,
    symbol,
    strategy,
    version,
    run,
    n,
    side,
    target,
    strength,
    reason,
    ts_decided,
    ts_event,
    TIMESTAMP 'epoch' + ts_decided / 1000 * INTERVAL '1 second' + ts_decided % 1000 * INTERVAL '1 millisecond' AS decided_time,
    TIMESTAMP 'epoch' + ts_event / 1000 * INTERVAL '1 second' + ts_event % 1000 * INTERVAL '1 millisecond' AS event_time,
    TIMESTAMP 'epoch' + ts_recv / 1000 * INTERVAL '1 second' + ts_recv % 1000 * INTERVAL '1 millisecond' AS receipt_time,
    record,
    inputs,
    "partition",
    "offset",
    details,
    ts_recv,
    source,
    trade_date
FROM :external_schema.signals
WHERE id IS NOT NULL
