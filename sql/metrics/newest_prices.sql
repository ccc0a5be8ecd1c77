-- The newest prices that count, the newest first.
SELECT span, place, ts_event, ts_recv, id, price
FROM (
    SELECT
        span,
        ROW_NUMBER() OVER (PARTITION BY span ORDER BY ts_event DESC, ts_recv DESC, id DESC) AS place,
        ts_event,
        ts_recv,
        id,
        price
    FROM priced
) AS numbered
WHERE place <= :most
