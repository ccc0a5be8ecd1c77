-- The trade rate of each bar: counted trades in covered time, per covered second.
SELECT
    g.span,
    g.bar_ms,
    g.seconds AS covered_seconds,
    COUNT(*) AS trades,
    COUNT(*) / g.seconds AS rate
FROM (SELECT span, bar_ms, CAST(SUM(until_ms - since_ms) AS DOUBLE PRECISION) / 1000 AS seconds FROM covered GROUP BY span, bar_ms) AS g
JOIN covered AS k ON k.span = g.span AND k.bar_ms = g.bar_ms
JOIN counted AS c
    ON c.span = k.span AND c.bar_ms = k.bar_ms AND k.since_ms <= c.ts_event AND c.ts_event < k.until_ms
GROUP BY g.span, g.bar_ms, g.seconds
