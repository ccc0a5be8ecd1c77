-- The trades that the policy counts.
SELECT span, part, bar_ms, ts_event, ts_recv, id, price, volume
FROM placed
WHERE counts = 1
