-- Bars. Open and close are of trades that update l (last), high and low of trades that update h, the rest of counted trades.
WITH lasts AS (
    SELECT
        span,
        bar_ms,
        price,
        ROW_NUMBER() OVER (PARTITION BY span, bar_ms ORDER BY ts_event, ts_recv, id) AS place,
        ROW_NUMBER() OVER (PARTITION BY span, bar_ms ORDER BY ts_event DESC, ts_recv DESC, id DESC) AS place_from_end
    FROM placed
    WHERE updates LIKE '%l%'
),

ends AS (
    SELECT
        span,
        bar_ms,
        MAX(CASE WHEN place = 1 THEN price END) AS open_price,
        MAX(CASE WHEN place_from_end = 1 THEN price END) AS close_price
    FROM lasts
    WHERE place = 1 OR place_from_end = 1
    GROUP BY span, bar_ms
),

ranges AS (
    SELECT
        span,
        bar_ms,
        MAX(CASE WHEN updates LIKE '%h%' THEN price END) AS high_price,
        MIN(CASE WHEN updates LIKE '%h%' THEN price END) AS low_price
    FROM placed
    GROUP BY span, bar_ms
)

SELECT
    r.span,
    r.bar_ms,
    e.open_price AS "open",
    r.high_price AS "high",
    r.low_price AS "low",
    e.close_price AS "close",
    v.volume,
    v.vwap,
    COALESCE(v.trades, 0) AS trades
FROM ranges AS r
LEFT JOIN ends AS e ON e.span = r.span AND e.bar_ms = r.bar_ms
LEFT JOIN vwap AS v ON v.span = r.span AND v.bar_ms = r.bar_ms
