-- Feed events with their times as timestamps in UTC.
SELECT
    id,
    kind,
    span_start,
    span_end,
    TIMESTAMP 'epoch' + span_start / 1000 * INTERVAL '1 second' + span_start % 1000 * INTERVAL '1 millisecond' AS start_time,
    TIMESTAMP 'epoch' + span_end / 1000 * INTERVAL '1 second' + span_end % 1000 * INTERVAL '1 millisecond' AS end_time,
    symbols,
    reason,
    connection,
    ts_recv,
    source,
    trade_date
FROM :external_schema.feed_events
WHERE id IS NOT NULL
