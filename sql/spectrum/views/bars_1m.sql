-- Bars of a minute, in UTC, all hours, by the policy `standard`: volume, VWAP and count of the trades that may update volume and
-- have no code that never forms a price; open and close by l (last), high and low by h, as in the metrics.
WITH placed AS (
    SELECT
        symbol,
        trade_date,
        ts_event / 60000 * 60000 AS bar_ms,
        price,
        volume,
        CASE WHEN updates LIKE '%l%' THEN 1 ELSE 0 END AS last_price,
        CASE WHEN updates LIKE '%h%' THEN 1 ELSE 0 END AS range_price,
        CASE WHEN volume > 0 AND updates LIKE '%v%' AND NOT (:never_price_forming) THEN 1 ELSE 0 END AS counts,
        ROW_NUMBER() OVER (
            PARTITION BY symbol, trade_date, ts_event / 60000, CASE WHEN updates LIKE '%l%' THEN 1 ELSE 0 END
            ORDER BY ts_event, ts_recv, id
        ) AS place,
        ROW_NUMBER() OVER (
            PARTITION BY symbol, trade_date, ts_event / 60000, CASE WHEN updates LIKE '%l%' THEN 1 ELSE 0 END
            ORDER BY ts_event DESC, ts_recv DESC, id DESC
        ) AS place_from_end
    FROM (
        SELECT
            id,
            symbol,
            trade_date,
            ts_event,
            ts_recv,
            price,
            volume,
            ',' || COALESCE(conditions, '') || ',' AS codes,
            COALESCE(updates, '') AS updates
        FROM :view_schema.trades
    ) AS plain
)

SELECT
    symbol,
    trade_date,
    TIMESTAMP 'epoch' + bar_ms / 1000 * INTERVAL '1 second' AS bar,
    MAX(CASE WHEN last_price = 1 AND place = 1 THEN price END) AS "open",
    MAX(CASE WHEN range_price = 1 THEN price END) AS "high",
    MIN(CASE WHEN range_price = 1 THEN price END) AS "low",
    MAX(CASE WHEN last_price = 1 AND place_from_end = 1 THEN price END) AS "close",
    SUM(CASE WHEN counts = 1 THEN volume END) AS volume,
    SUM(CASE WHEN counts = 1 THEN price * volume END) / SUM(CASE WHEN counts = 1 THEN volume END) AS vwap,
    CAST(SUM(counts) AS BIGINT) AS trades
FROM placed
GROUP BY symbol, trade_date, bar_ms
