-- The trades that the policy counts.
SELECT span, bar_ms, ts_event, price, volume
FROM placed
WHERE counts = 1
