-- The first and the last counted price of each trade date, in order. An overnight jump between them may be a split.
SELECT
    span,
    part,
    MAX(CASE WHEN place = 1 THEN price END) AS first_price,
    MAX(CASE WHEN place_from_end = 1 THEN price END) AS last_price
FROM (
    SELECT
        span,
        part,
        price,
        ROW_NUMBER() OVER (PARTITION BY span, part ORDER BY ts_event, ts_recv, id) AS place,
        ROW_NUMBER() OVER (PARTITION BY span, part ORDER BY ts_event DESC, ts_recv DESC, id DESC) AS place_from_end
    FROM priced
) AS places
WHERE place = 1 OR place_from_end = 1
GROUP BY span, part
