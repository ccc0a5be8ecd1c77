-- The trades since a time, with what placed says of them.
SELECT span, ts_event, ts_recv, id, price, volume, conditions, updates, source
FROM placed
WHERE ts_event >= :since_ms
